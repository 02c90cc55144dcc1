"""The HTTP API. It reads no radar file and runs no model."""
