"""Offer tiles of a large domain to other workers through the queue, and compute the tiles that others offer.

The worker that runs the job computes its tiles from the first on, the others from the last; each claims a tile before
it computes it. The job depends on no other worker: a claimed tile that does not arrive is computed locally, and so are
all tiles if the store or the broker fails.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from model.core.errors import BadPackage, InputError
from service.jobs.heartbeat import live_workers
from service.jobs.job import Job, JobStatus, UnknownJob
from service.jobs.queue import NoBroker
from service.store import MissingObject, ObjectStore, job_prefix
from workers.context import WorkerContext

if TYPE_CHECKING:
    from model.core.units import FloatArray
    from model.runtime.forecast_task import TileTask
    from model.runtime.predictor import Predictor

POLL_SECONDS: Final = 0.2
PATIENCE_SECONDS: Final = 30.0
"""Wait for a claimed tile, on top of the time of the slowest local one; after one that did not arrive, none."""
CLOSE_SECONDS: Final = 5.0
"""Wait of a job that has ended for a tile that is being offered."""

log = logging.getLogger(__name__)


class OfferedTiles:
    """The tiles of one job, as `model.runtime.remote_tiles.RemoteTiles`.

    A thread offers them, the last ones first, while the job's worker computes the first ones. Once the store or the
    broker has failed, the job's worker computes all remaining tiles.
    """

    def __init__(self, job: Job, predictor: Predictor, context: WorkerContext) -> None:
        self._job = job
        self._predictor = predictor
        self._context = context
        self._lock = threading.Lock()
        self._offered: set[str] = set()
        self._started: set[str] = set()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._failed = False
        self._patient = True
        self._slowest = 0.0

    def offer(self, tiles: Sequence[TileTask]) -> None:
        """See RemoteTiles.offer: the last tiles, as many as others can compute meanwhile. Returns at once."""
        self._closed.set()
        if self._failed or not self._patient:
            return
        self._closed = threading.Event()
        name = f"offer-{self._job.id[:8]}"
        self._thread = threading.Thread(target=self._offer, args=(tiles, self._closed), name=name, daemon=True)
        self._thread.start()

    def frames(self, tile: TileTask, local: Iterator[FloatArray | None]) -> Iterator[FloatArray | None]:
        """See RemoteTiles.frames."""
        if self._is_claimed(tile.name):
            frames = yield from self._wait_for(tile)
            if frames is not None:
                log.info("job %s: tile %s was computed by another worker", self._job.id, tile.name)
                yield from frames
                return
            log.warning("job %s: claimed tile %s did not arrive, it is computed locally", self._job.id, tile.name)
        started = time.monotonic()
        yield from local
        self._slowest = max(self._slowest, time.monotonic() - started)

    def close(self) -> None:
        """Withdraw all offered tiles."""
        if self._thread is None:
            return
        self._closed.set()
        self._thread.join(CLOSE_SECONDS)
        _delete(self._context.store, _prefix(self._job.id, self._job.attempt))

    def _offer(self, tiles: Sequence[TileTask], closed: threading.Event) -> None:
        offered = 0
        try:
            others = self._others()
            share = len(tiles) * others // (others + 1)
            for tile in tiles[::-1][:share]:
                if not self._offer_one(tile, closed):
                    break
                offered += 1
        except Exception as error:
            self._fail(error)
        if offered:
            log.info("job %s: %d of %d tiles are offered", self._job.id, offered, len(tiles))

    def _offer_one(self, tile: TileTask, closed: threading.Event) -> bool:
        """Offer a tile, unless it runs already or nothing is to be offered any more."""
        from model.runtime.remote_tiles import encode_tile

        with self._lock:
            if closed.is_set() or tile.name in self._started:
                return False
            self._offered.add(tile.name)
        self._context.store.put(self._key(tile.name, "input"), encode_tile(tile))
        if closed.is_set():  # the job may have deleted its tiles just before this one was stored
            _delete(self._context.store, self._key(tile.name, "input"), one=True)
            return False
        predictor, job = self._predictor, self._job
        model = (predictor.info.reference, predictor.variant)
        return self._context.queue.offer_tile(job.id, job.attempt, tile.name, *model)

    def _is_claimed(self, tile: str) -> bool:
        """Return whether another worker has claimed the tile; otherwise this worker claims it."""
        with self._lock:
            ours = tile in self._started or tile not in self._offered
            self._started.add(tile)
        if ours or self._failed:
            return False
        try:
            return not claim(self._context.store, self._key(tile, "claim"))
        except Exception as error:
            self._fail(error)
            return False

    def _wait_for(self, tile: TileTask) -> Generator[None, None, Iterator[FloatArray] | None]:
        """Return the frames of a tile that another worker has claimed, or None if they do not arrive."""
        from model.runtime.remote_tiles import decode_frames

        deadline = time.monotonic() + (self._slowest + PATIENCE_SECONDS if self._patient else 0.0)
        while True:
            try:
                output = self._context.store.get(self._key(tile.name, "output"))
                return decode_frames(tile, output) if output else None
            except MissingObject:
                if time.monotonic() >= deadline:
                    self._patient = False
                    self._closed.set()
                    return None
            except Exception as error:
                self._fail(error)
                return None
            yield None
            time.sleep(POLL_SECONDS)

    def _fail(self, error: Exception) -> None:
        log.warning("job %s: all tiles are computed locally: %s", self._job.id, error)
        self._failed = True
        self._closed.set()

    def _others(self) -> int:
        """Return the number of other workers."""
        try:
            return max(0, len(live_workers(self._context.settings)) - 1)
        except (RedisError, NoBroker, OSError):
            return 0

    def _key(self, tile: str, part: str) -> str:
        return f"{_prefix(self._job.id, self._job.attempt)}/{tile}.{part}"


def compute_tile(job_id: str, attempt: int, tile: str, reference: str, variant: str, context: WorkerContext) -> None:
    """Compute an offered tile, if its job still runs, no worker has claimed it, and the same variant runs here.

    Raises
    ------
    SQLAlchemyError
        The ledger is not reachable.
    """
    store, key = context.store, f"{_prefix(job_id, attempt)}/{tile}"
    if not _runs(job_id, attempt, context):
        _delete(store, _prefix(job_id, attempt))
        return
    try:
        predictor = context.models.get(context.catalog.find(reference))
    except (BadPackage, InputError, OSError) as error:
        log.warning("tile %s of job %s is skipped: %s", tile, job_id, error)
        return
    if predictor.variant != variant or not store.exists(f"{key}.input") or not claim(store, f"{key}.claim"):
        return
    output = b""  # the job's worker does not wait for a tile whose output is empty
    try:
        output = predictor.forecast_tile(store.get(f"{key}.input"))
        log.info("tile %s of job %s is computed", tile, job_id)
    except MissingObject:
        log.info("tile %s of job %s was withdrawn", tile, job_id)
    finally:
        if store.exists(f"{key}.input"):
            store.put(f"{key}.output", output)
        if not store.exists(f"{key}.input"):  # withdrawn meanwhile: nobody else deletes what was stored since
            for part in ("claim", "output"):
                _delete(store, f"{key}.{part}", one=True)


def delete_tiles(store: ObjectStore, job_id: str) -> None:
    """Delete the tiles of interrupted attempts. Errors of the store are logged only: the job does not depend on it."""
    _delete(store, _tiles(job_id))


def _runs(job_id: str, attempt: int, context: WorkerContext) -> bool:
    """Return whether the job runs, in that attempt."""
    try:
        job = context.ledger.get(job_id)
    except UnknownJob:
        return False
    return job.status is JobStatus.RUNNING and job.attempt == attempt


def _delete(store: ObjectStore, key: str, *, one: bool = False) -> None:
    """Delete one object, or all below a prefix; an error is logged only."""
    try:
        if one:
            store.delete(key)
        else:
            store.delete_prefix(key)
    except Exception as error:
        log.warning("%s remains in the store: %s", key, error)


def claim(store: ObjectStore, key: str) -> bool:
    """Claim a tile, and return whether no other worker has claimed it before."""
    return store.put(key, b"", if_absent=True)


def _prefix(job_id: str, attempt: int) -> str:
    return f"{_tiles(job_id)}/{attempt}"


def _tiles(job_id: str) -> str:
    return f"{job_prefix(job_id)}/tiles"
