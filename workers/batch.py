"""Running nowcasts: the one that the queue gave, and with it others that wait for the same model.

The ledger is the truth: a job is claimed there, and the message of one that was claimed so finds it not free.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Final

from model.core.errors import DeviceLost
from model.core.interrupt import Interrupted
from service.jobs.job import Job, Problem
from workers.context import WorkerContext
from workers.nowcast import NowcastJob, leave
from workers.time_limit import time_limit_interrupts

if TYPE_CHECKING:
    from model.runtime.predictor import Predictor

OUT_OF_TIME: Final = 0.9
"""A nowcast of several has failed where it used this part of the time limit by itself."""

DEVICE_LOST: Final = Problem(
    code="device-lost",
    what="the device that the nowcast ran on stopped to answer",
    where="worker",
    hint="Ask again; the worker's log has the reason",
)

log = logging.getLogger(__name__)


def run(job_id: str, context: WorkerContext) -> None:
    """Claim the job, or the newest that waits of its feed, run it with others of its kind, and write down how each
    ended; nothing where it is finished or another worker's.

    Raises
    ------
    DeviceLost
        This process can make no nowcast any more. Those that it had begun are given back.
    """
    settings = context.settings
    job = _claim(job_id, context)
    if job is None:
        log.info("job %s is not free: finished, dismissed, or another worker's", job_id)
        return
    with ExitStack() as stack:
        batch = [stack.enter_context(NowcastJob(job, context))]
        try:
            with time_limit_interrupts():
                _gather(batch, stack, context)
                for predictor, nowcasts in _by_predictor(batch).items():
                    _forecast(predictor, nowcasts, context)
        except Interrupted:
            _out_of_time(batch, settings.job_time_limit_seconds)
        except DeviceLost:
            for nowcast in _unfinished(batch):
                nowcast.give_back(DEVICE_LOST)
            raise


def _claim(job_id: str, context: WorkerContext) -> Job | None:
    """Messages come in the order of frames, but a feed needs its newest nowcast first. Each message takes one job."""
    settings = context.settings
    for candidate in dict.fromkeys((context.feed_ledger.newest_waiting_job(job_id), job_id)):
        if candidate is not None:
            job = context.ledger.claim(candidate, settings.lease_seconds, max_attempts=settings.max_attempts)
            if job is not None:
                return job
    return None


def _gather(batch: list[NowcastJob], stack: ExitStack, context: WorkerContext) -> None:
    """Read the first one's files, then claim and read what could run with it; twice, with a bounded wait between.

    A job that did not survive an attempt, or the worker that made it, runs alone: it takes no neighbours with it. Nor
    does one whose first attempt is its last, for what befalls it with others would be its end. The frames of all are
    `max_pixels` at most: from the first neighbour on that has more, they are left to others.
    """
    settings, (first,) = context.settings, batch
    until = time.monotonic() + settings.batch_wait_ms / 1000
    _prepare(first)
    if first.over or first.job.attempt > 1 or settings.max_attempts == 1:
        return
    most = min(context.models.most_at_once, settings.max_pixels // first.sequence.rain_rate.size)
    for last in (False, True):
        if len(batch) >= most:
            break
        if last:
            time.sleep(max(0.0, until - time.monotonic()))
        _claim_neighbours(batch, most, stack, context)
        if not _prepare_neighbours(batch, settings.max_pixels):
            break
    together = _unfinished(batch)
    if len(together) > 1:
        log.info("jobs %s run together", ", ".join(nowcast.job.id for nowcast in together))


def _claim_neighbours(batch: list[NowcastJob], most: int, stack: ExitStack, context: WorkerContext) -> None:
    """Claim jobs like the first until the batch has `most`; what goes wrong here only makes it smaller."""
    claimed: list[Job] = []
    try:
        claimed += context.ledger.claim_similar(batch[0].job, most - len(batch), context.settings.lease_seconds)
        while claimed:
            batch.append(stack.enter_context(NowcastJob(claimed[0], context)))
            del claimed[0]
    except Exception:
        log.exception("job %s runs with fewer others", batch[0].job.id)
    finally:
        for job in claimed:
            leave(job, context)


def _prepare_neighbours(batch: Sequence[NowcastJob], max_pixels: int) -> bool:
    """Read those that are not read; False where not all of them have room."""
    room = max_pixels - sum(_pixels(nowcast) for nowcast in batch)
    for nowcast in batch:
        if nowcast.over or nowcast.prepared:
            continue
        if room >= 0:
            try:
                _prepare(nowcast)
            except DeviceLost:
                raise
            except Exception:
                log.exception("job %s could not be begun", nowcast.job.id)
                nowcast.drop()
            room -= _pixels(nowcast)
        if room < 0:
            nowcast.leave()
    return room >= 0


def _pixels(nowcast: NowcastJob) -> int:
    """Of its frames, as far as they are read and wanted."""
    return nowcast.sequence.rain_rate.size if nowcast.prepared and not nowcast.over else 0


def _prepare(nowcast: NowcastJob) -> None:
    with nowcast.own_failures():
        nowcast.prepare()


def _by_predictor(batch: Sequence[NowcastJob]) -> dict[Predictor, list[NowcastJob]]:
    """Group the nowcasts that one predictor computes, in the order of their first."""
    groups: dict[Predictor, list[NowcastJob]] = {}
    for nowcast in _unfinished(batch):
        groups.setdefault(nowcast.predictor, []).append(nowcast)
    return groups


def _forecast(predictor: Predictor, nowcasts: Sequence[NowcastJob], context: WorkerContext) -> None:
    """Run nowcasts as one batch. If that fails as a whole, run each by itself, so that the one at fault fails alone."""
    try:
        _run_batch(predictor, nowcasts, context)
    except DeviceLost:
        raise
    except Exception as error:
        left = _unfinished(nowcasts)
        if len(left) > 1:
            log.warning("a batch of %d failed, each of them runs by itself: %s", len(nowcasts), error)
        for nowcast in left:
            with nowcast.own_failures():
                if len(nowcasts) == 1:
                    raise
                nowcast.forget()
                _run_batch(predictor, [nowcast], context)


def _run_batch(predictor: Predictor, nowcasts: Sequence[NowcastJob], context: WorkerContext) -> None:
    """Run nowcasts until each has ended; a nowcast that runs alone offers its tiles to other workers."""
    from model.runtime.request import ForecastRequest
    from workers.tiles import OfferedTiles

    with ExitStack() as stack:
        running: dict[ForecastRequest, NowcastJob] = {}
        for each in nowcasts:
            with each.own_failures():
                offered = OfferedTiles(each.job, predictor, context) if len(nowcasts) == 1 else None
                request = ForecastRequest.fit(
                    each.sequence, predictor.info, each.job.steps, note=each.note, remote_tiles=offered
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
            with nowcast.own_failures():
                nowcast.handle(event, predictor)
            if nowcast.over:
                event.request.cancellation.cancel()
                del running[event.request]


@contextmanager
def _computing(nowcasts: Collection[NowcastJob]) -> Iterator[None]:
    """The time within is all of theirs; each has its share of the worker."""
    began = time.monotonic()
    try:
        yield
    finally:
        seconds = time.monotonic() - began
        for nowcast in nowcasts:
            nowcast.computed(seconds, 1 / len(nowcasts))


def _out_of_time(batch: Sequence[NowcastJob], limit: float) -> None:
    """Who used up the time limit has failed; who only ran with others is given back, and will run alone."""
    for nowcast in _unfinished(batch):
        if len(batch) == 1 or nowcast.used >= OUT_OF_TIME * limit:
            log.warning("job %s: time limit", nowcast.job.id)
            nowcast.fail(_time_limit(limit))
        else:
            nowcast.give_back(_time_limit(limit))


def _unfinished(batch: Sequence[NowcastJob]) -> list[NowcastJob]:
    return [nowcast for nowcast in batch if not nowcast.over]


def _time_limit(seconds: float) -> Problem:
    return Problem(
        code="time-limit",
        what=f"the nowcast took longer than {seconds:g} s",
        where="worker",
        hint="Ask for fewer steps or a part of the grid, or raise ECHOCAST_JOB_TIME_LIMIT_SECONDS",
    )
