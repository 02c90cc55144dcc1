"""Units, grid, FrameSequence, forecast file and package manifest: what every other part speaks."""
