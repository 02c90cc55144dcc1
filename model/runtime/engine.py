"""Forecasts of any domain in bounded memory, several at once: tiles as lanes, lanes as batches, batches in waves.

Each tile of each forecast is a lane, which depends on no other. Lanes of one shape run as one batch where the device
gains by it. A wave is as many lanes as their states have room for, and goes forward lead by lead. A forecast that lies
in one wave is told frame by frame; of a larger one each tile's frames wait in a file until the last tile is done.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import IO, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from model.core.errors import DeviceLost, InputError, OutOfMemory, first_line
from model.core.units import FloatArray
from model.runtime.graph import SMALLEST_SIDE, WORK_SHARE, Observed
from model.runtime.tiles import Blend, Tile, tiles_of

LEVELS: Final = np.float32(65535)

NO_MEMORY: Final = ("failed to allocate", "out of memory", "bad_alloc", "alloc_failed", "available memory of")
NO_DEVICE: Final = ("cuda failure", "cuda error", "cudnn failure", "cublas failure")
NOT_THE_DEVICE: Final = ("bad_param", "not_supported", "invalid_value")
"""What ONNX Runtime's errors say, in lower case; the first kind counts before the second, and the third against it."""


class Session(Protocol):
    """What the engine needs of `model.runtime.graph.GraphSession`."""

    state_bytes: float

    @property
    def stride(self) -> int: ...
    @property
    def grid(self) -> tuple[int, int] | None: ...
    def forecasts(self, observed: Sequence[Observed], leads: int) -> Iterator[FloatArray | None]: ...
    def release(self) -> None: ...


class Elsewhere(Protocol):
    """Other processes that may make lanes of a forecast that does not lie in one wave."""

    def offer(self, lanes: Mapping[str, tuple[Observed, int]]) -> None:
        """Lanes by name, in the order in which they are made here: what each starts from, and its leads."""

    def frames(self, lane: str, here: Iterator[FloatArray | None]) -> Iterator[FloatArray | None]:
        """The frames [1, 1, y, x] of a lane that was offered: made elsewhere, or else `here`; None while they are not
        there."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Work:
    """A forecast to make. `wet` [y, x]: where rain can be within its horizon; None: anywhere."""

    observed: Observed
    leads: int
    wet: NDArray[np.bool_] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of its frames."""
        ny, nx = self.observed.data.shape[-2:]
        return ny, nx


class Told(NamedTuple):
    """What is told of one work: the frame [y, x] in [0, 1] of a lead (from 1), or the error that ended it, or only that
    it goes on. `share`: of all works that is done."""

    work: int
    share: float
    lead: int = 0
    fraction: FloatArray | None = None
    error: Exception | None = None


class Engine:
    """Runs works on a graph. `side`: of a tile at most; `lanes`: of a batch; `memory_mb`: of states and work space."""

    def __init__(self, session: Session, *, side: int, lanes: int = 1, memory_mb: int = 1024) -> None:
        self.session = session
        self.lanes = lanes
        self._room = memory_mb * 2**20 / 2  # half for the states of a wave, half for the work space of a batch
        self.side = side
        if session.state_bytes:
            stride = session.stride
            fitting = (self._room / (WORK_SHARE * session.state_bytes)) ** 0.5
            self.side = max(SMALLEST_SIDE, min(side, int(fitting) // stride * stride))

    def run(
        self, works: Sequence[Work], unwanted: set[int] | None = None, elsewhere: Elsewhere | None = None
    ) -> Iterator[Told]:
        """Make all works, each by itself: an error of one is told, and the others go on.

        Every `Told` is a place to stop: of a work (its index) that is put into `unwanted` nothing more is told. Its
        lanes end with the wave, and before where nobody waits for their batch.

        Raises
        ------
        DeviceLost
            The device does not answer any more; nothing goes on.
        """
        unwanted = set() if unwanted is None else unwanted
        again = [self.task(index, work) for index, work in enumerate(works)]
        try:
            while again:
                tasks, again = again, []
                yield from _Run(self, tasks, unwanted, again, elsewhere).told()
        finally:
            self.session.release()

    def task(self, index: int, work: Work, side: int | None = None, told: int = 0) -> _Task:
        """A work, cut into tiles; it was told up to the lead `told`."""
        bound = self.session.grid is not None
        longest = max(work.shape) if bound else side or self.side
        tiles = tiles_of(work.shape, self.session.stride, side=longest, wet=None if bound else work.wet)
        return _Task(index, work, tiles, Blend(work.shape, tiles), told)

    def state_bytes(self, tile: Tile) -> float:
        """Of the states of a lane, before a step and after it."""
        return 2 * self.session.state_bytes * tile.pixels

    def lanes_of(self, tile: Tile) -> int:
        """How many tiles of this shape a batch holds: no more than there is work space for."""
        if not self.session.state_bytes:
            return self.lanes
        return max(1, min(self.lanes, int(self._room / (WORK_SHARE * self.session.state_bytes * tile.pixels))))

    def waves(self, tasks: Sequence[_Task]) -> Iterator[list[_Lane]]:
        """Lanes that go forward together, in order: of as many tasks as have room, or of a part of a larger one."""
        wave: list[_Lane] = []
        for task in tasks:
            lanes = [_Lane(task, tile) for tile in task.tiles]
            needed = sum(self.state_bytes(tile) for tile in task.tiles)
            if wave and needed + sum(self.state_bytes(lane.tile) for lane in wave) > self._room:
                yield wave
                wave = []
            if needed > self._room:
                # Its frames wait in a file anyway: no more of it at once than one batch.
                yield from map(list, _parts(lanes, self.lanes))
            else:
                wave += lanes
        if wave:
            yield wave

    def batches(self, wave: Sequence[_Lane]) -> list[_Batch]:
        """Lanes of one shape and as many frames, together."""
        alike: dict[tuple[object, ...], list[_Lane]] = {}
        for lane in wave:
            seen = lane.task.work.observed
            key = (lane.tile.shape, len(seen.data), None if seen.fields is None else len(seen.fields))
            alike.setdefault(key, []).append(lane)
        return [_Batch(part) for each in alike.values() for part in _parts(each, self.lanes_of(each[0].tile))]


@dataclass(eq=False)
class _Task:
    """A work on its way; `told`: up to which lead. `scratch`: where its frames wait, if they must."""

    index: int
    work: Work
    tiles: Sequence[Tile]
    blend: Blend
    told: int = 0
    scratch: _Scratch | None = None


@dataclass(frozen=True, eq=False)
class _Lane:
    """One tile of one work."""

    task: _Task
    tile: Tile

    @property
    def name(self) -> str:
        """Of the lane among those of all works."""
        height, width = self.tile.shape
        return f"{self.task.index}-{self.tile.rows.start}-{self.tile.columns.start}-{height}x{width}"

    def seen(self) -> Observed:
        """What it starts from."""
        return self.task.work.observed.cut(self.tile.rows, self.tile.columns)


@dataclass(eq=False)
class _Batch:
    """Lanes that run together; `done` leads of them."""

    lanes: Sequence[_Lane]
    done: int = 0
    frames: Iterator[FloatArray | None] | None = None

    @property
    def leads(self) -> int:
        return max(lane.task.work.leads for lane in self.lanes)


class _Run:
    """One way through the works that the engine has; what must be cut smaller goes into `again`."""

    def __init__(
        self,
        engine: Engine,
        tasks: Sequence[_Task],
        unwanted: set[int],
        again: list[_Task],
        elsewhere: Elsewhere | None,
    ) -> None:
        self.engine = engine
        self.unwanted = unwanted
        self.again = again
        self.over: set[int] = set()
        self.elsewhere = elsewhere
        self.done = 0.0
        self.tasks = tasks
        self.waves = list(engine.waves(tasks))
        self.lanes = [lane for wave in self.waves for lane in wave]
        self.all = sum(lane.task.work.leads * lane.tile.pixels for lane in self.lanes)

    def told(self) -> Iterator[Told]:
        """See Engine.run."""
        waves = self.waves
        for task in self.tasks:
            mine = [any(lane.task is task for lane in wave) for wave in waves]
            if not any(mine):
                yield from self._dry(task)
            elif sum(mine) > 1:
                task.scratch = _Scratch()
        self._offer()
        for number, wave in enumerate(waves):
            yield from self._wave(wave)
            later = {id(lane.task) for others in waves[number + 1 :] for lane in others}
            for task in _tasks(wave):
                if task.scratch is not None and id(task) not in later:
                    yield from self._from_scratch(task, task.scratch)

    def _offer(self) -> None:
        """What waits in a file anyway may be made elsewhere."""
        lanes = [lane for lane in self.lanes if lane.task.scratch is not None]
        if self.elsewhere is not None and lanes and self.engine.lanes == 1:
            self.elsewhere.offer({lane.name: (lane.seen(), lane.task.work.leads) for lane in lanes})

    def _wave(self, wave: Sequence[_Lane]) -> Iterator[Told]:
        batches = self.engine.batches(wave)
        streamed = [task for task in _tasks(wave) if task.scratch is None]
        for lead in range(1, max(batch.leads for batch in batches) + 1):
            answers: dict[int, list[tuple[Tile, FloatArray]]] = {}
            waiting = list(batches)
            batches = []
            while waiting:
                batch = waiting.pop(0)
                if all(self._is_over(lane.task) or lane.task.work.leads < lead for lane in batch.lanes):
                    continue
                try:
                    frames = yield from self._advance(batch, lead)
                except _Split as split:
                    waiting = [*split.batches, *waiting]
                    continue
                batches.append(batch)
                for lane, frame in zip(batch.lanes, frames, strict=True):
                    if self._is_over(lane.task) or lane.task.work.leads < lead:
                        continue
                    if not np.isfinite(frame).all():
                        yield self._failed(lane.task, _no_number(lead))
                        continue
                    if lane.task.scratch is not None:
                        yield self._keep(lane, lane.task.scratch, lead, frame)
                    else:
                        answers.setdefault(lane.task.index, []).append((lane.tile, frame))
            for task in streamed:
                if task.index in answers and not self._is_over(task):
                    yield from self._tell(task, lead, iter(answers[task.index]))
            if not batches:
                return

    def _advance(self, batch: _Batch, lead: int) -> Generator[Told, None, NDArray[np.float32]]:
        """The frames [b, y, x] of the next lead; steps that answer nothing yet are told as progress.

        Raises
        ------
        _Split
            The lanes cannot go on together: they are begun anew apart, or were told of, or are cut smaller.
        DeviceLost
            See Engine.run.
        """
        while True:
            try:
                frames = next(self._frames_of(batch))
            except Exception as error:
                told, parts = self._mended(batch, error)
                yield from told
                raise _Split(parts) from None
            if frames is None:
                yield from (Told(task.index, self._share()) for task in _tasks(batch.lanes))
                if all(self._is_over(lane.task) for lane in batch.lanes):
                    raise _Split([])
                continue
            batch.done += 1
            self.done += sum(lane.tile.pixels for lane in batch.lanes)
            if batch.done == lead:
                return frames[:, 0]

    def _frames_of(self, batch: _Batch) -> Iterator[FloatArray | None]:
        if batch.frames is None:
            seen = [lane.seen() for lane in batch.lanes]
            batch.frames = self.engine.session.forecasts(seen, batch.leads)
            if self.elsewhere is not None and batch.lanes[0].task.scratch is not None and len(seen) == 1:
                batch.frames = self.elsewhere.frames(batch.lanes[0].name, batch.frames)
        return batch.frames

    def _mended(self, batch: _Batch, error: Exception) -> tuple[list[Told], list[_Batch]]:
        """What is told of an error of a batch, and the batches that go on in its place, from the beginning."""
        no_memory = is_no_memory(error)
        if is_device_lost(error):
            raise DeviceLost(first_line(error)) from None
        self.engine.session.release()
        lanes = batch.lanes
        if len(lanes) > 1:
            return [], [_Batch(part) for part in _parts(lanes, len(lanes) // 2 if no_memory else 1)]
        (lane,) = lanes
        task = lane.task
        smaller = max(lane.tile.shape) // 2 // self.engine.session.stride * self.engine.session.stride
        if no_memory and smaller >= SMALLEST_SIDE and self.engine.session.grid is None:
            self.over.add(task.index)
            if task.scratch is not None:
                task.scratch.close()
            self.again.append(self.engine.task(task.index, task.work, smaller, task.told))
            return [], []
        if no_memory:
            height, width = lane.tile.shape
            error = OutOfMemory(
                f"a part of {height} x {width} pixels is more than the device's memory holds",
                where="model",
                hint="Take a device with more memory, or a smaller model",
            )
        return [self._failed(task, error)], []

    def _failed(self, task: _Task, error: Exception) -> Told:
        self.over.add(task.index)
        return Told(task.index, self._share(), error=error)

    def _tell(self, task: _Task, lead: int, answers: Iterator[tuple[Tile, FloatArray]]) -> Iterator[Told]:
        if lead > task.told:
            task.told = lead
            yield Told(task.index, self._share(), lead, task.blend.frame(answers))

    def _keep(self, lane: _Lane, scratch: _Scratch, lead: int, frame: FloatArray) -> Told:
        try:
            scratch.keep(lane.tile, lead, frame)
        except OSError as error:
            return self._failed(lane.task, _no_room(error))
        return Told(lane.task.index, self._share())

    def _from_scratch(self, task: _Task, scratch: _Scratch) -> Iterator[Told]:
        with closing(scratch):
            for lead in range(1, task.work.leads + 1):
                if self._is_over(task):
                    return
                yield from self._tell(task, lead, scratch.kept(lead))

    def _dry(self, task: _Task) -> Iterator[Told]:
        for lead in range(task.told + 1, task.work.leads + 1):
            yield Told(task.index, self._share(), lead, np.zeros(task.work.shape, np.float32))

    def _is_over(self, task: _Task) -> bool:
        return task.index in self.over or task.index in self.unwanted

    def _share(self) -> float:
        return min(1.0, self.done / self.all) if self.all else 1.0


class _Split(Exception):
    """A batch ended; `batches` go on in its place, from the beginning."""

    def __init__(self, batches: Sequence[_Batch]) -> None:
        super().__init__()
        self.batches = batches


def is_no_memory(error: Exception) -> bool:
    """Whether what ONNX Runtime raised tells that the device has no memory left."""
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in NO_MEMORY)


def is_device_lost(error: Exception) -> bool:
    """Whether what ONNX Runtime raised tells that the device does not answer any more."""
    told = str(error).lower()
    lost = any(sign in told for sign in NO_DEVICE) and not any(sign in told for sign in NOT_THE_DEVICE)
    return lost and not is_no_memory(error)


def _parts(lanes: Sequence[_Lane], size: int) -> Iterator[Sequence[_Lane]]:
    """Lanes in parts of `size`, and the rest."""
    return (lanes[first : first + size] for first in range(0, len(lanes), size))


def _tasks(lanes: Sequence[_Lane]) -> list[_Task]:
    """The tasks that lanes are of, each once."""
    return list({id(lane.task): lane.task for lane in lanes}.values())


def in_16_bits(fraction: FloatArray) -> NDArray[np.uint16]:
    """Fractions as parts of 1, for a frame that waits or travels; below 0 they are 0."""
    return np.asarray(np.rint(np.clip(fraction, 0, 1) * LEVELS), np.uint16)


def of_16_bits(parts: NDArray[np.uint16]) -> FloatArray:
    """The fractions that these are, within 0.0006 dB of what they were."""
    return np.asarray(parts / LEVELS, np.float32)


class _Scratch:
    """Frames of tiles in a temporary file, in 16 bits."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="echocast-")  # noqa: SIM115 - closed by close()
        self._places: dict[int, list[tuple[Tile, int]]] = {}

    def close(self) -> None:
        """Give the room back."""
        self._file.close()

    def keep(self, tile: Tile, lead: int, frame: FloatArray) -> None:
        """Add a frame [y, x]."""
        self._places.setdefault(lead, []).append((tile, self._file.seek(0, os.SEEK_END)))
        self._file.write(in_16_bits(frame).data)

    def kept(self, lead: int) -> Iterator[tuple[Tile, FloatArray]]:
        """The frames of a lead."""
        for tile, place in self._places[lead]:
            self._file.seek(place)
            packed = np.frombuffer(self._file.read(2 * tile.pixels), np.uint16).reshape(tile.shape)
            yield tile, of_16_bits(packed)


def _no_number(lead: int) -> InputError:
    return InputError(
        f"what its network answers at lead {lead} is no number: rain is never made of that",
        where="model",
        hint="Choose another variant (ECHOCAST_VARIANT=fp32) or another model, and tell whoever made the package",
    )


def _no_room(error: OSError) -> InputError:
    return InputError(
        f"the parts of a large forecast cannot be kept ({error.strerror})",
        where=tempfile.gettempdir(),
        hint="Make room there, name another folder in TMPDIR, or raise ECHOCAST_MEMORY_MB",
    )
