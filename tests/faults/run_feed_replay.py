"""Replay three real events at once through a real service, and check that each frame has its nowcast.

`python -m tests.faults.run_feed_replay [--minutes 24]` replays KNMI (92 frames), Brisbane (144) and a day of Canada
(240), each in so many minutes, and prints as JSON how long nowcasts took from the arrival of their frames, and how
often each status was seen. With `--chaos --seed 1` frames are missing, twice, late, corrupt, misnamed, issued again and
half-written (`feed_chaos`), there is an outage of 20 replayed minutes, and workers are killed. The exit code is 1 if a
promise was broken (`feed_promises`).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from service.feeds.clock import clock_from
from service.feeds.config import Feed
from service.feeds.feeds_file import read_feeds
from service.settings import Settings
from tests.faults.feed_chaos import CHAOS, NONE, Plan, plan
from tests.faults.feed_promises import Looked, broken_promises, latencies, places
from tests.faults.stacks import SqliteStack
from tests.patience import wait_until
from workers.feeds.replay import Arrival, arrivals_of, radar_files

DATA: Final = Path(os.environ.get("ECHOCAST_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
DELAY: Final = timedelta(minutes=2)
KILL_SECONDS: Final = 120.0
LOOK_SECONDS: Final = 1.0
PLACES: Final = 5


@dataclass(frozen=True, kw_only=True)
class Event:
    """Frames of the past: their files, the interval (minutes), and how many of them at most, from which on."""

    name: str
    path: Path
    interval: float
    first: int = 0
    frames: int = 10_000


EVENTS: Final = (
    Event(name="knmi", path=DATA / "knmi", interval=5),
    Event(name="brisbane", path=DATA / "bom", interval=10),
    Event(name="canada", path=DATA / "events" / "eccc-casgo-20240711.nc", interval=6, first=60, frames=240),
)


@dataclass(kw_only=True)
class Replayed:
    """A feed while it is replayed, and when its frames arrived."""

    feed: Feed
    plan: Plan
    looked: Looked
    arrived: dict[datetime, datetime] = field(default_factory=dict)


def arrivals(event: Event, spool: Path) -> list[Arrival]:
    """Return what arrives of an event."""
    paths = radar_files(event.path) if event.path.is_dir() else [event.path]
    found = arrivals_of(paths, spool, on_skipped=lambda error: print(error, file=sys.stderr))
    return found[event.first : event.first + event.frames]


def write_feeds(path: Path, folder: Path, events: Sequence[Event], keys: str) -> None:
    """Write the configuration of the feeds."""
    tables = []
    for event in events:
        (folder / event.name).mkdir()
        head = f'[[feed]]\nname = "{event.name}"\nfolder = "{folder / event.name}"\ninterval = {event.interval}\n'
        tables.append(f'{head}clock = "replay"\nlead_time = 60\n{keys}\n')
    path.write_text("\n".join(tables))


def replay(replayed: Replayed, minutes: float) -> None:
    """Put all drops of a plan into the feed's folder, in so many minutes."""
    drops = replayed.plan.drops
    length = drops[-1].at - drops[0].at
    clock = clock_from(drops[0].at, length / timedelta(minutes=minutes))
    clock.write(replayed.feed.folder)
    for drop in drops:
        time.sleep(max(0.0, clock.seconds_until(drop.at)))
        drop.put(replayed.feed.folder)
        if drop.valid_time is not None:
            replayed.arrived.setdefault(drop.valid_time, datetime.now(UTC))


def watch(all_replayed: Sequence[Replayed], stack: SqliteStack, stopping: threading.Event) -> None:
    """Ask for the status of each feed, and for places, and check the answers."""
    ledger = stack.context.feed_ledger
    looking = {replayed.feed.name: places(replayed.plan, PLACES) for replayed in all_replayed}
    with httpx.Client(base_url=stack.url, timeout=60) as client:
        turn = 0
        while not stopping.wait(LOOK_SECONDS):
            turn += 1
            for replayed in all_replayed:
                name = replayed.feed.name
                before = [frame.valid_time for frame in ledger.frames(name)]
                with suppress(httpx.TransportError):
                    answer = client.get(f"/v1/feeds/{name}")
                    if answer.is_success and before == [frame.valid_time for frame in ledger.frames(name)]:
                        replayed.looked.status(answer.json(), before)
                    lon, lat = looking[name][turn % len(looking[name])]
                    answer = client.get(f"/v1/feeds/{name}/point", params={"lon": lon, "lat": lat})
                    if answer.is_success:
                        replayed.looked.point(answer.json(), lon, lat)


def kill(stack: SqliteStack, seed: int, stopping: threading.Event, killed: Counter[str]) -> None:
    """Kill a worker, or a process of its pool, again and again."""
    choose = random.Random(seed)
    while not stopping.wait(choose.uniform(0.5, 1.5) * KILL_SECONDS):
        kind = choose.choice(("worker", "child"))
        stack.kill(kind, choose)
        killed[kind] += 1


def run(events: Sequence[Event], minutes: float, model: str, chaos: bool, seed: int, folder: Path) -> dict[str, Any]:
    """Replay the events, and return the figures; `broken`: the promises that were broken."""
    for name in ("frames", "spool", "service"):
        (folder / name).mkdir()
    keys = f'model = "{model}"\nmax_age = {120 if chaos else 600}'
    changes = {} if chaos else {"lease_seconds": Settings().lease_seconds, "threads": 0, "variant": "auto"}
    changes |= {"memory_mb": Settings().memory_mb, "feed_scan_seconds": 1.0, "feed_settle_seconds": 0.1}
    all_replayed = []
    killed: Counter[str] = Counter()
    with ExitStack() as end:
        stack = SqliteStack(folder / "service", 10, own_disk=False, **changes)
        write_feeds(stack.settings.feeds_path, folder / "frames", events, keys)
        for event in events:
            print(f"reading {event.name}", file=sys.stderr)
            (folder / "spool" / event.name).mkdir()
            made = plan(
                arrivals(event, folder / "spool" / event.name),
                *(timedelta(minutes=event.interval), DELAY, CHAOS if chaos else NONE, seed, folder / "spool"),
            )
            feed = read_feeds(stack.settings.feeds_path).find(event.name)
            all_replayed.append(Replayed(feed=feed, plan=made, looked=Looked(feed, made)))
        end.enter_context(stack)
        stopping = threading.Event()
        helpers = [threading.Thread(target=watch, args=(all_replayed, stack, stopping))]
        if chaos:
            helpers.append(threading.Thread(target=kill, args=(stack, seed, stopping, killed)))
        replays = [threading.Thread(target=replay, args=(replayed, minutes)) for replayed in all_replayed]
        for thread in (*helpers, *replays):
            thread.start()
        for thread in replays:
            thread.join()
        broken = [] if _ended(all_replayed, stack) else ["not every frame had its nowcast in time"]
        stopping.set()
        for thread in helpers:
            thread.join()
        figures = {replayed.feed.name: _figures(replayed, stack, folder, broken) for replayed in all_replayed}
    return {"minutes": minutes, "chaos": chaos, "seed": seed, "killed": dict(killed), **figures, "broken": broken}


def _ended(all_replayed: Sequence[Replayed], stack: SqliteStack) -> bool:
    """Wait until each frame has a run, and all runs have ended; return whether that happened."""
    context = stack.context

    def ended() -> bool:
        for replayed in all_replayed:
            runs = {run.reference_time for run in context.feed_ledger.runs(replayed.feed.name)}
            if runs < set(replayed.plan.truth):
                return False
        return not context.ledger.count_unfinished()

    left = -1
    while (now := context.ledger.count_unfinished()) != left:
        left = now
        with suppress(AssertionError):  # a busy machine takes its time: as long as nowcasts end, the wait goes on
            wait_until(ended, "the last nowcasts")
            return True
    return False


def _figures(replayed: Replayed, stack: SqliteStack, folder: Path, broken: list[str]) -> dict[str, Any]:
    """Return what was seen of a feed, and add what was broken."""
    feed, name = replayed.feed, replayed.feed.name
    found = [*replayed.looked.broken, *broken_promises(feed, replayed.plan, stack.context, folder)]
    broken += [f"{name}: {what}" for what in found]
    return {
        "frames": len(replayed.plan.truth),
        "faults": dict(Counter(fault for fault in replayed.plan.faults.values() if fault)),
        "files": dict(Counter(file.state.value for file in stack.context.feed_ledger.newest_files(name, 10_000))),
        "models": dict(_models(feed, stack)),
        "seconds from frame to nowcast": latencies(feed, replayed.arrived, stack.context),
        "statuses": dict(replayed.looked.statuses),
        "coverage": dict(replayed.looked.sentences),
    }


def _models(feed: Feed, stack: SqliteStack) -> Counter[str]:
    """Return how many runs each model has made."""
    jobs = [run.job_id for run in stack.context.feed_ledger.runs(feed.name) if run.job_id is not None]
    return Counter(stack.context.ledger.get(job_id).model_used or "none" for job_id in jobs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=24.0, help="How long each event is replayed.")
    parser.add_argument("--events", nargs="+", choices=[event.name for event in EVENTS], help="By default all.")
    parser.add_argument("--frames", type=int, help="At most so many frames of each event.")
    parser.add_argument("--model", default="auto", help="The model of the feeds.")
    parser.add_argument("--chaos", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="A new folder, which is kept with all that the run left.")
    options = parser.parse_args(arguments)
    events = [event for event in EVENTS if options.events is None or event.name in options.events]
    if options.frames is not None:
        events = [replace(event, frames=min(event.frames, options.frames)) for event in events]
    with tempfile.TemporaryDirectory(prefix="feeds-") as folder:
        if options.keep is not None:
            options.keep.mkdir()
        figures = run(
            *(events, options.minutes, options.model, options.chaos, options.seed, options.keep or Path(folder))
        )
    print(json.dumps(figures, indent=1))
    return bool(figures["broken"])


if __name__ == "__main__":
    sys.exit(main())
