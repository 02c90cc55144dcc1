"""Feeds: live radars. Their configuration, and what the ledger knows of their files, frames and runs."""
