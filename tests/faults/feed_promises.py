"""What must hold of a feed, whatever happened to its frames on their way: read from its ledger and its answers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from model.core.grid_places import lon_lat_of_pixel, pixel_of_lon_lat
from model.core.sequence import FrameSequence
from service.feeds.config import Feed
from service.feeds.tables import RunState
from service.jobs.job import JobStatus
from service.store import result_key
from tests.faults.feed_chaos import Plan
from tests.workers.conftest import Lab
from workers.context import WorkerContext

WINDOW: Final = 12
"""Intervals of which none may be missing, or the feed is partial."""
DRY_MM_H: Final = 0.1
ROUNDED: Final = 0.06
"""An age in an answer is rounded by at most this much (minutes)."""


def broken_promises(feed: Feed, plan: Plan, context: WorkerContext, folder: Path) -> Iterator[str]:
    """Yield what is wrong once all runs have ended: in the frames, the files, the runs and the products."""
    ledger = context.feed_ledger
    frames = {frame.valid_time: frame for frame in ledger.frames(feed.name)}
    yield from _differ("frames", frames.keys(), plan.truth.keys())
    for valid_time in frames.keys() & plan.truth.keys():
        if frames[valid_time].digest != plan.truth[valid_time][-1].digest():
            yield f"the frame of {valid_time:%H:%M} is not the one that was issued last"
    files = {file.name: file for file in ledger.newest_files(feed.name, 10_000)}
    for name, state in plan.expected.items():
        if name not in files or files[name].state.value != state:
            yield f"{name} is {files[name].state.value if name in files else 'unknown'}, not {state}"
    runs = ledger.runs(feed.name)
    yield from _differ("runs", [run.reference_time for run in runs], plan.truth.keys())
    for run in runs:
        if run.reference_time == plan.survivors[0] and run.state is RunState.WAITING:
            continue  # there is no motion in one frame
        issued = len(plan.truth.get(run.reference_time, [None])) - 1
        if (run.state, run.status, run.revision) != (RunState.SUBMITTED, JobStatus.SUCCESSFUL, issued):
            what = run.problem["what"] if run.problem else run.reason
            yield f"the run from {run.reference_time:%H:%M} is {run.state} {run.status} {run.revision}: {what}"
        elif run.published is None:
            yield f"the run from {run.reference_time:%H:%M} was not published"
        else:
            yield from _product(run.job_id or "", run.reference_time, context, folder)
    yield from _once(feed, plan, context)


def _differ(what: str, found: Any, expected: Any) -> Iterator[str]:
    found, expected = Counter(found), Counter(expected)
    for sign, times in (("unexpected", found - expected), ("missing", expected - found)):
        if times:
            yield f"{what} {sign}: {', '.join(f'{time:%d. %H:%M}' for time in sorted(times.elements()))}"


def _product(job_id: str, reference_time: datetime, context: WorkerContext, folder: Path) -> Iterator[str]:
    """Check the times of a product."""
    path = context.store.fetch(result_key(job_id), folder / "product.nc")
    with xr.open_dataset(path) as product:
        reference = np.datetime64(reference_time.replace(tzinfo=None), "ns")
        if product.forecast_reference_time.values != reference:
            yield f"the product from {reference_time:%H:%M} says {product.forecast_reference_time.values}"
        leads = product.time.values - reference
        if not (leads > np.timedelta64(0)).all() or (np.diff(leads) != leads[0]).any():
            yield f"the product from {reference_time:%H:%M} has the valid times {product.time.values}"
        if not np.isfinite(product.rainfall_rate.values[0]).any():
            yield f"the product from {reference_time:%H:%M} has no data"
    path.unlink()


def _once(feed: Feed, plan: Plan, context: WorkerContext) -> Iterator[str]:
    """Check that no reference time was forecast twice but for frames that were issued again."""
    of_feed = [job for job in Lab.jobs(context.ledger) if job.feed == feed.name]
    unfinished = [job for job in of_feed if not job.status.finished]
    if unfinished:
        yield f"{len(unfinished)} jobs have not ended"
    made = sum(job.status is JobStatus.SUCCESSFUL for job in of_feed)
    contents = sum(len(frames) for frames in plan.truth.values())
    if made not in (contents, contents - 1):  # the first frame waits
        yield f"{made} nowcasts were made of {contents} frames"


class Looked:
    """What answers have shown of a feed. `broken`: what was wrong in them; `statuses`: how often each was seen."""

    def __init__(self, feed: Feed, plan: Plan) -> None:
        self.feed, self.plan = feed, plan
        self.broken: list[str] = []
        self.statuses: Counter[str] = Counter()
        self.sentences: Counter[str] = Counter()

    def status(self, answer: dict[str, Any], frames: Sequence[datetime]) -> None:
        """Check a status, with the valid times of the frames that were known when it was given, the newest first."""
        self.statuses[answer["status"]] += 1
        expected = self._expected_status(answer["age_minutes"], frames)
        if answer["status"] not in expected:
            self._complain(f"the status is {answer['status']}, not {' or '.join(sorted(expected))}: {answer}")

    def _expected_status(self, age: float | None, frames: Sequence[datetime]) -> set[str]:
        if age is None or not frames:
            return {"unavailable"}
        interval = self.plan.interval / timedelta(minutes=1)
        due = interval + self.feed.delay
        window = frames[: WINDOW + 1]
        since = max(window[0] - WINDOW * self.plan.interval, window[-1])
        span = round((window[0] - since) / self.plan.interval) + 1
        there = sum(time >= since - self.plan.interval / 2 for time in window)
        fresh = "partial" if there < span else "ok"
        if len(frames) < 3:
            return {"ok", "delayed", "unavailable"}  # the interval is not known yet
        limits = ((max(due, self.feed.max_age), "unavailable"), (due, "delayed"), (-1.0, fresh))
        # The age is rounded: near a limit, the statuses on both sides of it are right.
        return {next(status for limit, status in limits if near > limit) for near in (age - ROUNDED, age + ROUNDED)}

    def point(self, answer: dict[str, Any], lon: float, lat: float) -> None:
        """Check an answer for a place: what it says was observed is what was observed, and nothing missing is dry."""
        self.sentences[answer["coverage"]] += 1
        now = datetime.fromisoformat(answer["now"])
        for value in answer["past"]:
            valid_time, rate = datetime.fromisoformat(value["valid_time"]), value["rain_rate"]
            truths = [_at(frame, lon, lat) for frame in self.plan.truth.get(valid_time, [])]
            if rate is None or any(math.isclose(rate, true, rel_tol=0.02, abs_tol=0.02) for true in truths):
                continue
            self._complain(f"{rate} mm/h were observed at {valid_time:%H:%M}, where the frames have {truths}")
        if any(datetime.fromisoformat(value["valid_time"]) <= now for value in answer["forecast"]):
            self._complain(f"a forecast is of the past: {answer['forecast'][0]['valid_time']}, now {now}")
        known = [value["rain_rate"] for value in answer["forecast"] if value["rain_rate"] is not None]
        dry = answer["outlook"] is not None and answer["outlook"]["state"] == "dry"
        if dry and (answer["coverage"] != "ok" or len(known) < len(answer["forecast"])):
            self._complain(f"dry without data: {answer['sentence']}, {len(known)} of {len(answer['forecast'])} known")
        if dry and max(known) >= DRY_MM_H:
            self._complain(f"dry, with {max(known)} mm/h: {answer['sentence']}")

    def _complain(self, what: str) -> None:
        if len(self.broken) < 20:
            self.broken.append(what)


def places(plan: Plan, count: int) -> list[tuple[float, float]]:
    """Return places (longitude, latitude): the wettest pixels of frames apart, and one where there never is data."""
    times = plan.survivors
    found = []
    for number in range(count - 1):
        frame = plan.truth[times[number * len(times) // count]][-1]
        row, column = np.unravel_index(np.nanargmax(frame.rain_rate[0]), frame.grid.shape)
        found.append(lon_lat_of_pixel(frame.grid, int(row), int(column)))
    never = np.isnan([frame.rain_rate[0] for frame in (frames[-1] for frames in plan.truth.values())]).all(axis=0)
    if never.any():
        row, column = np.argwhere(never)[0]
        found.append(lon_lat_of_pixel(frame.grid, int(row), int(column)))
    return found


def _at(frame: FrameSequence, lon: float, lat: float) -> float:
    row, column = pixel_of_lon_lat(frame.grid, lon, lat)
    return float(frame.rain_rate[0, row, column])


def latencies(feed: Feed, arrived: dict[datetime, datetime], context: WorkerContext) -> dict[str, float]:
    """Return the seconds from the arrival of a frame to its published nowcast."""
    seconds = sorted(
        (run.published.astimezone(UTC) - arrived[run.reference_time]).total_seconds()
        for run in context.feed_ledger.runs(feed.name)
        if run.published is not None and run.reference_time in arrived
    )
    if not seconds:
        return {}
    at = {"median": 0.5, "p99": 0.99}
    return {name: round(float(np.quantile(seconds, share)), 1) for name, share in at.items()} | {
        "longest": round(seconds[-1], 1)
    }
