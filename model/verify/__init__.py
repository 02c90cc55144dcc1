"""Verification of nowcasts against what the radar then saw, under named protocols."""
