"""Live verification: what forecasts of a feed are worth, by the frames that arrived after them."""
