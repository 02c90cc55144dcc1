"""Nowcasts: request one, follow it, fetch its result, look at it."""
