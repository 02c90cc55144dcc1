"""The gateway: HTTP in, jobs out."""
