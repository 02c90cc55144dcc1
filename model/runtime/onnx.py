"""Packages on ONNX Runtime: one-step graphs whose states stay on the device (IOBinding), and whole-sequence graphs."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from model.core.catalog import ModelInfo
from model.core.errors import BadPackage, InputError
from model.core.manifest import verify_package
from model.core.sequence import FrameSequence
from model.core.units import DRY_RAIN_RATE_MM_H, FloatArray, hko7_fraction, hko7_rain_rate_mm_h
from model.runtime.fields import fields_for
from model.runtime.motion import advect, estimate_motion, to_newest, trajectories
from model.runtime.tiles import TILE_SIDE, Tile, tiles_of

Feeds = Mapping[str, FloatArray]

FRACTION, VALID, CONDITIONS, FIELDS = "fraction", "valid", "conditions", "fields"
INPUTS = (FRACTION, VALID, CONDITIONS, FIELDS)
"""What a graph may read, beside its states; each reads some of them."""

WHOLE_TILE_SIDE = 512
"""A whole-sequence network holds the features of all frames at once: its tiles are smaller."""

HEAVIEST_QUANTILE = 0.9999
WET_FRACTION = hko7_fraction(np.array(DRY_RAIN_RATE_MM_H))


@dataclass(frozen=True, kw_only=True, eq=False)
class Observed:
    """What a forecast starts from; sides fit the graph's stride.

    `data` [t, c, y, x] in [0, 1], 0 where there are none; `known` [t, 1, y, x], 1 where there are. `fields`
    [t + leads, n, y, x]: exogenous fields at the times of the frames, then of the forecast, where the graph reads some.
    """

    data: FloatArray
    known: FloatArray
    step_minutes: float
    fields: FloatArray | None = None


class GraphSession(ABC):
    """A graph that ONNX Runtime has loaded; a large domain goes through it as tiles, whose answers are blended."""

    tile_side = TILE_SIDE

    def __init__(self, session: ort.InferenceSession) -> None:
        self.session = session
        self.device = "cuda" if session.get_providers()[0] == "CUDAExecutionProvider" else "cpu"
        self.reads = [item.name for item in session.get_inputs() if item.name in INPUTS]
        self.metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
        self.bounded = self.metadata.get("bounded", "yes") == "yes"

    @abstractmethod
    def run(self, observed: Observed, leads: int, *, ceiling: float = 1.0) -> Iterator[FloatArray]:
        """Yield the `leads` frames [c, y, x] that follow; none exceeds `ceiling`.

        Nor does what a bounded graph reads of its own answers; an unbounded one reads them as they were.
        """

    def _next(self, answer: FloatArray, ceiling: float) -> tuple[FloatArray, FloatArray]:
        """What is forecast, and what the graph reads next."""
        capped = np.minimum(answer, np.float32(ceiling))
        return capped, capped if self.bounded else answer

    def _tiles(self, shape: tuple[int, int], stride: int) -> list[Tile]:
        """The tiles of a domain; one where the graph is of one fixed grid."""
        sides = [side for item in self.session.get_inputs() if item.name == FRACTION for side in item.shape[-2:]]
        fixed = [side for side in sides if isinstance(side, int)]
        return tiles_of(shape, stride, side=max(fixed, default=self.tile_side))

    def _blended(
        self, read: Mapping[str, FloatArray], tiles: Sequence[Tile], answer_of: Callable[[int, Feeds], FloatArray]
    ) -> FloatArray:
        """What all tiles answer, as one. `answer_of(tile index, inputs of the graph)` runs one tile."""
        blend = np.zeros_like(read[FRACTION])
        for index, tile in enumerate(tiles):
            feeds = {name: read[name][None] if name == CONDITIONS else _cut(read[name], tile) for name in self.reads}
            blend[..., tile.rows, tile.columns] += tile.weight * answer_of(index, feeds)
        return blend


class OneStepSession(GraphSession):
    """A one-step graph with named states: each tile keeps its own, and all see the blended frame at each step."""

    def run(self, observed: Observed, leads: int, *, ceiling: float = 1.0) -> Iterator[FloatArray]:
        """See GraphSession.run."""
        return islice(self.unroll(observed, leads, ceiling=ceiling), len(observed.data) - 1, None)

    def unroll(self, observed: Observed, leads: int, *, ceiling: float = 1.0) -> Iterator[FloatArray]:
        """Yield what it answers to each frame but the newest, which is the frame after it; then as `run` does."""
        newest = len(observed.data) - 1
        tiles = self._tiles(observed.data.shape[2:], max(self._strides().values()))
        bindings = [self._bind(tile) for tile in tiles]
        frame = observed.data[0]
        for index in range(newest + leads):
            if index <= newest:
                frame = observed.data[index]
            read = {
                FRACTION: frame,
                VALID: observed.known[min(index, newest)],
                CONDITIONS: _conditions(index - newest, observed.step_minutes),
                **({} if observed.fields is None else {FIELDS: observed.fields[index]}),
            }
            answer = self._blended(read, tiles, lambda tile, feeds: self._step(bindings[tile], feeds))
            forecast, frame = self._next(answer, ceiling)
            yield forecast

    def _bind(self, tile: Tile) -> ort.IOBinding:
        """A binding whose states are zeros on the device."""
        binding = self.session.io_binding()
        strides = self._strides()
        for item in self.session.get_inputs():
            if item.name in strides:
                height, width = (side // strides[item.name] for side in tile.weight.shape)
                zeros = np.zeros((1, int(item.shape[1]), height, width), np.float32)
                binding.bind_ortvalue_input(item.name, ort.OrtValue.ortvalue_from_numpy(zeros, self.device, 0))
        return binding

    def _step(self, binding: ort.IOBinding, feeds: Feeds) -> FloatArray:
        """One step of one tile; the new states stay on the device and are bound as the next step's."""
        for name, value in feeds.items():
            binding.bind_cpu_input(name, value)
        names = [output.name for output in self.session.get_outputs()]
        for name in names:
            binding.bind_output(name, self.device)
        self.session.run_with_iobinding(binding)
        answers = dict(zip(names, binding.get_outputs(), strict=True))
        for name in self._strides():
            binding.bind_ortvalue_input(name, answers[f"new_{name}"])
        return np.asarray(answers["next"].numpy()[0], np.float32)

    def _strides(self) -> dict[str, int]:
        """Stride of each state, from the graph's metadata."""
        states = [item.name for item in self.session.get_inputs() if item.name not in INPUTS]
        kept = self.metadata["state_strides"].split(",")
        return {name: int(stride) for name, stride in zip(states, kept, strict=True)}


class WholeSession(GraphSession):
    """A graph that reads all frames at once and answers as many; more leads follow from its own answers.

    Its norms are over a tile, so that tiles differ a little more from the untiled forecast than of a recurrent network.
    """

    tile_side = WHOLE_TILE_SIDE

    def run(self, observed: Observed, leads: int, *, ceiling: float = 1.0) -> Iterator[FloatArray]:
        """See GraphSession.run."""
        count = int(self.metadata["frames"])
        tiles = self._tiles(observed.data.shape[2:], int(self.metadata["stride"]))
        data, known = observed.data, observed.known
        for first in range(0, leads, count):
            fields = {} if observed.fields is None else {FIELDS: observed.fields[first : first + count]}
            steps = range(first - count + 1, first + 1)
            conditions = np.stack([_conditions(step, observed.step_minutes) for step in steps])
            read = {FRACTION: data, VALID: known, CONDITIONS: conditions, **fields}
            answer = self._blended(read, tiles, self._answer)
            forecast, data = self._next(answer, ceiling)
            known = np.broadcast_to(known[-1:], known.shape)
            yield from forecast[: leads - first]

    def _answer(self, tile: int, feeds: Feeds) -> FloatArray:
        (answer,) = self.session.run(["next"], dict(feeds))
        return np.asarray(answer[0], np.float32)


def open_session(path: Path, *, threads: int | None = None) -> OneStepSession | WholeSession:
    """The graph of a file, as its metadata say it is to be run.

    Raises:
        BadPackage: ONNX Runtime cannot load it.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or int(os.environ.get("ECHOCAST_THREADS", "0"))
    available = ort.get_available_providers()
    providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]
    try:
        session = ort.InferenceSession(path, options, providers=providers)
    except Exception as error:  # onnxruntime raises its own, undocumented types
        reason = str(error).splitlines()[0]
        raise BadPackage(
            f"ONNX Runtime cannot load the graph ({reason})",
            where=str(path),
            mend="Export the package again",
        ) from None
    kind = session.get_modelmeta().custom_metadata_map.get("kind", "one-step")
    return WholeSession(session) if kind == "whole" else OneStepSession(session)


def _cut(values: FloatArray, tile: Tile) -> FloatArray:
    """The tile's part of [..., y, x] as the graph takes it, a batch of 1."""
    return np.ascontiguousarray(values[..., tile.rows, tile.columns])[None]


def _conditions(steps_after_newest: int, step_minutes: float) -> FloatArray:
    """A frame's lead time over 60 min and its time step over 15 min, as in `model.nets.forecaster`."""
    return np.array([step_minutes * steps_after_newest / 60, step_minutes / 15], np.float32)


class OnnxPredictor:
    """A model package, ready to run. `fields`: a folder of exogenous fields, beside those in the package.

    Raises:
        BadPackage: a file is missing or changed, or the graph cannot be loaded.
    """

    def __init__(self, info: ModelInfo, fields: Path | None = None) -> None:
        if info.folder is None:
            raise BadPackage("the model has no package", where=info.reference, mend="Import its package")
        self.info = info
        self.manifest = verify_package(info.folder)
        precision = "fp32"
        if precision not in self.manifest.variants:
            raise BadPackage(f"no variant {precision}", where=info.reference, mend="Export the package again")
        if self.manifest.channels != 1:
            raise BadPackage(
                f"its network reads frames of {self.manifest.channels} channels, rain has 1",
                where=info.reference,
                mend="Choose a model of rain",
            )
        self.session = open_session(info.folder / self.manifest.variants[precision])
        if FIELDS in self.session.reads and not self.manifest.fields:
            raise BadPackage(
                "its network reads exogenous fields that its manifest does not name",
                where=info.reference,
                mend="Choose a model of rain",
            )
        self.variant = f"{precision} on {self.session.device.upper()}"
        self.fields = fields

    def warm_up(self) -> None:
        """STAND-IN."""

    def forecast(self, sequence: FrameSequence, steps: int) -> Iterator[FloatArray]:
        """See Predictor.forecast."""
        rain = sequence.rain_rate
        lagrangian = self.manifest.frame_of_reference == "lagrangian"
        if lagrangian:
            motion = estimate_motion(rain)
            rain = to_newest(rain, motion)
        fraction = hko7_fraction(rain)
        known = np.isfinite(fraction[-1])
        arrivals = trajectories(motion, steps) if lagrangian else None
        for answer in self.session.run(self._observed(fraction, sequence, steps), steps, ceiling=heaviest(fraction)):
            frame = _rain_of(answer, known)
            yield advect(frame, next(arrivals)) if arrivals else frame

    def unroll(self, sequence: FrameSequence, steps: int) -> Iterator[FloatArray]:
        """See Predictor.unroll; the graph's answers as they are, below no ceiling but 1.

        Raises:
            InputError: its network reads a whole sequence at once, or frames that were moved to the newest one.
        """
        lagrangian = self.manifest.frame_of_reference == "lagrangian"
        if lagrangian or not isinstance(self.session, OneStepSession):
            reads = "frames moved to where their rain is in the newest" if lagrangian else "all frames at once"
            raise InputError(
                f"{self.info.reference} reads {reads}: it has no answers over its input, which count here",
                where="model",
                mend="Leave that model out, or choose another protocol",
            )
        fraction = hko7_fraction(sequence.rain_rate)
        answers = self.session.unroll(self._observed(fraction, sequence, steps), steps)
        known = np.isfinite(fraction)
        return (_rain_of(answer, known[min(index, len(known) - 1)]) for index, answer in enumerate(answers))

    def _observed(self, fraction: FloatArray, sequence: FrameSequence, steps: int) -> Observed:
        """The frames [t, y, x] as the graph reads them, padded, and the fields at their times."""
        known = np.isfinite(fraction)
        pad = padding(sequence.grid.shape, self.manifest.stride)
        fields = None
        if self.manifest.fields:
            times = sequence.times_with(steps)
            fields = fields_for(self.manifest.fields, times, sequence.grid, self.fields, package=self.info.folder)
        return Observed(
            data=np.pad(np.where(known, fraction, np.float32(0)), pad)[:, None],
            known=np.pad(known.astype(np.float32), pad)[:, None],
            step_minutes=sequence.time_step_minutes(),
            fields=None if fields is None else np.pad(fields, [(0, 0), *pad], mode="edge"),
        )


def _rain_of(answer: FloatArray, known: NDArray[np.bool_]) -> FloatArray:
    """Rain rate [y, x] of an answer [1, y, x], without its padding; NaN where nothing was known."""
    ny, nx = known.shape
    return np.where(known, hko7_rain_rate_mm_h(answer[0, :ny, :nx]), np.float32(np.nan))


def heaviest(fraction: FloatArray) -> float:
    """The fraction that 1 in 10 000 of the wet pixels exceeds; 1 where none is wet.

    A forecast stays below it. Scores at 10 mm/h do not punish a network for letting a hail core grow without end, and
    it does; a single pixel of clutter is no licence for it either.
    """
    wet = fraction[fraction >= WET_FRACTION]  # NaN is not
    return float(np.quantile(wet, HEAVIEST_QUANTILE)) if wet.size else 1.0


def padding(shape: tuple[int, int], stride: int) -> list[tuple[int, int]]:
    """`numpy.pad` widths that make [time, y, x] frames of `shape` fit the stride."""
    return [(0, 0), *((0, -side % stride) for side in shape)]
