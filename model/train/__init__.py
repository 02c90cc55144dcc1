"""Training: recipes, the loop, its checkpoints and logs."""
