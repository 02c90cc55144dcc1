"""Metrics for Prometheus: what is counted, and how one scrape reads it from several processes."""
