"""Web push: places that browsers subscribe to."""
