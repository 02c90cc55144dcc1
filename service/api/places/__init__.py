"""Search of places by name, and the place that a point is near to."""
