"""Verification of probabilities, members and the fields of a distribution."""
