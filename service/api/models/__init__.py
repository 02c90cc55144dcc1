"""Models that can run here, with their scores."""
