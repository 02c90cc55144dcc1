"""Run a nowcast of the queue as a batch with others that wait for the same model.

The ledger is authoritative: jobs are claimed there, and the message of a job that was claimed for an earlier batch is
ignored.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from model.core.errors import DeviceLost, TooLarge
from model.core.interrupt import Interrupted
from service.jobs.job import Job, Problem
from workers.context import WorkerContext
from workers.give_way import GiveWay
from workers.nowcast_job import NowcastJob, unclaim
from workers.time_limit import AllottedTimeUsed, interrupted_after, time_limit_interrupts

if TYPE_CHECKING:
    from model.runtime.predictor import Predictor

OUT_OF_TIME: Final = 0.9
"""A nowcast that did not have the worker for itself fails if it used this share of the time limit."""

DEVICE_LOST: Final = Problem(
    code="device-lost",
    what="the device that the nowcast ran on stopped responding",
    where="worker",
    hint="Try again; the worker's log has the reason",
)

log = logging.getLogger(__name__)


def run(job_id: str, context: WorkerContext) -> None:
    """Claim a job for a message, run it with others that wait for the same model, and record how each of them ended.

    The job is the one whose turn it is, which need not be the message's own. Nothing happens where none waits.

    Raises
    ------
    DeviceLost
        The device stopped responding, and this process can run no further nowcast. The running jobs were released.
    """
    job = _claim(job_id, context)
    if job is None:
        log.info("no job waits for the message of job %s", job_id)
        return
    with ExitStack() as stack:
        batch = [stack.enter_context(NowcastJob(job, context))]
        give_way = GiveWay(context, partial(_run_in_place, batch=batch, context=context))
        try:
            with time_limit_interrupts():
                _gather(batch, stack, context)
                gives_way = all(nowcast.job.attempt == 1 for nowcast in batch) and context.settings.max_attempts > 1
                for predictor, nowcasts in _by_predictor(batch).items():
                    _forecast(predictor, nowcasts, context, give_way if gives_way else None)
        except Interrupted:
            _out_of_time(batch, context.settings.job_time_limit_seconds, shared=len(batch) > 1 or give_way.gave_way)
        except DeviceLost:
            for nowcast in _running(batch):
                nowcast.retry(DEVICE_LOST, at_once=True)
            raise
    _enqueue_held_back(job, context)


def _run_in_place(
    job: Job, small_seconds: float, limit: float, batch: Sequence[NowcastJob], context: WorkerContext
) -> None:
    """Run a claimed job in the place of a batch that waits; leave it to its turn if it turns out to be larger.

    The frames of the batch stay in memory, and count: with those of the job they are at most `max_pixels`.

    Raises
    ------
    DeviceLost
        The device stopped responding.
    Interrupted
        The time limit of the batch is over.
    """
    left = context.settings.max_pixels - sum(map(_pixels, batch))
    context = replace(context, settings=context.settings.model_copy(update={"max_pixels": left}))
    with NowcastJob(job, context) as nowcast:
        try:
            with interrupted_after(limit):
                with nowcast.recording_failures():
                    try:
                        nowcast.prepare()
                    except TooLarge:
                        nowcast.unclaim()
                if not nowcast.ended and nowcast.job.cost_seconds > small_seconds:
                    nowcast.unclaim()
                elif not nowcast.ended:
                    _forecast(nowcast.predictor, [nowcast], context)
        except AllottedTimeUsed:
            nowcast.retry(_time_limit(limit), at_once=True)
        except Interrupted:
            nowcast.unclaim()
            raise
        except DeviceLost:
            nowcast.retry(DEVICE_LOST, at_once=True)
            raise


def _enqueue_held_back(job: Job, context: WorkerContext) -> None:
    """Enqueue a job that waited for this one to end, by the limit of running jobs of its client."""
    waiting = context.fair_share.held_back(job.client) if job.running_limit else None
    if waiting is not None:
        context.queue.enqueue(waiting)


def _claim(job_id: str, context: WorkerContext) -> Job | None:
    """Claim one job for a message, by whose turn it is: of a feed its newest, else see `FairShare.claim_next`."""
    seconds, most = context.settings.lease_seconds, context.settings.max_attempts
    newest = context.feed_ledger.newest_waiting_job(job_id)
    if newest is None:
        return context.fair_share.claim_next(job_id, seconds, max_attempts=most)
    for candidate in dict.fromkeys((newest, job_id)):
        job = context.ledger.claim(candidate, seconds, max_attempts=most)
        if job is not None:
            return job
    return None


def _gather(batch: list[NowcastJob], stack: ExitStack, context: WorkerContext) -> None:
    """Read the files of the first job, then claim and read others, twice, with a bounded wait between.

    A job whose first attempt did not survive, or killed its worker, runs alone, so that it takes no other job with it.
    So does a job that has a single attempt, because the failure of a batch would be its end. All frames together have
    at most `max_pixels`: the first job beyond that and those after it are left to other workers.
    """
    settings, (first,) = context.settings, batch
    deadline = time.monotonic() + settings.batch_wait_ms / 1000
    _prepare(first)
    if first.ended or first.job.attempt > 1 or settings.max_attempts == 1:
        return
    largest = min(context.models.batch_size, settings.max_pixels // first.sequence.rain_rate.size)
    for last in (False, True):
        if len(batch) >= largest:
            break
        if last:
            time.sleep(max(0.0, deadline - time.monotonic()))
        _claim_others(batch, largest, stack, context)
        if not _prepare_others(batch, settings.max_pixels):
            break
    running = _running(batch)
    if len(running) > 1:
        log.info("jobs %s run as one batch", ", ".join(nowcast.job.id for nowcast in running))


def _claim_others(batch: list[NowcastJob], largest: int, stack: ExitStack, context: WorkerContext) -> None:
    """Claim jobs for the model of the first one until the batch has `largest`; an error only leaves it smaller."""
    claimed: list[Job] = []
    try:
        claimed += context.fair_share.claim_similar(batch[0].job, largest - len(batch), context.settings.lease_seconds)
        while claimed:
            batch.append(stack.enter_context(NowcastJob(claimed[0], context)))
            del claimed[0]
    except Exception:
        log.exception("job %s runs in a smaller batch", batch[0].job.id)
    finally:
        for job in claimed:
            unclaim(job, context)


def _prepare_others(batch: Sequence[NowcastJob], max_pixels: int) -> bool:
    """Read the files of the other jobs; return False if their frames exceed `max_pixels`."""
    available = max_pixels - sum(_pixels(nowcast) for nowcast in batch)
    for nowcast in batch:
        if nowcast.ended or nowcast.prepared:
            continue
        if available >= 0:
            try:
                _prepare(nowcast)
            except DeviceLost:
                raise
            except Exception:
                log.exception("job %s could not be started", nowcast.job.id)
                nowcast.abandon()
            available -= _pixels(nowcast)
        if available < 0:
            nowcast.unclaim()
    return available >= 0


def _pixels(nowcast: NowcastJob) -> int:
    """Return the number of pixels of its frames that are in memory."""
    return nowcast.sequence.rain_rate.size if nowcast.prepared and not nowcast.ended else 0


def _prepare(nowcast: NowcastJob) -> None:
    with nowcast.recording_failures():
        nowcast.prepare()


def _by_predictor(batch: Sequence[NowcastJob]) -> dict[Predictor, list[NowcastJob]]:
    """Group nowcasts by predictor, in the order of the first of each group."""
    groups: dict[Predictor, list[NowcastJob]] = {}
    for nowcast in _running(batch):
        groups.setdefault(nowcast.predictor, []).append(nowcast)
    return groups


def _forecast(
    predictor: Predictor, nowcasts: Sequence[NowcastJob], context: WorkerContext, give_way: GiveWay | None = None
) -> None:
    """Run nowcasts as one batch. If that fails as a whole, run each by itself, so that the one at fault fails alone."""
    try:
        _run_batch(predictor, nowcasts, context, give_way)
    except DeviceLost:
        raise
    except Exception as error:
        remaining = _running(nowcasts)
        if len(remaining) > 1:
            log.warning("a batch of %d failed, each nowcast runs alone: %s", len(nowcasts), error)
        for nowcast in remaining:
            with nowcast.recording_failures():
                if len(nowcasts) == 1:
                    raise
                nowcast.discard_frames()
                _run_batch(predictor, [nowcast], context, give_way)


def _run_batch(
    predictor: Predictor, nowcasts: Sequence[NowcastJob], context: WorkerContext, give_way: GiveWay | None
) -> None:
    """Run nowcasts until each has ended, and small ones between their steps where they give way.

    A nowcast that runs alone offers its tiles to other workers.
    """
    from model.runtime.request import ForecastRequest
    from workers.offered_tiles import OfferedTiles

    with ExitStack() as stack:
        running: dict[ForecastRequest, NowcastJob] = {}
        for each in nowcasts:
            with each.recording_failures():
                offered = OfferedTiles(each.job, predictor, context) if len(nowcasts) == 1 else None
                request = ForecastRequest.for_context(
                    *(each.sequence, predictor.info, each.job.steps),
                    note=each.note,
                    remote_tiles=offered,
                    output=each.output,
                )
                running[request] = each
                if offered is not None:
                    stack.enter_context(closing(offered))
        events = predictor.forecast(list(running))
        while running:
            with _computing(running.values()):
                event = next(events, None)
            if event is None:
                raise RuntimeError(f"{predictor.info.reference} ended before its forecasts were complete")
            nowcast = running[event.request]
            with nowcast.recording_failures():
                nowcast.handle(event)
            if nowcast.ended:
                event.request.cancellation.cancel()
                del running[event.request]
            if running and give_way is not None:
                give_way.between_steps(running.values())


@contextmanager
def _computing(nowcasts: Collection[NowcastJob]) -> Iterator[None]:
    """Add the time of the block to the compute time of running nowcasts, each of which used an equal share."""
    started = time.monotonic()
    try:
        yield
    finally:
        seconds = time.monotonic() - started
        for nowcast in nowcasts:
            nowcast.add_compute_time(seconds, 1 / len(nowcasts))


def _out_of_time(batch: Sequence[NowcastJob], limit: float, *, shared: bool) -> None:
    """Fail the nowcast that used up the time limit; release those that `shared` it with others, to run alone."""
    problem = _time_limit(limit)
    for nowcast in _running(batch):
        if not shared or nowcast.used_seconds >= OUT_OF_TIME * limit:
            log.warning("job %s: time limit", nowcast.job.id)
            nowcast.fail(problem)
        else:
            nowcast.retry(problem, at_once=True)


def _time_limit(limit: float) -> Problem:
    return Problem(
        code="time-limit",
        what=f"the nowcast took longer than {limit:g} s",
        where="worker",
        hint="Request fewer steps or a part of the grid, or raise ECHOCAST_JOB_TIME_LIMIT_SECONDS",
    )


def _running(batch: Sequence[NowcastJob]) -> list[NowcastJob]:
    return [nowcast for nowcast in batch if not nowcast.ended]
