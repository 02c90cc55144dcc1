"""Import of checkpoints of published repositories: one table per repository, from source keys to target names."""

from typing import Final

FAMILIES: Final = ("predrnn-pytorch", "ms-rnn", "openstl", "motionrnn")
"""Repositories whose checkpoints can be imported; this module needs no PyTorch."""
