"""Running one nowcast. It may run more than once; its result is published once."""

from __future__ import annotations

import logging
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from model.core.aliases import CHAMPION
from model.core.catalog import AUTO, ModelInfo
from model.core.errors import BadPackage, InputError, TooFewFrames
from model.core.interrupt import Interrupted
from model.core.kept import Stamp, stamp_of
from service.jobs.ledger import Job, Problem, problem_of
from service.store import input_key, result_key, upload_prefix
from workers.context import Context
from workers.lease import Lease, Stopped
from workers.publish import CannotPublish, check_opens, put_file
from workers.time_limit import time_limit_interrupts

if TYPE_CHECKING:
    from model.core.forecast import Forecast
    from model.core.sequence import FrameSequence
    from model.runtime.predictor import Predictor

INTERNAL: Final = Problem(
    code="internal",
    what="the nowcast failed in the service",
    where="worker",
    mend="The worker's log has the reason under the nowcast's id",
)

log = logging.getLogger(__name__)


def run(job_id: str, context: Context) -> None:
    """Claim the job, run it, and write down how it ended; nothing where it is finished or another worker's."""
    ledger, settings = context.ledger, context.settings
    job = ledger.claim(job_id, settings.lease_seconds, max_attempts=settings.max_attempts)
    if job is None:
        log.info("job %s is not free: finished, dismissed, or another worker's", job_id)
        return
    log.info("job %s: attempt %d", job.id, job.attempt)
    try:
        with time_limit_interrupts():
            _run(job, context)
    except Interrupted:
        log.warning("job %s: time limit", job.id)
        ledger.fail(job, _time_limit(settings.job_time_limit_seconds))


def _run(job: Job, context: Context) -> None:
    ledger = context.ledger
    try:
        with Lease(ledger, job, context.settings.lease_seconds) as lease:
            _forecast(job, context, lease)
    except Stopped:
        log.info("job %s: stopped, it was dismissed or its lease was lost", job.id)
    except TooFewFrames as error:
        if job.kind == "feed":
            context.feed_ledger.wait(job.id)
            ledger.withdraw(job, f"waits for more frames: {error.what}")
        else:
            ledger.fail(job, problem_of(error))
    except CannotPublish as error:
        log.warning("job %s: %s", job.id, error)
        _release_or_fail(job, context, problem_of(error))
    except InputError as error:
        log.info("job %s: %s", job.id, error)
        ledger.fail(job, problem_of(error))
    except Exception:
        log.exception("job %s failed", job.id)
        _release_or_fail(job, context, INTERNAL)


def _release_or_fail(job: Job, context: Context, problem: Problem) -> None:
    """What went wrong may be over in a while: a store that answers again, a disk with room. The last attempt fails."""
    if job.attempt >= context.settings.max_attempts:
        context.ledger.fail(job, problem)
    elif context.ledger.release(job):
        log.info("job %s: tried again after %g s", job.id, context.settings.requeue_seconds)


def _forecast(job: Job, context: Context, lease: Lease) -> None:
    from model.runtime.together import nowcast

    with tempfile.TemporaryDirectory(prefix="echocast-") as name:
        folder = Path(name)
        ready = _prepare(job, context, folder)
        info = ready.predictor.info
        lease.check()
        context.ledger.describe(job, model_used=info.reference, note=ready.note)
        forecast = nowcast(
            ready.sequence,
            ready.predictor,
            job.steps,
            on_step=lambda step, frame: lease.progress(step),
            note=ready.note,
        )
        _publish(job, context, lease, forecast, ready.sequence.last(info.input_frames), folder)


class _Ready(NamedTuple):
    """The frames of a job, the model that runs, and why it is another than it should be."""

    sequence: FrameSequence
    predictor: Predictor
    note: str


def _prepare(job: Job, context: Context, folder: Path) -> _Ready:
    """Read the frames, and load the model that the job's reference means now.

    Where `auto` or `champion` is a package that cannot be loaded, the one before it is: see `Catalog.meant`.
    """
    from model.runtime.predictor import choose
    from workers.frames import read_feed, read_upload

    max_pixels, catalog = context.settings.max_pixels, context.catalog
    uploaded = None if job.kind == "feed" else read_upload(job, context.store, folder, max_pixels)
    while True:
        if uploaded is None:
            sequence, info, note = read_feed(job, catalog, max_pixels)
        else:
            sequence, (info, note) = uploaded, choose(uploaded, job.model, catalog)
        try:
            predictor = _predictor(info, context.settings.fields, _stamps(info))
        except (BadPackage, OSError) as error:
            if job.model not in (AUTO, CHAMPION):
                raise
            why = error.what if isinstance(error, BadPackage) else f"a file cannot be read ({error.strerror})"
            catalog = catalog.without(info, why)
            continue
        if problem := catalog.meant(job.model).note:
            log.warning("job %s: %s runs: %s", job.id, info.reference, problem)
        return _Ready(sequence, predictor, note)


def _publish(job: Job, context: Context, lease: Lease, forecast: Forecast, frames: FrameSequence, folder: Path) -> None:
    """Write both files, see that they open, put each where none is yet; one that is there is taken over."""
    from model.core.forecast import write_netcdf

    store = context.store
    keys = {"input": input_key(job.id), "result": result_key(job.id)}
    items: dict[str, Forecast | FrameSequence] = {"input": frames, "result": forecast}
    for part, item in items.items():
        path = folder / f"{part}.nc"
        write_netcdf(item, path)
        check_opens(path, item.rain_rate.shape)
        lease.check()
        if not store.put(keys[part], path, if_absent=True):
            log.info("job %s: the %s was published before", job.id, part)
    if job.output is not None:
        put_file(store.fetch(keys["result"], folder / "published.nc"), Path(job.output))
    if not context.ledger.succeed(job, result_key=keys["result"], input_key=keys["input"]):
        raise Stopped
    store.delete_prefix(upload_prefix(job.id))
    log.info("job %s: done, %s", job.id, forecast.attributes["model"])


@lru_cache(maxsize=3)
def _predictor(info: ModelInfo, fields: Path | None, stamps: tuple[Stamp, ...]) -> Predictor:
    """The predictor, kept as long as no file of its package (`stamps`) changes: then it is checked and loaded anew."""
    from model.runtime.load import load_predictor

    return load_predictor(info, fields)


def _stamps(info: ModelInfo) -> tuple[Stamp, ...]:
    return tuple(stamp_of(path) for path in sorted(info.folder.iterdir())) if info.folder else ()


def _time_limit(seconds: float) -> Problem:
    return Problem(
        code="time-limit",
        what=f"the nowcast took longer than {seconds:g} s",
        where="worker",
        mend="Ask for fewer steps or a part of the grid, or raise ECHOCAST_JOB_TIME_LIMIT_SECONDS",
    )
