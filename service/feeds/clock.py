"""The clock of a feed that is replayed: the time of the day that the frames come from, faster than time passes.

`echocast feeds replay` writes it to a file of the feed's folder. Every process that sees the folder computes the same
time from it, so that ages, leads and statuses are those of the time that is replayed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from model.core.atomic import write_atomically

CLOCK_FILE: Final = ".replay.json"
"""Hidden, and so never a frame."""


@dataclass(frozen=True, kw_only=True)
class ReplayClock:
    """A clock that showed `start` when it really was `started`, and runs `speed` times as fast as time passes."""

    start: datetime
    started: datetime
    speed: float

    def now(self) -> datetime:
        """Return the time that this clock shows."""
        return self.start + self.speed * (datetime.now(UTC) - self.started)

    def seconds_until(self, time: datetime) -> float:
        """Return how many seconds really pass until the clock shows `time`; negative where it has."""
        return (time - self.now()).total_seconds() / self.speed

    def when(self, time: datetime) -> datetime:
        """Return when it really is, or was, as the clock shows `time`."""
        return self.started + (time - self.start) / self.speed

    def write(self, folder: Path) -> None:
        """Write the clock to the folder of a feed.

        Raises
        ------
        OSError
            The folder cannot be written.
        """
        clock = {"start": self.start.isoformat(), "started": self.started.isoformat(), "speed": self.speed}
        write_atomically(folder / CLOCK_FILE, json.dumps(clock).encode())


def read_clock(folder: Path) -> ReplayClock | None:
    """Return the clock of a feed's folder; None where the folder has none, or is not seen from here."""
    try:
        clock = json.loads((folder / CLOCK_FILE).read_text(encoding="utf-8"))
        start, started = (datetime.fromisoformat(clock[name]).astimezone(UTC) for name in ("start", "started"))
        return ReplayClock(start=start, started=started, speed=float(clock["speed"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def clock_from(start: datetime, speed: float) -> ReplayClock:
    """Return a clock that shows `start` now."""
    return ReplayClock(start=start, started=datetime.now(UTC), speed=speed)
