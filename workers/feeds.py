"""Looking at the feeds' folders: each new frame becomes one job, once."""

from __future__ import annotations

import fnmatch
import logging
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from model.core.errors import InputError
from service.jobs.feed_ledger import FeedRun, Frame, RunState
from service.jobs.feeds import SUFFIX, Feed, read_feeds
from service.jobs.job import JobInput, JobStatus, NewJob, Problem, problem_of
from workers.context import Context
from workers.frames import frames_wanted

SPARE: Final = 3
"""A job is given this many times the frames that its model wants, for where one of them is broken or missing."""

FORGET_DAYS: Final = 30
"""Runs of frames that have left the folder are forgotten after this."""

log = logging.getLogger(__name__)


def scan(context: Context) -> None:
    """Look at every feed; what is wrong with one does not stop the others."""
    config = read_feeds(context.settings.feeds_path)
    for problem in config.problems:
        _tell(problem["where"], problem["what"], problem["mend"])
    for feed in config.feeds:
        try:
            scan_feed(feed, context)
        except InputError as error:
            _tell(error.where, error.what, error.mend)
            context.feed_ledger.scanned(feed.name, problem_of(error))
        except Exception:
            log.exception("feed %s", feed.name)
            context.feed_ledger.scanned(feed.name, _internal(feed))


def scan_feed(feed: Feed, context: Context) -> None:
    """Make a job of each frame that has none. Of a folder that was never seen, only of the newest.

    Raises:
        InputError: the feed names a model that there is not.
    """
    wanted = feed.frames or SPARE * frames_wanted(feed.model, context.catalog)
    frames = settled_frames(feed, context.settings.feed_settle_seconds)
    ledger = context.feed_ledger
    if not ledger.seen(feed.name):
        ledger.begin(feed.name, str(feed.folder), frames[:-1])
    runs = {run.frame: run for run in ledger.runs(feed.name)}
    for index, frame in enumerate(frames):
        run = runs.get(frame.name)
        files = frames[max(0, index + 1 - wanted) : index + 1]
        if run is not None and not _again(run, frame, len(files)):
            continue
        if run is None and feed.output(frame.name).exists():
            ledger.skip(feed.name, frame)
            continue
        job_id = ledger.submit(frame, _job(feed, files), run)
        if job_id is not None:
            log.info("feed %s: frame %s is job %s", feed.name, frame.name, job_id)
            context.queue.enqueue(job_id, feed=True)
    old = datetime.now(UTC) - timedelta(days=FORGET_DAYS)
    here = {frame.name for frame in frames}
    gone = [run.frame for run in runs.values() if run.frame not in here and run.seen < old]
    if gone:
        ledger.forget(feed.name, gone)
    ledger.scanned(feed.name)


def settled_frames(feed: Feed, settle_seconds: float) -> list[Frame]:
    """The feed's frames whose files are whole, by name. Where one is still changing, looks twice."""
    found = _look(feed)
    if any(_changed_within(times, settle_seconds) for _, times in found):
        time.sleep(settle_seconds)
        found = _look(feed)
    return sorted(
        (frame for frame, times in found if not _changed_within(times, settle_seconds)),
        key=lambda frame: frame.name,
    )


def _look(feed: Feed) -> list[tuple[Frame, tuple[float, float]]]:
    """Files that match, and when their content and their entry changed."""
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
            frame = Frame(name=entry.name, size=stat.st_size, modified_ns=stat.st_mtime_ns)
            found.append((frame, (stat.st_mtime, stat.st_ctime)))
    return found


def _may_be_frame(name: str) -> bool:
    """Neither hidden, nor temporary, nor a nowcast, nor a name that no text can hold."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return not name.startswith(".") and not name.endswith((SUFFIX, ".part", ".tmp"))


def _changed_within(times: tuple[float, float], seconds: float) -> bool:
    now = time.time()
    return any(0 <= now - changed < seconds for changed in times)


def _again(run: FeedRun, frame: Frame, files: int) -> bool:
    """Try a frame once more: it waited and more frames are there now, or it failed and has changed."""
    if run.state is RunState.WAITING:
        return files > run.files or not run.is_of(frame)
    return run.status is JobStatus.FAILED and not run.is_of(frame)


def _job(feed: Feed, files: Sequence[Frame]) -> NewJob:
    return NewJob(
        kind="feed",
        model=feed.model,
        steps=feed.steps,
        inputs=tuple(JobInput(name=frame.name, key=str(feed.folder / frame.name), size=frame.size) for frame in files),
        variable=feed.variable,
        zr=feed.zr,
        feed=feed.name,
        output=str(feed.output(files[-1].name)),
    )


@lru_cache(maxsize=100)
def _tell(where: str, what: str, mend: str) -> None:
    """Log a problem of the configuration once per process, not once a minute."""
    log.error("%s: %s. %s", where, what, mend)


def _internal(feed: Feed) -> Problem:
    return Problem(
        code="internal",
        what="the folder could not be looked at",
        where=f"feed {feed.name}",
        mend="The worker's log has the reason",
    )
