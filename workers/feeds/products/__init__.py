"""The products of feeds: files that are made of each published nowcast."""
