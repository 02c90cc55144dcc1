"""Graphs on ONNX Runtime: one step of a recurrent network, whose states stay on the device, or a whole sequence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from model.core.units import FloatArray
from model.runtime.ort import ort

Feeds = Mapping[str, FloatArray]

FRACTION, VALID, CONDITIONS, FIELDS = "fraction", "valid", "conditions", "fields"
INPUTS = (FRACTION, VALID, CONDITIONS, FIELDS)
"""What a graph may read, beside its states; each reads some of them."""

SMALLEST_SIDE = 256
"""Tiles are not cut any smaller."""
WORK_SHARE = 8
"""Work space of a one-step graph, in sizes of its states: the gates of the widest layer, several at a time."""

CHANNELS_LAST = "channels last"
"""`state_layout` of a graph whose states are [b, y, x, c], and not [b, c, y, x]."""

DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
}
"""What states may be made of."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ForecastInput:
    """What a forecast starts from; sides fit the graph's stride.

    `data` [t, c, y, x] in [0, 1], 0 where there are none; `known` [t, 1, y, x], 1 or True where there are. `fields`
    [t + leads, n, y, x]: exogenous fields at the times of the frames, then of the forecast, where the graph reads some.
    `ceiling`: what no forecast exceeds.
    """

    data: FloatArray
    known: FloatArray | NDArray[np.bool_]
    step_minutes: float
    fields: FloatArray | None = None
    ceiling: float = 1.0

    def cut(self, rows: slice, columns: slice) -> ForecastInput:
        """The same of a part of the domain."""
        return replace(
            self,
            data=self.data[..., rows, columns],
            known=self.known[..., rows, columns],
            fields=None if self.fields is None else self.fields[..., rows, columns],
        )


class GraphSession(ABC):
    """A graph that ONNX Runtime has loaded."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self.session = session
        self.device = "cuda" if session.get_providers()[0] == "CUDAExecutionProvider" else "cpu"
        self.reads = [item.name for item in session.get_inputs() if item.name in INPUTS]
        self.metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
        self.bounded = self.metadata.get("bounded", "yes") == "yes"
        self.state_bytes = 0.0
        """Of what is kept from one lead to the next, per pixel of a frame: all states, or all frames."""

    @property
    def smallest_bytes(self) -> float:
        """What the smallest tile keeps, before a step and after it: what else it takes comes on top."""
        return 2 * self.state_bytes * SMALLEST_SIDE**2

    @property
    @abstractmethod
    def stride(self) -> int:
        """What the sides of a frame are multiples of."""

    @property
    def grid(self) -> tuple[int, int] | None:
        """The one grid that the graph takes; None: any."""
        sides = next(item.shape[-2:] for item in self.session.get_inputs() if item.name == FRACTION)
        return (sides[0], sides[1]) if all(isinstance(side, int) for side in sides) else None

    @abstractmethod
    def run_batch(self, observed: Sequence[ForecastInput], leads: int) -> Iterator[FloatArray | None]:
        """Yield the `leads` frames [b, c, y, x] that follow each of a batch; None after each other step of the graph.

        All have one shape and as many frames. No frame exceeds the ceiling of its own; nor does what a bounded graph
        reads of its answers. An unbounded one reads them as they were.
        """

    def run(self, observed: ForecastInput, leads: int) -> Iterator[FloatArray]:
        """Yield the `leads` frames [c, y, x] that follow; the domain in one piece, and nothing beside it."""
        for frames in self.run_batch([observed], leads):
            if frames is not None:
                yield frames[0]

    def release(self) -> None:  # noqa: B027 - a graph without states keeps nothing
        """Give back the memory that is only kept for the next step."""

    def _next(self, answer: FloatArray, observed: Sequence[ForecastInput]) -> tuple[FloatArray, FloatArray]:
        """What is forecast, and what the graph reads next."""
        ceilings = np.array([each.ceiling for each in observed], np.float32)
        capped = np.minimum(answer, ceilings.reshape(-1, *[1] * (answer.ndim - 1)))
        return capped, capped if self.bounded else answer


class OneStepSession(GraphSession):
    """A one-step graph with named states, which are bound as inputs and outputs in turn and never leave the device."""

    def __init__(self, session: ort.InferenceSession) -> None:
        super().__init__(session)
        states = [item for item in session.get_inputs() if item.name not in INPUTS]
        self._channels_last = self.metadata.get("state_layout") == CHANNELS_LAST
        kept = self.metadata["state_strides"].split(",") if states else []
        self._strides = {item.name: int(stride) for item, stride in zip(states, kept, strict=True)}
        self._kinds = {
            item.name: (int(item.shape[3 if self._channels_last else 1]), DTYPES[item.type]) for item in states
        }
        self.state_bytes = sum(
            channels * np.dtype(kind).itemsize / self._strides[name] ** 2
            for name, (channels, kind) in self._kinds.items()
        )
        self._spare: dict[tuple[int, ...], States] = {}
        self._running: Counter[tuple[int, ...]] = Counter()

    @property
    def stride(self) -> int:
        """See GraphSession.stride."""
        return max(self._strides.values())

    def run_batch(self, observed: Sequence[ForecastInput], leads: int) -> Iterator[FloatArray | None]:
        """See GraphSession.run_batch."""
        before = len(observed[0].data) - 1
        for step, frames in enumerate(self._steps(observed, leads)):
            yield None if step < before else frames

    def rollout(self, observed: ForecastInput, leads: int) -> Iterator[FloatArray]:
        """Yield what it answers to each frame but the newest, which is the frame [c, y, x] after it; then as `run`."""
        for frames in self._steps([observed], leads):
            yield frames[0]

    def release(self) -> None:
        """See GraphSession.release."""
        self._spare.clear()

    def _steps(self, observed: Sequence[ForecastInput], leads: int) -> Iterator[FloatArray]:
        """Every step's frames [b, c, y, x]. What is spare goes with the last forecast of its shape."""
        states = self._zeros(len(observed), observed[0].data.shape[2:])
        self._running[states.key] += 1
        try:
            yield from self._from(states, observed, leads)
        finally:
            self._running[states.key] -= 1
            if not self._running[states.key]:
                self._spare.pop(states.key, None)

    def _from(self, states: States, observed: Sequence[ForecastInput], leads: int) -> Iterator[FloatArray]:
        newest = len(observed[0].data) - 1
        frame = np.empty(0, np.float32)
        for index in range(newest + leads):
            if index <= newest:
                frame = np.stack([each.data[index] for each in observed])
            held = min(index, newest)
            answer, states = self._step(
                states,
                {
                    FRACTION: frame,
                    VALID: np.stack([each.known[held] for each in observed]).astype(np.float32, copy=False),
                    CONDITIONS: np.stack([conditions(index - newest, each.step_minutes) for each in observed]),
                    FIELDS: _stacked([each.fields for each in observed], slice(index, index + 1), squeeze=True),
                },
            )
            forecast, frame = self._next(answer, observed)
            yield forecast

    def _zeros(self, batch: int, shape: tuple[int, ...]) -> States:
        """States of nothing seen yet, on the device."""
        height, width = shape
        values = {}
        for name, (channels, kind) in self._kinds.items():
            stride = self._strides[name]
            rows, columns = height // stride, width // stride
            image = (rows, columns, channels) if self._channels_last else (channels, rows, columns)
            zeros = np.zeros((batch, *image), kind)
            values[name] = ort.OrtValue.ortvalue_from_numpy(zeros, self.device, 0)
        return States(key=(batch, height, width), values=values)

    def _step(self, states: States, feeds: Mapping[str, FloatArray | None]) -> tuple[FloatArray, States]:
        """One step: the next frames, and the new states. Those given are free for the step after."""
        binding = self.session.io_binding()
        for name in self.reads:
            value = feeds[name]
            if value is not None:
                binding.bind_cpu_input(name, np.ascontiguousarray(value))
        # One set beside those in use, for all forecasts of a shape; a wrong shape here would be ONNX Runtime's error.
        spare = self._spare.pop(states.key, None) or self._zeros(states.key[0], states.key[1:])
        for name, value in states.values.items():
            binding.bind_ortvalue_input(name, value)
            binding.bind_ortvalue_output(f"new_{name}", spare.values[name])
        binding.bind_output("next", "cpu")
        self.session.run_with_iobinding(binding)
        answer = binding.get_outputs()[len(states.values)].numpy()
        self._spare[states.key] = states
        return np.asarray(answer, np.float32), spare


@dataclass(frozen=True, kw_only=True, eq=False)
class States:
    """One set of a graph's states on the device, by name; `key`: batch, rows and columns of the frames."""

    key: tuple[int, ...]
    values: Mapping[str, ort.OrtValue]


class WholeSession(GraphSession):
    """A graph that reads all frames at once and answers as many; more leads follow from its own answers.

    Its norms are over a tile, so that tiles differ a little more from the untiled forecast than of a recurrent network.
    """

    def __init__(self, session: ort.InferenceSession) -> None:
        super().__init__(session)
        # Frames, what is known of them, and the answer, for as long as leads of it are told.
        self.state_bytes = 3.0 * int(self.metadata["frames"]) * np.dtype(np.float32).itemsize

    @property
    def stride(self) -> int:
        """See GraphSession.stride."""
        return int(self.metadata["stride"])

    def run_batch(self, observed: Sequence[ForecastInput], leads: int) -> Iterator[FloatArray | None]:
        """See GraphSession.run_batch."""
        count = int(self.metadata["frames"])
        data = np.stack([each.data for each in observed])
        known = np.stack([each.known for each in observed]).astype(np.float32)
        for first in range(0, leads, count):
            steps = range(first - count + 1, first + 1)
            feeds = {
                FRACTION: data,
                VALID: known,
                CONDITIONS: np.stack([[conditions(step, each.step_minutes) for step in steps] for each in observed]),
                FIELDS: _stacked([each.fields for each in observed], slice(first, first + count)),
            }
            (answer,) = self.session.run(["next"], {name: feeds[name] for name in self.reads})
            del feeds
            forecast, data = self._next(np.asarray(answer, np.float32), observed)
            known = np.repeat(known[:, -1:], count, axis=1)
            yield from islice(np.moveaxis(forecast, 1, 0), leads - first)


def _stacked(fields: Sequence[FloatArray | None], times: slice, *, squeeze: bool = False) -> FloatArray | None:
    """Fields [b, t, n, y, x] at these times, or [b, n, y, x] of a single one; None where there are none."""
    held = [each[times.start if squeeze else times] for each in fields if each is not None]
    return np.stack(held) if held else None


def conditions(steps_after_newest: int, step_minutes: float) -> FloatArray:
    """A frame's lead time over 60 min and its time step over 15 min, as in `model.nets.forecast_model`."""
    return np.array([step_minutes * steps_after_newest / 60, step_minutes / 15], np.float32)
