"""Measurements against peers and the authors' own code; `make bench` runs those of docs/performance.md."""
