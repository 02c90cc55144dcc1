"""Alerts of feeds: rules on places, areas and on the feed itself, what is raised, and the messages about it."""
