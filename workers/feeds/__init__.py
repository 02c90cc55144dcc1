"""Feeds: the frames that arrive, and the runs that forecast from them."""
