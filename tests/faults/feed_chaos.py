"""What goes wrong with a feed's frames on their way: a plan of drops, drawn by a seed, and what must come of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from model.core.atomic import write_atomically
from model.core.forecast_file import write_netcdf
from model.core.sequence import FrameSequence
from model.readers import read
from workers.feeds.replay import Arrival

SHARES: Final = {"missing": 0.10, "twice": 0.05, "late": 0.05, "corrupt": 0.02, "misnamed": 0.02, "reissued": 0.02}
HALF_WRITTEN: Final = 0.05
LATEST: Final = 4
"""A late frame comes up to this many intervals late."""
CORRECTION: Final = 1.25
"""The factor of the rain rates of a frame that is issued again."""


class Faults(NamedTuple):
    """Which faults: the shares of the frames (at least one of each), and the length of the outage."""

    shares: dict[str, float]
    outage: timedelta = timedelta(minutes=20)


CHAOS: Final = Faults({**SHARES, "half-written": HALF_WRITTEN})
NONE: Final = Faults({}, timedelta(0))


@dataclass(frozen=True, kw_only=True)
class Drop:
    """A file that appears at a (replayed) time, and the valid time of its frame; None where it cannot be read.

    `whole`: it appears under its name at once; else it is written in place.
    """

    at: datetime
    name: str
    content: bytes
    valid_time: datetime | None
    fault: str = ""
    whole: bool = True

    def put(self, folder: Path) -> None:
        """Write the file."""
        if self.whole:
            write_atomically(folder / self.name, self.content, durable=False)
        else:
            (folder / self.name).write_bytes(self.content)


@dataclass(kw_only=True)
class Plan:
    """The drops in order; the frames that must be known at the end, by valid time; the faults by valid time.

    `truth`: all contents that a frame had, the last one counts. `expected`: what must become of a file, by its name,
    where that does not depend on when it is scanned.
    """

    interval: timedelta
    delay: timedelta
    drops: list[Drop] = field(default_factory=list)
    truth: dict[datetime, list[FrameSequence]] = field(default_factory=dict)
    faults: dict[datetime, str] = field(default_factory=dict)
    expected: dict[str, str] = field(default_factory=dict)
    outage: tuple[datetime, datetime] | None = None

    @property
    def survivors(self) -> list[datetime]:
        """The valid times of the frames that arrive."""
        return sorted(self.truth)


def plan(
    arrivals: Sequence[Arrival], interval: timedelta, delay: timedelta, faults: Faults, seed: int, spool: Path
) -> Plan:
    """Draw what goes wrong with each frame; no frame has two faults, but for the outage."""
    choose = random.Random(seed)
    made = Plan(interval=interval, delay=delay)
    fault_of = _draw(len(arrivals), faults.shares, choose)
    if faults.outage:
        begin = arrivals[choose.randrange(len(arrivals) // 3, 2 * len(arrivals) // 3)].valid_time
        made.outage = (begin, begin + faults.outage)
    for number, arrival in enumerate(arrivals):
        fault = fault_of.get(number, "")
        made.faults[arrival.valid_time] = fault
        at = arrival.valid_time + delay
        if made.outage is not None and made.outage[0] <= at < made.outage[1]:
            at = made.outage[1]
        content = arrival.path.read_bytes()
        drop = Drop(at=at, name=arrival.name, content=content, valid_time=arrival.valid_time, fault=fault)
        if fault not in ("missing", "corrupt"):
            made.truth[arrival.valid_time] = [read([arrival.path])]
        earlier = arrivals[number - 7].name if number >= 7 else f"copy of {arrival.name}"
        made.drops += _drops(drop, arrival.valid_time, made, earlier, choose, spool)
    made.drops.sort(key=lambda drop: drop.at)
    return made


def _draw(frames: int, shares: dict[str, float], choose: random.Random) -> dict[int, str]:
    """Return which frame has which fault; the first frames are whole, so that there is a first nowcast."""
    counts = {fault: max(1, round(share * frames)) for fault, share in shares.items()}
    numbers = choose.sample(range(3, frames), sum(counts.values()))
    names = [fault for fault, count in counts.items() for _ in range(count)]
    return dict(zip(numbers, names, strict=True))


def _drops(
    drop: Drop, valid_time: datetime, made: Plan, earlier_name: str, choose: random.Random, spool: Path
) -> list[Drop]:
    """Return the drops of one frame."""
    step = made.interval
    if drop.fault == "missing":
        return []
    if drop.fault == "twice":
        again = replace(drop, at=drop.at + 1.3 * step, name=f"again-{drop.name}")
        made.expected[again.name] = "duplicate"
        return [drop, again]
    if drop.fault == "late":
        return [replace(drop, at=drop.at + choose.uniform(1, LATEST) * step)]
    if drop.fault == "corrupt":
        made.expected[drop.name] = "unreadable"
        return [replace(drop, content=drop.content[: len(drop.content) * 3 // 5], valid_time=None)]
    if drop.fault == "misnamed":
        made.expected.pop(earlier_name, None)
        return [replace(drop, name=earlier_name)]
    if drop.fault == "reissued":
        [frame] = made.truth[valid_time]
        corrected = replace(frame, rain_rate=np.asarray(frame.rain_rate * np.float32(CORRECTION)))
        path = spool / f"corrected-{Path(drop.name).stem}.nc"
        write_netcdf(corrected, path)
        made.truth[valid_time].append(read([path]))
        made.expected[path.name] = "reissued"
        return [drop, replace(drop, at=drop.at + 1.6 * step, name=path.name, content=path.read_bytes())]
    if drop.fault == "half-written":
        half = replace(drop, content=drop.content[: len(drop.content) // 2], valid_time=None, whole=False)
        return [half, replace(drop, at=drop.at + 0.4 * step, whole=False)]
    return [drop]
