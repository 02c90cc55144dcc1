"""Submit the runs of a feed: one nowcast from each frame, the newest first."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from model.core.aliases import CHAMPION
from model.core.catalog import AUTO, Catalog
from model.core.errors import BadPackage, UnknownModel
from model.core.forecast_output import ForecastOutput
from model.core.model_info import EXTRAPOLATION
from service.feeds.config import Feed
from service.feeds.intervals import common_interval_minutes
from service.feeds.tables import FeedFrame, FeedRun, RunState, shown_name
from service.jobs.costs import work_of
from service.jobs.job import Job, JobInput, JobStatus, Problem, problem_of
from workers.context import WorkerContext
from workers.feeds.skill.challengers import challengers_of
from workers.frames import frames_read_by
from workers.publish import CannotPublish

SPARE_FACTOR: Final = 3
"""A run may read this many times the frames that its model reads, because some may be missing or too close together."""

DEFAULT_INTERVAL_MINUTES: Final = 5.0

FAILURES_OF_A_MODEL: Final = ("internal", "worker-lost", "device-lost", "time-limit", "out-of-memory", "bad-package")
"""Problems of a job after which extrapolation may still make the nowcast."""

log = logging.getLogger(__name__)


class _Plan(NamedTuple):
    """Which model a run asks for, for what output; why it is another one than the feed's, and whether the last resort.

    A run of a challenger that is better may still fall back to extrapolation.
    """

    model: str
    output: ForecastOutput
    reason: str = ""
    last_resort: bool = False


def frame_count(feed: Feed, catalog: Catalog) -> int:
    """Return how many frames a run, or one of a challenger, may read."""
    if feed.frames is not None:
        return feed.frames
    read = [EXTRAPOLATION.input_frames]
    for model in (feed.model, *feed.challengers):
        with suppress(UnknownModel, BadPackage):
            read.append(frames_read_by(model, catalog))
    return SPARE_FACTOR * max(read)


def files_to_read_first(feed: Feed, context: WorkerContext) -> int:
    """Return how many files of one frame hold the newest frame and what its run needs of those before it.

    Those are more than the model reads where frames come more often than at its shortest time step.
    """
    newest = context.feed_ledger.frames(feed.name, limit=SPARE_FACTOR + 1)
    interval = feed.interval or common_interval_minutes([frame.valid_time for frame in reversed(newest)])
    interval = interval or DEFAULT_INTERVAL_MINUTES
    try:
        models = context.catalog.resolve(feed.model).models
    except (UnknownModel, BadPackage):
        models = (EXTRAPOLATION,)
    return max(
        1 + math.ceil((info.input_frames - 1) * max(1.0, info.time_step.min_minutes / interval)) for info in models
    )


def submit_runs(
    feed: Feed, context: WorkerContext, arrived: Collection[datetime], *, newest_only: bool = False
) -> Problem | None:
    """Submit a run for each frame of the last `max_age` that has none, or whose frame was issued again since.

    Parameters
    ----------
    feed
        The feed; frames from before its first scan's newest one have no runs.
    context
        Where frames and runs are recorded.
    arrived
        Valid times of frames that have just arrived: too old ones are recorded as skipped.
    newest_only
        Whether to submit the run of the newest frame only, as older files are still to be read.

    Returns
    -------
    Problem or None
        Why extrapolation runs in the place of the feed's model.

    Raises
    ------
    InputError
        The model of the feed cannot give the field or members that the feed names.
    """
    ledger = context.feed_ledger
    plan, problem = _plan(feed, context.catalog)
    plan = _by_skill(feed, context) or plan
    registered, newest = ledger.registered(feed.name), ledger.newest_time(feed.name)
    if registered is None or registered.first_reference_time is None or newest is None:
        return problem
    first, oldest = registered.first_reference_time, newest - timedelta(minutes=feed.max_age)
    window = ledger.frames(feed.name, since=max(first, newest if newest_only else oldest))[::-1]
    most = frame_count(feed, context.catalog)
    frames = [*ledger.frames_before(feed.name, window[0].valid_time, most), *window] if window else []
    of_window = ledger.runs(feed.name, since=oldest)
    runs = {run.reference_time: run for run in of_window if run.model == feed.model}
    of_other_models = {run.reference_time for run in of_window} - runs.keys() - {newest}
    submitted = []
    for frame in window:
        read = [one for one in frames if one.valid_time <= frame.valid_time and one.grid == frame.grid][-most:]
        run = runs.get(frame.valid_time)
        plan_of_run = plan
        if frame.valid_time in of_other_models:  # the feed had another model then
            continue
        if run is not None and not _may_retry(run, frame, len(read)):
            if not _may_fall_back(run, feed):
                continue
            what = run.problem["what"] if run.problem else "it failed"
            plan_of_run = _fallback(feed, f"{feed.model} failed: {what}")
        job = _job(feed, read, plan_of_run, context)
        if ledger.submit(
            job, frame, run, model=feed.model, fallback=plan_of_run.last_resort, reason=plan_of_run.reason
        ):
            log.info("feed %s: the run from %s is job %s", feed.name, frame.valid_time, job.id)
            submitted.append(job.id)
    _skip_old(feed, [time for time in arrived if first <= time < oldest], context)
    for job_id in submitted:  # after all submissions: the worker starts with the newest
        context.queue.enqueue(job_id, "feed")
    return problem


def submit_backfill(feed: Feed, frame: FeedFrame, earlier: FeedRun | None, context: WorkerContext) -> str | None:
    """Submit a run from a frame, however old it is; return the id of its job, None where another process was first.

    `earlier` is the run that there is, which has no nowcast. A run from one of the last `max_age` is like any live one:
    what follows its publication, such as an announcement, is not left out.

    Raises
    ------
    InputError
        The model of the feed cannot give the field or members that the feed names.
    """
    plan, _ = _plan(feed, context.catalog)
    most = frame_count(feed, context.catalog)
    before = context.feed_ledger.frames_before(feed.name, frame.valid_time, most)
    read = [one for one in (*before, frame) if one.grid == frame.grid][-most:]
    newest = context.feed_ledger.newest_time(feed.name) or frame.valid_time
    return context.feed_ledger.submit(
        _job(feed, read, plan, context),
        frame,
        earlier,
        model=feed.model,
        fallback=bool(plan.reason),
        reason=plan.reason,
        backfill=frame.valid_time < newest - timedelta(minutes=feed.max_age),
    )


def planned(feed: Feed, catalog: Catalog) -> tuple[str, Problem | None]:
    """Return the model that a feed's runs ask for, and why it is another one than the feed's.

    Raises
    ------
    InputError
        The model cannot give the field or members that the feed names.
    """
    plan, problem = _plan(feed, catalog)
    return catalog.find(plan.model).reference, problem


def _plan(feed: Feed, catalog: Catalog) -> tuple[_Plan, Problem | None]:
    """Return the feed's model; extrapolation, and the problem, where it is not there.

    Raises
    ------
    InputError
        The model cannot give the field or members that the feed names.
    """
    output = feed.forecast_output
    try:
        if feed.model not in (AUTO, CHAMPION):
            catalog.find(feed.model).check_output(output)
        else:
            catalog.resolve(feed.model)
    except (UnknownModel, BadPackage) as error:
        return _fallback(feed, error.what), problem_of(error)
    return _Plan(feed.model, output), None


def _fallback(feed: Feed, why: str) -> _Plan:
    output, missing = EXTRAPOLATION.closest_output(feed.forecast_output)
    reason = "; ".join(filter(None, [f"{why}; extrapolation runs in its place", missing]))
    return _Plan(EXTRAPOLATION.reference, output, reason, last_resort=True)


def _by_skill(feed: Feed, context: WorkerContext) -> _Plan | None:
    """Return the challenger that runs in the place of the feed's model by its live skill; None where none does."""
    if feed.fall_back is None:
        return None
    preferred = [each for each in context.skill_ledger.skill(feed.name).values() if each.preferred]
    for model, info in challengers_of(feed, context.catalog).items():
        for skill in preferred:
            if skill.model == info.reference and model != feed.model:
                output, missing = info.closest_output(feed.forecast_output)
                return _Plan(info.reference, output, "; ".join(filter(None, [skill.reason, missing])))
    return None


def _may_fall_back(run: FeedRun, feed: Feed) -> bool:
    """Return whether extrapolation may make the nowcast that the feed's model failed to make."""
    if run.status is not JobStatus.FAILED or run.fallback or feed.model.partition("@")[0] == EXTRAPOLATION.name:
        return False
    return run.problem is not None and run.problem["code"] in FAILURES_OF_A_MODEL


def _may_retry(run: FeedRun, frame: FeedFrame, frames: int) -> bool:
    """Return whether to run again.

    More frames have arrived for a run that waited; its frame was issued again; or the folder of nowcasts could not be
    written.
    """
    if run.state is RunState.WAITING and frames > run.frames:
        return True
    if run.status is JobStatus.FAILED and run.problem is not None and run.problem["code"] == CannotPublish.code:
        return True
    return frame.revision > run.revision and run.status not in (JobStatus.ACCEPTED, JobStatus.RUNNING)


def _skip_old(feed: Feed, times: Collection[datetime], context: WorkerContext) -> None:
    """Record that there are no runs from frames that arrived later than `max_age`."""
    if not times:
        return
    reason = f"it arrived when there were frames newer by more than {feed.max_age:g} min, the feed's max_age"
    for frame in context.feed_ledger.frames(feed.name, since=min(times)):
        if frame.valid_time in times:
            context.feed_ledger.skip(frame, feed.model, reason)
            log.warning("feed %s: no run from %s: %s", feed.name, frame.file, reason)


def _job(feed: Feed, frames: Sequence[FeedFrame], plan: _Plan, context: WorkerContext) -> Job:
    newest = frames[-1]
    interval = feed.interval or common_interval_minutes([frame.valid_time for frame in frames])
    interval = interval or DEFAULT_INTERVAL_MINUTES
    steps = feed.lead_steps(interval, newest.valid_time)
    work = work_of(newest.pixels, steps, plan.output)
    output = feed.output(newest.file)
    return Job(
        kind="feed",
        work=work,
        cost_seconds=context.fair_share.cost_seconds(plan.model, work),
        model=plan.model,
        steps=steps,
        inputs=[JobInput(name=shown_name(frame.file), key=frame.key, size=frame.size) for frame in frames],
        forecast_output=plan.output,
        feed=feed.name,
        output=None if output is None else str(output),
    )
