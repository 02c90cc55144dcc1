"""A nowcast that a worker has claimed, from its files to the published result.

A nowcast may run more than once, and is published once.
"""

from __future__ import annotations

import logging
import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

from sqlalchemy.exc import SQLAlchemyError

from model.core.aliases import CHAMPION
from model.core.catalog import AUTO, Catalog
from model.core.errors import BadPackage, DeviceLost, InputError, TooFewFrames, TooLarge
from model.core.forecast_output import ForecastOutput
from model.core.model_info import EXTRAPOLATION, ModelInfo
from service.feeds.config import Feed
from service.feeds.feeds_file import read_feeds
from service.feeds.tables import RunState
from service.jobs.costs import work_of
from service.jobs.job import Job, Problem, Timings, problem_of
from service.jobs.reuse import models_digest
from service.log import log_context
from service.metrics.instruments import MODEL_NOWCASTS
from service.store import MissingObject, delete_uploads, input_key, result_key
from workers.context import WorkerContext
from workers.job_trace import JobTrace
from workers.lease import Lease, LeaseLost
from workers.model_cache import SWAP_SECONDS, StillLoading, reason
from workers.publish import CannotPublish, check_opens, put_file

if TYPE_CHECKING:
    from model.core.forecast_file import ForecastHeader, ForecastWriter
    from model.core.sequence import FrameSequence
    from model.runtime.predictor import Predictor
    from model.runtime.request import ForecastEvent
    from workers.feeds.skill.recalibrated import Recalibration

INTERNAL: Final = Problem(
    code="internal",
    what="the nowcast failed in the service",
    where="worker",
    hint="See the worker's log, under the id of the nowcast",
)

log = logging.getLogger(__name__)


class OutOfDate(Exception):
    """A frame is valid, but too old for its nowcast to be of use."""


class NowcastJob:
    """A claimed job while it runs.

    Attributes
    ----------
    job : Job
        The job in the ledger.
    ended : bool
        Whether it has succeeded, failed, or was given up.
    prepared : bool
        Whether `sequence`, `output`, `predictor` and `note` are set.
    output : ForecastOutput
        What the forecast holds: of what was asked for, all that the model can give.
    used_seconds : float
        Time that it had the worker; of a batch, its share.
    """

    sequence: FrameSequence
    output: ForecastOutput
    predictor: Predictor
    note: str

    def __init__(self, job: Job, context: WorkerContext) -> None:
        self.job = job
        self.ended = False
        self.prepared = False
        self.used_seconds = 0.0
        self._done = 0
        self._fell_back = False
        self._context = context
        self._seconds = {"read": 0.0, "compute": 0.0, "write": 0.0}
        self._writer: ForecastWriter | None = None
        self._recalibration: Recalibration | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._log_context(), ExitStack() as stack:
            folder = tempfile.TemporaryDirectory(prefix="echocast-")
            self._folder = Path(stack.enter_context(folder))
            seconds = self._context.settings.lease_seconds
            self._lease = Lease(self._context.ledger, self.job, seconds, self._context.queue.notify_changed)
            stack.callback(self._lease.close)
            stack.callback(self.discard_frames)
            self._trace = JobTrace(self.job)
            stack.callback(self._close_trace)
            self._stack = stack.pop_all()
            log.info("job %s: attempt %d", self.job.id, self.job.attempt)
            self._context.queue.notify_changed(self.job.id)
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    @contextmanager
    def recording_failures(self) -> Iterator[None]:
        """Record an error inside the block as the end of this nowcast; other nowcasts of the batch continue."""
        with self._log_context(), self._recording_failures():
            yield

    def _log_context(self) -> AbstractContextManager[None]:
        return log_context(job_id=self.job.id, request_id=(self.job.origin or {}).get("request_id"))

    @contextmanager
    def _recording_failures(self) -> Iterator[None]:
        try:
            yield
        except DeviceLost:
            raise
        except LeaseLost:
            log.info("job %s: stopped, because it was dismissed or its lease was lost", self.job.id)
            self._end()
        except TooFewFrames as error:
            if self.job.kind == "feed":
                self._dismiss(RunState.WAITING, f"waits for more frames: {error.what}")
            else:
                self.fail(problem_of(error))
        except OutOfDate as error:
            self._dismiss(RunState.SKIPPED, str(error))
        except CannotPublish as error:
            log.warning("job %s: %s", self.job.id, error)
            self.retry(problem_of(error))
        except MissingObject as error:
            if not self._take_published():
                log.warning("job %s: %s", self.job.id, error)
                self.fail(problem_of(error))
        except InputError as error:
            if self.job.kind == "feed":
                name = self.job.inputs[-1]["name"]
                log.warning("job %s, feed %s: %s: %s", self.job.id, self.job.feed, name, error.what)
            else:
                log.info("job %s: %s", self.job.id, error)
            self.fail(problem_of(error))
        except Exception:
            log.exception("job %s failed", self.job.id)
            self.retry(INTERNAL)

    def fail(self, problem: Problem) -> None:
        """Record the failure."""
        failed = self._context.ledger.fail(self.job, problem, self._timings())
        self._trace.failed(problem["code"])
        self._context.queue.notify_completed(self.job.id)
        if failed:
            delete_uploads(self._context.store, self.job.id)
        self._end()

    def _dismiss(self, state: RunState, note: str) -> None:
        """Record that a feed's frame gets no nowcast, and why; that is no failure."""
        log.info("job %s, feed %s: %s: %s", self.job.id, self.job.feed, self.job.inputs[-1]["name"], note)
        self._context.feed_ledger.record_run(self.job.id, state, note)
        self._context.skill_ledger.record_challenger(self.job.id, note)
        self._context.ledger.dismiss_claimed(self.job, note)
        self._end()

    def retry(self, problem: Problem, *, at_once: bool = False) -> None:
        """Release the job for another attempt, later or at once; the last attempt fails with `problem`.

        Later: a store that is down may recover, and a full disk may be cleared.
        """
        if self.job.attempt >= self._context.settings.max_attempts:
            self.fail(problem)
            return
        if self._context.ledger.release(self.job):
            if at_once:
                log.warning("job %s: released: %s", self.job.id, problem["what"])
                self._context.queue.enqueue(self.job.id, self.job.kind)
            else:
                log.info("job %s: next attempt in %g s", self.job.id, self._context.settings.requeue_seconds)
        self._end()

    def unclaim(self) -> None:
        """Leave the job to another worker or a later batch; the attempt does not count."""
        unclaim(self.job, self._context)
        self.abandon()

    def abandon(self) -> None:
        """Free the frames, and record nothing: the reconciler requeues the job once its lease has expired."""
        self.__dict__.pop("sequence", None)
        self._end()

    def _end(self) -> None:
        self.ended = True
        self._stack.close()
        if self.job.attempt > 1:  # an earlier attempt was interrupted, and may have left tiles
            from workers.offered_tiles import delete_tiles

            delete_tiles(self._context.store, self.job.id)

    def prepare(self) -> None:
        """Read the frames, and load the model that the job's reference resolves to.

        For `auto` and `champion` the package before it runs while a package is being loaded, or if that fails; see
        `Catalog.resolve`. What that package cannot give of the output is left out, and noted.

        Raises
        ------
        InputError
            The frames cannot be used.
        TooLarge
            There are more members than `max_member_pixels` allows.
        """
        from workers.frames import read_frames

        job, context = self.job, self._context
        is_alias = job.model in (AUTO, CHAMPION)
        catalog = context.catalog
        digest: str | None = models_digest(catalog, job.model, context.settings)
        if job.kind != "upload":
            check_age(job, context)
        with self._trace.phase("read"), self._timed("read"):
            frames = read_frames(job, context.store, self._folder, context.limits)
        while True:
            info = self._select(frames, catalog)
            try:
                patience = SWAP_SECONDS if is_alias and self._fallback_is_loaded(catalog, info) else None
                self.predictor = context.models.get(info, patience)
                break
            except StillLoading:
                catalog = catalog.excluding(info, "it is still being loaded")
            except (BadPackage, OSError) as error:
                if not is_alias:
                    raise
                catalog = catalog.excluding(info, reason(error))
        if problem := catalog.resolve(job.model).note:
            log.warning("job %s: %s runs: %s", job.id, info.reference, problem)
        self.output = job.forecast_output
        if is_alias or self._fell_back:
            self.output, missing = info.closest_output(self.output)
            self.note = "; ".join(filter(None, [self.note, missing]))
        self._end_at_lead_time()
        check_members(self.output, job.steps, self.sequence.grid.shape, context.settings.max_member_pixels)
        self._lease.check()
        work = work_of(math.prod(self.sequence.grid.shape), job.steps, self.output)
        job.cost_seconds = context.fair_share.cost_seconds(job.model, work)
        costs: dict[str, float] = {"work": work, "seconds": job.cost_seconds}
        # A result of a model that only ran because another one was not ready answers no later request.
        if catalog is not context.catalog or models_digest(catalog, job.model, context.settings) != digest:
            digest = None
        context.ledger.record_model(job, model_used=info.reference, note=self.note, models_digest=digest, **costs)
        self.prepared = True

    def _select(self, frames: FrameSequence, catalog: Catalog) -> ModelInfo:
        """Select model and context; for a feed, extrapolation where the model that was named does not fit."""
        from model.runtime.model_selection import select_model

        job, why = self.job, ""
        if job.kind == "feed":
            run = self._context.feed_ledger.run_of_job(job.id)
            why = run.reason if run is not None else ""
        with self._trace.phase("read"), self._timed("read"):
            try:
                selection = select_model(frames, job.model, catalog)
            except InputError as error:
                if job.kind != "feed":
                    raise
                selection = select_model(frames, EXTRAPOLATION.reference, catalog)
                why = f"{job.model} does not fit the frames: {error.what}; extrapolation runs in its place"
                self._fell_back = True
        info, self.sequence, note = selection
        self.note = "; ".join(filter(None, [why, note]))
        return info

    def _end_at_lead_time(self) -> None:
        """Count the lead steps of a feed's `lead_time` at the time step of the frames that the model reads."""
        feed = _feed_of(self.job, self._context)
        if feed is not None and feed.lead_time is not None:
            reference_time = self.sequence.reference_time.astype("datetime64[s]").item().replace(tzinfo=UTC)
            self.job.steps = feed.lead_steps(self.sequence.time_step_minutes(), reference_time)

    def _fallback_is_loaded(self, catalog: Catalog, info: ModelInfo) -> bool:
        """Return whether the network that would run in its place is loaded, so that the job need not wait long."""
        if info.folder is None:
            return False
        fallback = catalog.excluding(info, "").find(self.job.model)
        return fallback.folder is not None and self._context.models.is_loaded(fallback)

    def add_compute_time(self, seconds: float, share: float) -> None:
        """Add time in which its batch ran; `share` of it was used by this nowcast."""
        self._seconds["compute"] += seconds
        self._trace.computed(seconds)
        self.used_seconds += seconds * share

    def handle(self, event: ForecastEvent) -> None:
        """Record progress: write a new frame and, after the last one, publish the result.

        Raises
        ------
        Exception
            The error that ended the forecast.
        LeaseLost
            The job was dismissed, or its lease was lost.
        """
        if event.error is not None:
            raise event.error
        if event.frame is None:
            self._report(int(event.progress * self.job.steps))
            return
        with self._timed("write"):
            self._write(event, self.predictor.header(event.request) if event.step == 1 else None)
        self._report(event.step)
        if event.step == self.job.steps:
            self._publish()

    def _write(self, event: ForecastEvent, header: ForecastHeader | None) -> None:
        """Append a lead step to the result file, which the first one creates and the last one completes."""
        from model.core.forecast_file import ForecastWriter
        from workers.feeds.skill.recalibrated import with_skill

        if header is not None:
            header, self._recalibration = with_skill(header, self.job, self.predictor.info.reference, self._context)
            self._writer = ForecastWriter(self._folder / "result.nc", header)
        if self._writer is None or event.frame is None:
            raise RuntimeError(f"job {self.job.id}: lead step {event.step} came before the first one")
        probability = event.probability
        if self._recalibration is not None and probability is not None:
            probability = self._recalibration.probability(event.step, probability)
        is_last = event.step == self.job.steps
        with self._writer if is_last else nullcontext():
            self._writer.append(event.frame, probability, event.members)
        if is_last:
            self._writer = None

    def discard_frames(self) -> None:
        """Close and discard a result file that is not complete."""
        if self._writer is not None:
            self._writer.__exit__(LeaseLost, LeaseLost(), None)
            self._writer = None

    def _close_trace(self) -> None:
        model = self.predictor.info.reference if self.prepared else None
        self._trace.close(model, self._seconds["compute"])

    def _report(self, steps: int) -> None:
        self._done = max(self._done, steps)
        self._lease.progress(self._done)

    def _publish(self) -> None:
        """Store the input and the result, once both can be opened.

        Files of another worker that finished first are kept: two attempts at one job publish one result.
        """
        from model.core.forecast_file import write_netcdf

        job, store = self.job, self._context.store
        frames = self.sequence
        shapes = {"input": frames.rain_rate.shape, "result": (job.steps, *frames.grid.shape)}
        keys = {"input": input_key(job.id), "result": result_key(job.id)}
        with self._trace.phase("write"), self._timed("write"):
            write_netcdf(frames, self._folder / "input.nc")
            if self._recalibration is not None:
                self._recalibration.save(store, job.id)
            for part, key in keys.items():
                path = self._folder / f"{part}.nc"
                check_opens(path, shapes[part])
                self._lease.check()
                if not store.put(key, path, if_absent=True):
                    log.info("job %s: the %s is already published", job.id, part)
            result_bytes = store.size(*keys.values())
            if job.kind == "feed":
                self._publish_run(keys["result"])
        stored = {"result_key": keys["result"], "input_key": keys["input"]}
        if not self._context.ledger.succeed(job, timings=self._timings(), result_bytes=result_bytes, **stored):
            raise LeaseLost
        self.ended = True
        info = self.predictor.info
        MODEL_NOWCASTS.labels(info.name, info.version, self.predictor.variant).inc()
        self._context.queue.notify_completed(job.id)
        if job.feed is not None and job.kind == "feed":
            self._context.queue.enqueue_follow_up(job.feed)
        delete_uploads(store, job.id)
        log.info("job %s: completed, %s", job.id, info.reference)
        self._end()

    def _take_published(self) -> bool:
        """Finish a nowcast that was published, and whose end the ledger has lost; return whether it was.

        The ledger was restored from a backup that is older than the store, or its standby was behind when it took over.
        """
        job, store = self.job, self._context.store
        keys = {"result_key": result_key(job.id), "input_key": input_key(job.id)}
        try:
            result_bytes = store.size(*keys.values())
        except MissingObject:
            return False
        if self._context.ledger.succeed(job, timings=self._timings(), result_bytes=result_bytes, **keys):
            log.warning("job %s: its upload is gone and its result is published: the ledger was behind", job.id)
            self._context.queue.notify_completed(job.id)
        self._end()
        return True

    def _publish_run(self, key: str) -> None:
        """Publish a feed's nowcast: as a file, too, where the feed has a folder for it.

        The file replaces that of an earlier run, as that of the same frame that was issued again, or of the frame that
        a file of the same name had before; not that of a newer frame.
        """
        job, ledger = self.job, self._context.feed_ledger
        if job.output is not None:
            run, newest = ledger.run_of_job(job.id), ledger.newest_published_to(job.output)
            if run is None or newest is None or newest <= run.reference_time:
                result = self._context.store.fetch(key, self._folder / "published.nc")
                self._lease.check()
                put_file(result, Path(job.output))
        ledger.record_published(job.id)

    @contextmanager
    def _timed(self, part: Literal["read", "write"]) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - started
            self._seconds[part] += seconds
            self.used_seconds += seconds

    def _timings(self) -> Timings:
        since = (datetime.now(UTC) - self.job.created).total_seconds()
        return Timings(
            queue_seconds=max(0.0, since - sum(self._seconds.values())),
            read_seconds=self._seconds["read"],
            compute_seconds=self._seconds["compute"],
            write_seconds=self._seconds["write"],
        )


def check_age(job: Job, context: WorkerContext) -> None:
    """Check that the reference time of a feed's job is not too old by now.

    Raises
    ------
    OutOfDate
        There is a frame that is newer by more than the feed's `max_age`.
    """
    ledger = context.feed_ledger
    own = ledger.run_of_job(job.id)
    run, newest = own or context.skill_ledger.challenger_of_job(job.id), ledger.newest_time(job.feed or "")
    feed = _feed_of(job, context)
    if run is None or newest is None or (own is not None and own.backfill):
        return
    limit = Feed.model_fields["max_age"].default if feed is None else feed.max_age
    behind = (newest - run.reference_time).total_seconds() / 60
    if behind > limit:
        raise OutOfDate(f"its frame is {behind:g} min older than the newest; max_age is {limit:g} min")


def _feed_of(job: Job, context: WorkerContext) -> Feed | None:
    """Return the configuration of a job's feed; None where the job is no feed's, or the feed is no longer there."""
    if job.feed is None:
        return None
    return read_feeds(context.settings.feeds_path, check_folders=False).find(job.feed)


def check_members(output: ForecastOutput, steps: int, shape: tuple[int, int], max_pixels: int) -> None:
    """Check that the members of a nowcast on a grid of that shape have at most `max_pixels` pixels.

    Raises
    ------
    TooLarge
        They have more.
    """
    of_each = steps * shape[0] * shape[1]
    if output.members * of_each <= max_pixels:
        return
    most = max_pixels // of_each
    ask = f"Ask for at most {most} members, or for fewer steps" if most > 1 else "Ask for no members, or a smaller grid"
    raise TooLarge(
        f"{output.members} members of {steps} steps on {shape[0]} x {shape[1]} pixels are {output.members * of_each:,} "
        f"pixels, the limit is {max_pixels:,}",
        where="members",
        hint=f"{ask}; ECHOCAST_MAX_MEMBER_PIXELS raises the limit",
    )


def unclaim(job: Job, context: WorkerContext) -> None:
    """Release and enqueue a claimed job that was not started: its own message may have arrived while it was claimed.

    If the ledger is not reachable, the lease expires.
    """
    try:
        if context.ledger.unclaim(job):
            log.info("job %s: left to other workers", job.id)
            context.queue.enqueue(job.id, job.kind)
    except SQLAlchemyError as error:
        log.warning("job %s: cannot be released: %s", job.id, error)
