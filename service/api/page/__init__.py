"""The web page: static files, nothing from other hosts."""
