"""How busy other processes keep the processor: figures that are measured beside them are less reliable."""

from __future__ import annotations

import os
import time
from pathlib import Path


class OtherProcesses:
    """The processor time that other processes use from now on."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._busy, self._own = _busy_seconds(), _own_seconds()

    def cores(self) -> float | None:
        """Return the mean number of cores that they kept busy; None if the system does not report it.

        The time of this process, and of its children that have ended, does not count.
        """
        busy = _busy_seconds()
        if busy is None or self._busy is None:
            return None
        others = busy - self._busy - (_own_seconds() - self._own)
        return round(max(0.0, others) / self.seconds(), 2)

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.perf_counter() - self._started


def _busy_seconds() -> float | None:
    """Return the busy seconds of all cores since boot: user, nice, system, interrupts, stolen (proc(5), /proc/stat)."""
    try:
        fields = [int(field) for field in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]]
    except (OSError, ValueError, IndexError):
        return None
    return sum(fields[:3] + fields[5:8]) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    return sum(os.times()[:4])
