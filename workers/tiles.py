"""Tiles of a large domain that other workers make: they are offered on the queue, and who is free takes one.

The worker that has the job goes through its tiles from the first on, the others from the last; each claims a tile
before it makes it. The job depends on none of them: a tile that was claimed and does not come is made where the job is,
and so is each that the store or the broker fails.
"""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray
from redis.exceptions import RedisError

from model.core.errors import BadPackage, InputError
from service.jobs.heartbeat import live_workers
from service.jobs.job import Job, JobStatus, UnknownJob
from service.jobs.queue import NoBroker
from service.store import MissingObject, ObjectStore, job_prefix
from workers.context import Context

if TYPE_CHECKING:
    from model.core.units import FloatArray
    from model.runtime.graph import Observed
    from model.runtime.predictor import Predictor

LOOK_SECONDS: Final = 0.2
PATIENCE_SECONDS: Final = 30.0
"""A claimed tile is waited for as long as the slowest of one's own took, and this; after a lost one, none is."""
CLOSE_SECONDS: Final = 5.0
"""How long a job that has ended waits for a tile that is being offered."""
Arrays = Mapping[str, NDArray[np.generic]]

log = logging.getLogger(__name__)


class OfferedTiles:
    """The tiles of one job, as `model.runtime.engine.Elsewhere`. To be closed: what was offered is then withdrawn.

    A thread offers them, the last ones first, while the job's worker makes the first ones. Once the store or the broker
    has failed, all tiles that are left are made by the job's worker.
    """

    def __init__(self, job: Job, predictor: Predictor, context: Context) -> None:
        self._job = job
        self._predictor = predictor
        self._context = context
        self._lock = threading.Lock()
        self._offered: dict[str, tuple[int, ...]] = {}
        """What shape [lead, y, x] the frames of each have."""
        self._begun: set[str] = set()
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self._failed = False
        self._patient = True
        self._slowest = 0.0

    def offer(self, lanes: Mapping[str, tuple[Observed, int]]) -> None:
        """See Elsewhere.offer: as many of the last ones as others could make meanwhile. Returns at once."""
        self._over.set()
        if self._failed or not self._patient:
            return
        self._over = threading.Event()
        name = f"offer-{self._job.id[:8]}"
        self._thread = threading.Thread(target=self._offer, args=(lanes, self._over), name=name, daemon=True)
        self._thread.start()

    def frames(self, lane: str, here: Iterator[FloatArray | None]) -> Iterator[FloatArray | None]:
        """See Elsewhere.frames."""
        from model.runtime.engine import of_16_bits

        if self._is_anothers(lane):
            made = yield from self._awaited(lane)
            if made is not None:
                log.info("job %s: tile %s was made elsewhere", self._job.id, lane)
                yield from (of_16_bits(frame)[None, None] for frame in made)
                return
            log.warning("job %s: tile %s was claimed and did not come, it is made here", self._job.id, lane)
        began = time.monotonic()
        yield from here
        self._slowest = max(self._slowest, time.monotonic() - began)

    def close(self) -> None:
        """Nothing is offered any more."""
        if self._thread is None:
            return
        self._over.set()
        self._thread.join(CLOSE_SECONDS)
        _delete(self._context.store, _prefix(self._job.id, self._job.attempt))

    def _offer(self, lanes: Mapping[str, tuple[Observed, int]], over: threading.Event) -> None:
        offered = 0
        try:
            others = self._others()
            share = len(lanes) * others // (others + 1)
            for lane in list(lanes)[::-1][:share]:
                if not self._offer_one(lane, *lanes[lane], over):
                    break
                offered += 1
        except Exception as error:
            self._fail(error)
        if offered:
            log.info("job %s: %d of %d tiles are offered", self._job.id, offered, len(lanes))

    def _offer_one(self, lane: str, seen: Observed, leads: int, over: threading.Event) -> bool:
        """False: it is not offered, nor need those before it be."""
        with self._lock:
            if over.is_set() or lane in self._begun:
                return False
            self._offered[lane] = (leads, *seen.data.shape[-2:])
        self._context.store.put(self._key(lane, "frames"), _packed(_arrays_of(seen, leads)))
        if over.is_set():  # by now it may have been withdrawn, and come after
            _delete(self._context.store, self._key(lane, "frames"), one=True)
            return False
        asked = (self._job.id, self._job.attempt, lane, self._predictor.info.reference, self._predictor.variant)
        return self._context.queue.offer_tile(*asked)

    def _is_anothers(self, lane: str) -> bool:
        """Whether another worker has claimed the tile. Else it is one's own now."""
        with self._lock:
            mine = lane in self._begun or lane not in self._offered
            self._begun.add(lane)
        if mine or self._failed:
            return False
        try:
            return not claim(self._context.store, self._key(lane, "claim"))
        except Exception as error:
            self._fail(error)
            return False

    def _awaited(self, lane: str) -> Generator[None, None, NDArray[np.uint16] | None]:
        """Frames [lead, y, x] of a tile that another has claimed; None where they do not come."""
        patience = self._slowest + PATIENCE_SECONDS if self._patient else 0.0
        until = time.monotonic() + patience
        while True:
            try:
                made = _unpacked(self._context.store.get(self._key(lane, "made")))
                return _frames_in(made, self._offered[lane]) if made else None
            except MissingObject:
                if time.monotonic() >= until:
                    self._patient = False
                    self._over.set()
                    return None
            except Exception as error:
                self._fail(error)
                return None
            yield None
            time.sleep(LOOK_SECONDS)

    def _fail(self, error: Exception) -> None:
        log.warning("job %s: its tiles are made here: %s", self._job.id, error)
        self._failed = True
        self._over.set()

    def _others(self) -> int:
        """How many other processes could help."""
        try:
            return max(0, len(live_workers(self._context.settings)) - 1)
        except (RedisError, NoBroker, OSError):
            return 0

    def _key(self, lane: str, part: str) -> str:
        return f"{_prefix(self._job.id, self._job.attempt)}/{lane}.{part}"


def make(job_id: str, attempt: int, lane: str, reference: str, variant: str, context: Context) -> None:
    """Make an offered tile, if its job still runs, it is nobody's, and this worker runs the same model in the same way.

    Raises
    ------
    SQLAlchemyError
        The ledger does not answer.
    """
    store, key = context.store, f"{_prefix(job_id, attempt)}/{lane}"
    if not _runs(job_id, attempt, context):
        _delete(store, _prefix(job_id, attempt))
        return
    try:
        predictor = context.models.get(context.catalog.find(reference))
    except (BadPackage, InputError, OSError) as error:
        log.warning("tile %s of job %s is left: %s", lane, job_id, error)
        return
    if predictor.variant != variant or not store.exists(f"{key}.frames") or not claim(store, f"{key}.claim"):
        return
    made: Arrays = {}
    try:
        made = {"frames": _forecast(predictor, _unpacked(store.get(f"{key}.frames")))}
        log.info("tile %s of job %s is made", lane, job_id)
    except MissingObject:
        log.info("tile %s of job %s is not wanted any more", lane, job_id)
    finally:
        # Without frames it says that there will be none: whoever has the job does not wait.
        if store.exists(f"{key}.frames"):
            store.put(f"{key}.made", _packed(made))
        if not store.exists(f"{key}.frames"):  # withdrawn meanwhile: nobody else deletes what came after
            for part in ("claim", "made"):
                _delete(store, f"{key}.{part}", one=True)


def forget_tiles(store: ObjectStore, job_id: str) -> None:
    """Delete what attempts that ended in the middle have left. A store that does not answer is none of the job's."""
    _delete(store, _tiles(job_id))


def _runs(job_id: str, attempt: int, context: Context) -> bool:
    """The job is still at that attempt."""
    try:
        job = context.ledger.get(job_id)
    except UnknownJob:
        return False
    return job.status is JobStatus.RUNNING and job.attempt == attempt


def _delete(store: ObjectStore, key: str, *, one: bool = False) -> None:
    """Delete all below a prefix, or one object, if it is there and the store answers."""
    try:
        if one:
            store.delete(key)
        else:
            store.delete_prefix(key)
    except FileNotFoundError:
        return
    except Exception as error:
        log.warning("%s is left in the store: %s", key, error)


def claim(store: ObjectStore, key: str) -> bool:
    """Whether the tile is one's own now: nobody claimed it before."""
    return store.put(key, b"", if_absent=True)


def _forecast(predictor: Predictor, asked: Arrays) -> NDArray[np.uint16]:
    """Frames [lead, y, x] of a tile, in the 16 bits in which they wait in the engine's file."""
    from model.runtime.engine import in_16_bits
    from model.runtime.graph import Observed
    from model.runtime.onnx import OnnxPredictor

    if not isinstance(predictor, OnnxPredictor):
        raise TypeError(f"{predictor.info.reference} has no tiles")
    data = np.asarray(asked["data"], np.float32)
    known = np.unpackbits(np.asarray(asked["known"], np.uint8), count=data[:, :1].size).reshape(data[:, :1].shape)
    step, ceiling = (float(asked[name]) for name in ("step_minutes", "ceiling"))
    seen = Observed(
        data=data,
        known=known.astype(np.bool_),
        step_minutes=step,
        fields=np.asarray(asked["fields"], np.float32) if "fields" in asked else None,
    )
    frames = np.stack(list(predictor.session.run(seen, int(asked["leads"]), ceiling=ceiling)))[:, 0]
    if not np.isfinite(frames).all():
        raise ValueError("what the network answers is no number")  # it is made again, and told, where the job is
    return in_16_bits(frames)


def _frames_in(made: Arrays, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """The frames that another made, if they are as many and as large as was asked for (ValueError)."""
    frames = np.asarray(made["frames"], np.uint16)
    if frames.shape != shape:
        raise ValueError(f"a tile has the shape {frames.shape}, not {shape}")
    return frames


def _arrays_of(seen: Observed, leads: int) -> Arrays:
    """What a tile starts from, as arrays."""
    arrays: dict[str, NDArray[np.generic]] = {
        "data": seen.data,
        "known": np.packbits(seen.known.astype(np.bool_)),
        "step_minutes": np.array(seen.step_minutes),
        "ceiling": np.array(seen.ceiling),
        "leads": np.array(leads),
    }
    return arrays if seen.fields is None else {**arrays, "fields": seen.fields}


def _packed(arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return bytes(isal_zlib.compress(buffer.getbuffer(), 1))


def _unpacked(data: bytes) -> Arrays:
    with np.load(io.BytesIO(isal_zlib.decompress(data)), allow_pickle=False) as arrays:
        return dict(arrays)


def _prefix(job_id: str, attempt: int) -> str:
    return f"{_tiles(job_id)}/{attempt}"


def _tiles(job_id: str) -> str:
    return f"{job_prefix(job_id)}/tiles"
