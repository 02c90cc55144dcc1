"""Seconds, memory and throughput, each as a ratio against a peer in the same run."""
