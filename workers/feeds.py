"""Scan the folders of the feeds, and submit one job for each new frame."""

from __future__ import annotations

import fnmatch
import logging
import os
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from model.core.aliases import CHAMPION
from model.core.catalog import AUTO
from model.core.errors import InputError
from service.jobs.costs import work_of_files
from service.jobs.feed_run import FeedRun, FrameFile, RunState
from service.jobs.feeds import NOWCAST_SUFFIX, Feed, read_feeds
from service.jobs.job import Job, JobInput, JobStatus, Problem, problem_of
from workers.context import WorkerContext
from workers.frames import frames_read_by

SPARE_FACTOR: Final = 3
"""A job gets this many times the frames that its model reads, because some may be broken or missing."""

RUN_RETENTION_DAYS: Final = 30
"""Runs of frames that have left the folder are deleted after this time."""

log = logging.getLogger(__name__)


def scan(context: WorkerContext) -> None:
    """Scan every feed; an error of one does not stop the others."""
    config = read_feeds(context.settings.feeds_path)
    for problem in config.problems:
        _log_once(problem["where"], problem["what"], problem["hint"])
    for feed in config.feeds:
        try:
            scan_feed(feed, context)
        except InputError as error:
            _log_once(error.where, error.what, error.hint)
            context.feed_ledger.record_scan(feed.name, problem_of(error))
        except Exception:
            log.exception("feed %s", feed.name)
            context.feed_ledger.record_scan(feed.name, _internal(feed))


def scan_feed(feed: Feed, context: WorkerContext) -> None:
    """Submit a job for each frame that has none or whose file has changed; in a new folder, only for the newest frame.

    Frames that are certainly older than `max_age` are skipped, and so are their waiting jobs. The age of the others is
    known once they are read.

    Raises
    ------
    InputError
        The model of the feed does not exist, or cannot give the field or members that the feed names.
    """
    if feed.model not in (AUTO, CHAMPION):
        context.catalog.find(feed.model).check_output(feed.forecast_output)
    frame_count = feed.frames or SPARE_FACTOR * frames_read_by(feed.model, context.catalog)
    frames = settled_frames(feed, context.settings.feed_settle_seconds)
    ledger = context.feed_ledger
    if not ledger.is_registered(feed.name):
        ledger.register(feed.name, str(feed.folder), frames[:-1])
    runs = {run.frame: run for run in ledger.runs(feed.name)}
    first = max(0, len(frames) - 1 - feed.max_behind)
    _skip(feed, frames[:first], runs, context)
    usable = [frame for frame in frames if not _is_refused(runs.get(frame.name), frame)]
    names = [frame.name for frame in usable]
    submitted = []
    for frame in frames[first:]:
        run = runs.get(frame.name)
        before = bisect_left(names, frame.name)
        files = [*usable[max(0, before + 1 - frame_count) : before], frame]
        if run is not None and not _may_retry(run, frame, len(files)):
            continue
        if run is None and feed.output(frame.name).exists():
            ledger.skip(feed.name, [frame], "its nowcast exists already")
            continue
        job_id = ledger.submit(frame, _job(feed, files, context), run)
        if job_id is not None:
            log.info("feed %s: frame %s is job %s", feed.name, frame.name, job_id)
            submitted.append(job_id)
    for job_id in submitted:  # after all submissions: the worker starts with the newest
        context.queue.enqueue(job_id, feed=True)
    old = datetime.now(UTC) - timedelta(days=RUN_RETENTION_DAYS)
    present = {frame.name for frame in frames}
    gone = [run.frame for run in runs.values() if run.frame not in present and run.seen < old]
    if gone:
        ledger.delete_runs(feed.name, gone)
    ledger.record_scan(feed.name)


def _skip(feed: Feed, frames: Sequence[FrameFile], runs: Mapping[str, FeedRun], context: WorkerContext) -> None:
    """Record that there is no nowcast from frames that are older than the feed's `max_age`."""
    reason = f"there are more than {feed.max_behind} newer frames; max_age is {feed.max_age:g} min"
    new = [frame for frame in frames if frame.name not in runs]
    if new:
        context.feed_ledger.skip(feed.name, new, reason)
    late = [frame for frame in frames if frame.name in runs and _is_due(runs[frame.name], frame)]
    for frame in late:
        context.feed_ledger.skip_existing(runs[frame.name], frame, reason)
    for frame in [*new, *late]:
        log.warning("feed %s: frame %s is skipped: %s", feed.name, frame.name, reason)


def settled_frames(feed: Feed, settle_seconds: float) -> list[FrameFile]:
    """Return the feed's frames whose files are complete, by name; scan twice if a file has just changed."""
    found = _scan_folder(feed)
    if any(_changed_within(times, settle_seconds) for _, times in found):
        time.sleep(settle_seconds)
        found = _scan_folder(feed)
    settled = (frame for frame, times in found if not _changed_within(times, settle_seconds))
    return sorted(settled, key=lambda frame: frame.name)


def _scan_folder(feed: Feed) -> list[tuple[FrameFile, tuple[float, float]]]:
    """Return matching files, and the times at which their content and their inode changed."""
    found = []
    with os.scandir(feed.folder) as entries:
        for entry in entries:
            if not _may_be_frame(entry.name) or not fnmatch.fnmatch(entry.name, feed.pattern):
                continue
            try:
                if not entry.is_file():
                    continue
                stat = entry.stat()
            except FileNotFoundError:
                continue
            frame = FrameFile(name=entry.name, size=stat.st_size, modified_ns=stat.st_mtime_ns)
            found.append((frame, (stat.st_mtime, stat.st_ctime)))
    return found


def _may_be_frame(name: str) -> bool:
    """Return whether a file is no hidden or temporary one, no nowcast, and has a name that is valid Unicode."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return not name.startswith(".") and not name.endswith((NOWCAST_SUFFIX, ".part", ".tmp"))


def _changed_within(times: tuple[float, float], seconds: float) -> bool:
    now = time.time()
    return any(0 <= now - changed < seconds for changed in times)


def _may_retry(run: FeedRun, frame: FrameFile, files: int) -> bool:
    """Return whether to try a frame again: more frames have arrived for one that waited, or its file has changed."""
    if run.state is RunState.WAITING and files > run.files:
        return True
    return not run.matches(frame) and run.status not in (JobStatus.ACCEPTED, JobStatus.RUNNING)


def _is_due(run: FeedRun, frame: FrameFile) -> bool:
    """Return whether a frame's job waits, or its file has changed since the last try."""
    return run.status is JobStatus.ACCEPTED or _may_retry(run, frame, 0)


def _is_refused(run: FeedRun | None, frame: FrameFile) -> bool:
    """Return whether the frame's valid time was wrong, so that no other nowcast may read the frame, either."""
    return run is not None and run.state is RunState.REFUSED and run.matches(frame)


def _job(feed: Feed, files: Sequence[FrameFile], context: WorkerContext) -> Job:
    work = work_of_files(sum(frame.size for frame in files), len(files), feed.steps, feed.forecast_output)
    return Job(
        kind="feed",
        work=work,
        cost_seconds=context.fair_share.cost_seconds(feed.model, work),
        model=feed.model,
        steps=feed.steps,
        inputs=[JobInput(name=frame.name, key=str(feed.folder / frame.name), size=frame.size) for frame in files],
        variable=feed.variable,
        zr=feed.zr,
        forecast_output=feed.forecast_output,
        feed=feed.name,
        output=str(feed.output(files[-1].name)),
    )


@lru_cache(maxsize=100)
def _log_once(where: str, what: str, hint: str) -> None:
    """Log a problem of the configuration once per process, not at each scan."""
    log.error("%s: %s. %s", where, what, hint)


def _internal(feed: Feed) -> Problem:
    return Problem(
        code="internal", what="the folder could not be scanned", where=f"feed {feed.name}", hint="See the worker's log"
    )
