"""Recurrent packages on ONNX Runtime: a one-step graph whose states stay on the device (IOBinding)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort

from model.core.catalog import ModelInfo
from model.core.errors import BadPackage
from model.core.manifest import verify_package
from model.core.sequence import FrameSequence
from model.core.units import DRY_RAIN_RATE_MM_H, FloatArray, hko7_fraction, hko7_rain_rate_mm_h
from model.runtime.motion import advect, estimate_motion, trajectories
from model.runtime.tiles import Tile, tiles_of

INPUTS = ("fraction", "valid", "conditions")
HEAVIEST_QUANTILE = 0.9999
WET_FRACTION = hko7_fraction(np.array(DRY_RAIN_RATE_MM_H))


class OneStepSession:
    """A one-step graph: `fraction`, `valid`, `conditions` and named states in; `next` and `new_` states out."""

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or int(os.environ.get("ECHOCAST_THREADS", "0"))
        available = ort.get_available_providers()
        providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]
        try:
            self.session = ort.InferenceSession(path, options, providers=providers)
        except Exception as error:  # onnxruntime raises its own, undocumented types
            reason = str(error).splitlines()[0]
            raise BadPackage(
                f"ONNX Runtime cannot load the graph ({reason})",
                where=str(path),
                mend="Export the package again",
            ) from None
        self.device = "cuda" if self.session.get_providers()[0] == "CUDAExecutionProvider" else "cpu"
        self.states = [item for item in self.session.get_inputs() if item.name not in INPUTS]

    def run(
        self, fraction: FloatArray, valid: FloatArray, step_minutes: float, leads: int, *, ceiling: float = 1.0
    ) -> Iterator[FloatArray]:
        """Yield `leads` frames [y, x] after `fraction` and `valid` [t, y, x], whose sides fit the graph's stride.

        A large domain goes through as tiles; each keeps its own states, and all see the blended frame at each step.
        No fraction exceeds `ceiling`, neither in an answer nor where the graph reads its own answer.
        """
        newest = len(fraction) - 1
        tiles = tiles_of((fraction.shape[1], fraction.shape[2]), max(self._strides()))
        bindings = [self._bind(tile) for tile in tiles]
        frame, known = fraction[0], valid[0]
        for index in range(newest + leads):
            if index <= newest:
                frame, known = fraction[index], valid[index]
            conditions = np.array([[step_minutes * (index - newest) / 60, step_minutes / 15]], np.float32)
            blend = np.zeros_like(frame)
            for tile, binding in zip(tiles, bindings, strict=True):
                answer = self._step(binding, _cut(frame, tile), _cut(known, tile), conditions)
                blend[tile.rows, tile.columns] += tile.weight * answer
            frame = np.minimum(blend, np.float32(ceiling))
            if index >= newest:
                yield frame

    def _bind(self, tile: Tile) -> ort.IOBinding:
        """A binding whose states are zeros on the device."""
        binding = self.session.io_binding()
        for item, stride in zip(self.states, self._strides(), strict=True):
            height, width = (side // stride for side in tile.weight.shape)
            zeros = np.zeros((1, int(item.shape[1]), height, width), np.float32)
            binding.bind_ortvalue_input(item.name, ort.OrtValue.ortvalue_from_numpy(zeros, self.device, 0))
        return binding

    def _step(
        self, binding: ort.IOBinding, fraction: FloatArray, valid: FloatArray, conditions: FloatArray
    ) -> FloatArray:
        """One step of one tile; the new states stay on the device and are bound as the next step's."""
        for name, value in zip(INPUTS, (fraction, valid, conditions), strict=True):
            binding.bind_cpu_input(name, value)
        for output in self.session.get_outputs():
            binding.bind_output(output.name, self.device)
        self.session.run_with_iobinding(binding)
        answer, *states = binding.get_outputs()
        for item, state in zip(self.states, states, strict=True):
            binding.bind_ortvalue_input(item.name, state)
        return np.asarray(answer.numpy()[0, 0], np.float32)

    def _strides(self) -> list[int]:
        """Stride of each state, from the graph's metadata."""
        kept = self.session.get_modelmeta().custom_metadata_map["state_strides"]
        return [int(stride) for stride in kept.split(",")]


def _cut(frame: FloatArray, tile: Tile) -> FloatArray:
    """The tile's part of a frame, as the graph takes it: [1, 1, y, x]."""
    return np.ascontiguousarray(frame[tile.rows, tile.columns])[None, None]


class OnnxPredictor:
    """A model package, ready to run.

    Raises:
        BadPackage: a file is missing or changed, or the graph cannot be loaded.
    """

    def __init__(self, info: ModelInfo) -> None:
        if info.folder is None:
            raise BadPackage("the model has no package", where=info.reference, mend="Import its package")
        self.info = info
        self.manifest = verify_package(info.folder)
        precision = "fp32"
        if precision not in self.manifest.variants:
            raise BadPackage(f"no variant {precision}", where=info.reference, mend="Export the package again")
        self.session = OneStepSession(info.folder / self.manifest.variants[precision])
        self.variant = f"{precision} on {self.session.device.upper()}"

    def forecast(self, sequence: FrameSequence, steps: int) -> Iterator[FloatArray]:
        """See Predictor.forecast."""
        rain = sequence.rain_rate
        lagrangian = self.manifest.frame_of_reference == "lagrangian"
        if lagrangian:
            motion = estimate_motion(rain)
            origins = list(trajectories(motion, len(rain) - 1))
            rain = np.stack([*map(advect, rain[:-1], reversed(origins)), rain[-1]])
        fraction = hko7_fraction(rain)
        known = np.isfinite(fraction)
        pad = padding(sequence.grid.shape, self.manifest.stride)
        answers = self.session.run(
            np.pad(np.where(known, fraction, np.float32(0)), pad),
            np.pad(known.astype(np.float32), pad),
            sequence.time_step_minutes(),
            steps,
            ceiling=heaviest(fraction),
        )
        ny, nx = sequence.grid.shape
        arrivals = trajectories(motion, steps) if lagrangian else None
        for answer in answers:
            frame = np.where(known[-1], hko7_rain_rate_mm_h(answer[:ny, :nx]), np.float32(np.nan))
            yield advect(frame, next(arrivals)) if arrivals else frame


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
