"""Pictures of rain: one frame as PNG, a nowcast as an animation."""
