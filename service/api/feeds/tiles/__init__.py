"""Map tiles of a feed: which frames there are, by TileJSON and as RainViewer lists them, and the tiles of each."""
