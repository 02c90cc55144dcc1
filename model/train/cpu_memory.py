"""Lower memory use of training on a CPU."""

from __future__ import annotations

import ctypes
from typing import Final

M_MMAP_THRESHOLD: Final = -3
"""Parameter of glibc's mallopt(3)."""
LARGE_BYTES: Final = 128 * 1024


def return_freed_memory() -> None:
    """Have glibc return each large block to the system when it is freed; without glibc, do nothing.

    By default glibc keeps freed blocks for later allocations. Activation checkpointing allocates and frees blocks of
    many sizes between blocks that stay: a third of the peak memory of the process was gaps (docs/lab.md). The price is
    time: the system clears each block that it hands out.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
