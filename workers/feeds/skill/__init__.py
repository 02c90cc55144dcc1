"""Live verification of feeds: runs of challengers, and the scoring of forecasts by the frames that arrive."""
