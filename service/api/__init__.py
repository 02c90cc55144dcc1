"""The gateway: HTTP in, jobs out. It reads no radar file and runs no model."""
