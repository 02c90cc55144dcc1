"""Nowcasts: ask for one, follow it, fetch it, look at it."""
