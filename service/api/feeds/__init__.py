"""Feeds: which radars are live, how fresh they are, their newest nowcast, and what it says for a place."""
