"""Checkpoints of the authors' repositories as our networks: one table per repository, their keys -> ours."""

from typing import Final

FAMILIES: Final = ("predrnn-pytorch", "ms-rnn", "openstl", "motionrnn")
"""Whose checkpoints can be imported. Naming them needs no PyTorch; `convert` does."""
