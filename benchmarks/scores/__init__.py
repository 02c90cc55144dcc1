"""Scores: compared with public evaluation codes, of short trainings, and of forecasts after an outage."""
