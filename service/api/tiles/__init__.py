"""Map tiles, of feeds and of nowcasts: how addresses name frames and parts of the map, TileJSON, and the drawing."""
