"""Types and files that every other package shares: units, grid, FrameSequence, forecast file, catalog, manifest."""
