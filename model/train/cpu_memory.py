"""Less memory for training on a CPU."""

from __future__ import annotations

import ctypes
from typing import Final

M_MMAP_THRESHOLD: Final = -3
"""Of glibc's mallopt(3)."""
LARGE_BYTES: Final = 128 * 1024


def return_freed_memory() -> None:
    """Have glibc give a large block back to the system once it is freed; elsewhere, nothing.

    Otherwise it is kept for the next that fits. Where activations are computed again, blocks of many sizes come and go
    between those that stay, and a third of the process's highest memory was gaps (docs/lab.md). It costs time: the
    system clears each block that it hands out.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
