"""Tiles of a large domain that other workers make: they are offered on the queue, and who is free takes one.

The worker that has the job goes through its tiles from the first on, the others from the last; each claims a tile
before it makes it. The job depends on none of them: a tile that was claimed and does not come is made where the job is.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray
from redis.exceptions import RedisError

from model.core.errors import BadPackage, InputError
from service.jobs.ledger import Job
from service.jobs.live import live_workers
from service.jobs.queue import NoBroker
from service.store import MissingObject, ObjectStore, job_prefix
from workers.context import Context

if TYPE_CHECKING:
    from model.core.units import FloatArray
    from model.runtime.graph import Observed
    from model.runtime.predictor import Predictor

LOOK_SECONDS: Final = 0.2
PATIENCE_SECONDS: Final = 30.0
"""A claimed tile is waited for as long as the slowest of one's own took, and this."""
Arrays = Mapping[str, NDArray[np.generic]]

log = logging.getLogger(__name__)


class OfferedTiles:
    """The tiles of one job, as `model.runtime.engine.Elsewhere`. To be closed: what was offered is then withdrawn."""

    def __init__(self, job: Job, predictor: Predictor, context: Context) -> None:
        self._job = job
        self._predictor = predictor
        self._context = context
        self._offered: set[str] = set()
        self._slowest = 0.0

    def offer(self, lanes: Mapping[str, tuple[Observed, int]]) -> None:
        """See Elsewhere.offer: as many of the last ones as others could make meanwhile."""
        others = self._others()
        share = len(lanes) * others // (others + 1)
        for lane in list(lanes)[::-1][:share]:
            seen, leads = lanes[lane]
            self._context.store.put(self._key(lane, "frames"), _packed(_arrays_of(seen, leads)))
            asked = (self._job.id, self._job.attempt, lane, self._predictor.info.reference, self._predictor.variant)
            if not self._context.queue.offer_tile(*asked):
                break
            self._offered.add(lane)
        if self._offered:
            log.info("job %s: %d of %d tiles are offered", self._job.id, len(self._offered), len(lanes))

    def frames(self, lane: str, here: Iterator[FloatArray | None]) -> Iterator[FloatArray | None]:
        """See Elsewhere.frames."""
        from model.runtime.engine import of_16_bits

        store = self._context.store
        began = time.monotonic()
        if lane in self._offered and not claim(store, self._key(lane, "claim")):
            patience = self._slowest + PATIENCE_SECONDS
            while time.monotonic() - began < patience:
                try:
                    made = _unpacked(store.get(self._key(lane, "made")))
                except MissingObject:
                    yield None
                    time.sleep(LOOK_SECONDS)
                    continue
                if "frames" not in made:
                    break
                log.info("job %s: tile %s was made elsewhere", self._job.id, lane)
                yield from (of_16_bits(frame)[None, None] for frame in np.asarray(made["frames"], np.uint16))
                return
            log.warning("job %s: tile %s was claimed and did not come, it is made here", self._job.id, lane)
        yield from here
        self._slowest = max(self._slowest, time.monotonic() - began)

    def close(self) -> None:
        """Nothing is offered any more."""
        if self._offered:
            self._context.store.delete_prefix(_prefix(self._job.id, self._job.attempt))

    def _others(self) -> int:
        """How many other processes could help."""
        try:
            return max(0, len(live_workers(self._context.settings)) - 1)
        except (RedisError, NoBroker, OSError):
            return 0

    def _key(self, lane: str, part: str) -> str:
        return f"{_prefix(self._job.id, self._job.attempt)}/{lane}.{part}"


def make(job_id: str, attempt: int, lane: str, reference: str, variant: str, context: Context) -> None:
    """Make an offered tile, if it is still there and nobody's, and this worker runs the same model in the same way."""
    store, key = context.store, f"{_prefix(job_id, attempt)}/{lane}"
    try:
        predictor = context.models.get(context.catalog.find(reference))
    except (BadPackage, InputError, OSError) as error:
        log.warning("tile %s of job %s is left: %s", lane, job_id, error)
        return
    if predictor.variant != variant or not store.exists(f"{key}.frames") or not claim(store, f"{key}.claim"):
        return
    made: Arrays = {}
    try:
        asked = _unpacked(store.get(f"{key}.frames"))
        made = {"frames": _forecast(predictor, asked)}
    except MissingObject:
        return
    finally:
        # Without frames it says that there will be none: whoever has the job does not wait.
        if store.exists(f"{key}.frames"):
            store.put(f"{key}.made", _packed(made))
    log.info("tile %s of job %s is made", lane, job_id)


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
    frames = predictor.session.run(seen, int(asked["leads"]), ceiling=ceiling)
    return np.stack([in_16_bits(frame[0]) for frame in frames])


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
    return f"{job_prefix(job_id)}/tiles/{attempt}"
