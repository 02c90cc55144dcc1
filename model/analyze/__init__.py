"""Diagnostics of a network: gradients by input frame, cosines of the memories C and M, responses of layers."""
