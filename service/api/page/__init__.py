"""The page for people: static files, nothing from the network."""
