"""What can run here, with its scores."""
