"""Pictures of rain: the colour scale and its legend, one frame as PNG, a nowcast as an animation."""
