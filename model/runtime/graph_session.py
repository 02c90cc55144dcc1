"""ONNX graphs in a session: one step of a recurrent network, whose states stay on the device, or a whole sequence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.units import FloatArray
from model.runtime.ort import ort

FRACTION, VALID, CONDITIONS, FIELDS = "fraction", "valid", "conditions", "fields"
NEXT, EXCEEDANCE = "next", "exceedance"
"""Outputs beside the states: the next frame, and the exceedance probabilities of a network with a distribution."""
INPUTS: Final = (FRACTION, VALID, CONDITIONS, FIELDS)
"""Inputs that a graph may have beside its states."""

SMALLEST_SIDE: Final = 256
"""Tiles are not cut any smaller (pixels): most of a tile would be overlap."""
WORK_SHARE: Final = 8
"""Work space of a one-step graph, in sizes of its states: the gates of the widest layer, several at a time."""
WORK_PLANES: Final = 3
"""Work space of a distribution head, in planes for each threshold: offsets, logits and probabilities."""

CHANNELS_LAST: Final = "channels last"
"""`state_layout` in the metadata of a graph whose states are [b, y, x, c], and not [b, c, y, x]."""

DTYPES: Final[Mapping[str, type[np.generic]]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
}
"""Types that states may have."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ForecastInput:
    """What a graph reads to make one forecast. Rows and columns are multiples of the graph's stride.

    Attributes
    ----------
    data : ndarray
        Observed frames [t, c, y, x] in [0, 1], 0 where there is no data.
    known : ndarray
        1 or True where there is data [t, 1, y, x].
    step_minutes : float
        Time step (min).
    fields : ndarray, optional
        Exogenous fields [t + steps, n, y, x] at the times of the frames, then of the forecast.
    ceiling : float
        Largest value of the forecast.
    """

    data: FloatArray
    known: FloatArray | NDArray[np.bool_]
    step_minutes: float
    fields: FloatArray | None = None
    ceiling: float = 1.0

    def cut(self, rows: slice, columns: slice) -> ForecastInput:
        """Return the part of the domain in these rows and columns, as views."""
        return replace(
            self,
            data=self.data[..., rows, columns],
            known=self.known[..., rows, columns],
            fields=None if self.fields is None else self.fields[..., rows, columns],
        )


class GraphSession(ABC):
    """A graph that ONNX Runtime has loaded.

    Attributes
    ----------
    device : str
        `cpu` or `cuda`.
    reads : list of str
        Names among `INPUTS` that the graph has.
    bounded : bool
        Whether the network feeds back its output capped at the ceiling; an unbounded one feeds it back as it is.
    threshold_count : int
        Number of thresholds whose exceedance probabilities the graph returns; 0: it returns none.
    outputs : list of str
        `next`, and `exceedance` if the graph has it.
    state_bytes : float
        Memory that is held from one lead step to the next, per pixel of a frame: all states, or all frames.
    """

    def __init__(self, session: ort.InferenceSession) -> None:
        self.session = session
        self.device = "cuda" if session.get_providers()[0] == "CUDAExecutionProvider" else "cpu"
        self.reads = [item.name for item in session.get_inputs() if item.name in INPUTS]
        self.metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
        self.bounded = self.metadata.get("bounded", "yes") == "yes"
        self.state_bytes = 0.0
        self.threshold_count = int(self.metadata.get("thresholds", 0))
        self.outputs = [NEXT, EXCEEDANCE] if self.threshold_count else [NEXT]

    @property
    def smallest_bytes(self) -> float:
        """Memory for the states of the smallest tile, before a step and after it; work space comes on top."""
        return 2 * self.state_bytes * SMALLEST_SIDE**2

    @property
    def work_bytes(self) -> float:
        """Work space of a run of the graph, per pixel of a frame."""
        return WORK_SHARE * self.state_bytes + WORK_PLANES * 4 * self.threshold_count

    @property
    @abstractmethod
    def stride(self) -> int:
        """Number that rows and columns of a frame are multiples of."""

    @property
    def grid(self) -> tuple[int, int] | None:
        """The one grid (rows, columns) that the graph takes; None: any."""
        sides = next(item.shape[-2:] for item in self.session.get_inputs() if item.name == FRACTION)
        return (sides[0], sides[1]) if all(isinstance(side, int) for side in sides) else None

    @abstractmethod
    def run_batch(self, inputs: Sequence[ForecastInput], steps: int) -> Iterator[FloatArray | None]:
        """Yield the forecasts of a batch, frame by frame.

        Parameters
        ----------
        inputs : sequence of ForecastInput
            As many frames each, on domains of one shape.
        steps : int
            Number of lead steps.

        Yields
        ------
        ndarray or None
            The frames [b, c, y, x] of the next lead step, each below the ceiling of its own input; of a network with a
            distribution the exceedance probabilities [b, threshold, y, x] instead. None after a run of the graph that
            only reads the context.
        """

    def run(self, inputs: ForecastInput, steps: int) -> Iterator[FloatArray]:
        """Yield the frames [c, y, x], or probabilities, of one forecast, the domain in one piece."""
        for frames in self.run_batch([inputs], steps):
            if frames is not None:
                yield frames[0]

    def release(self) -> None:  # noqa: B027 - a graph without states holds no memory
        """Free the memory that is held for the next step only."""

    def _cap(self, output: FloatArray, inputs: Sequence[ForecastInput]) -> tuple[FloatArray, FloatArray]:
        """Return the forecast, which is capped, and what the graph reads next."""
        ceilings = np.array([each.ceiling for each in inputs], np.float32)
        capped = np.minimum(output, ceilings.reshape(-1, *[1] * (output.ndim - 1)))
        return capped, capped if self.bounded else output


@dataclass(frozen=True, kw_only=True, eq=False)
class States:
    """One set of a graph's states on the device, by name; `key`: batch, rows and columns of the frames."""

    key: tuple[int, ...]
    values: Mapping[str, ort.OrtValue]


class OneStepSession(GraphSession):
    """A one-step graph with named states.

    The states of two sets are bound as inputs and outputs in turn, and never leave the device
    (https://onnxruntime.ai/docs/performance/tune-performance/iobinding.html).
    """

    def __init__(self, session: ort.InferenceSession) -> None:
        super().__init__(session)
        states = [item for item in session.get_inputs() if item.name not in INPUTS]
        self._channels_last = self.metadata.get("state_layout") == CHANNELS_LAST
        strides = self.metadata["state_strides"].split(",") if states else []
        self._strides = {item.name: int(stride) for item, stride in zip(states, strides, strict=True)}
        self._types = {
            item.name: (int(item.shape[3 if self._channels_last else 1]), DTYPES[item.type]) for item in states
        }
        self.state_bytes = sum(
            channels * np.dtype(dtype).itemsize / self._strides[name] ** 2
            for name, (channels, dtype) in self._types.items()
        )
        self._spare: dict[tuple[int, ...], States] = {}
        self._running: Counter[tuple[int, ...]] = Counter()

    @property
    def stride(self) -> int:
        """See GraphSession.stride."""
        return max(self._strides.values())

    def run_batch(self, inputs: Sequence[ForecastInput], steps: int) -> Iterator[FloatArray | None]:
        """See GraphSession.run_batch."""
        context = len(inputs[0].data) - 1
        for index, (frames, exceedance) in enumerate(self._rollout(inputs, steps)):
            yield None if index < context else frames if exceedance is None else exceedance

    def rollout(self, inputs: ForecastInput, steps: int) -> Iterator[FloatArray]:
        """Yield the prediction [c, y, x] that follows each frame but the newest, then the forecast as in `run`."""
        for frames, _ in self._rollout([inputs], steps):
            yield frames[0]

    def release(self) -> None:
        """See GraphSession.release."""
        self._spare.clear()

    def _rollout(self, inputs: Sequence[ForecastInput], steps: int) -> Iterator[tuple[FloatArray, FloatArray | None]]:
        """Yield frames [b, c, y, x] and exceedance of every step of the graph, those over the context included."""
        states = self.zero_states(len(inputs), *inputs[0].data.shape[2:])
        key = states.key
        self._running[key] += 1
        newest = len(inputs[0].data) - 1
        frame = np.empty(0, np.float32)
        try:
            for index in range(newest + steps):
                if index <= newest:
                    frame = np.stack([each.data[index] for each in inputs])
                known = np.stack([each.known[min(index, newest)] for each in inputs])
                conditions = np.stack([time_conditions(index - newest, each.step_minutes) for each in inputs])
                fields = _stack_fields([None if each.fields is None else each.fields[index] for each in inputs])
                feeds = {FRACTION: frame, VALID: known.astype(np.float32, copy=False)}
                output, exceedance, states = self.step(states, {**feeds, CONDITIONS: conditions, FIELDS: fields})
                forecast, frame = self._cap(output, inputs)
                yield forecast, exceedance
        finally:  # the last forecast of a shape frees the spare set
            self._running[key] -= 1
            if not self._running[key]:
                self._spare.pop(key, None)

    def zero_states(self, batch: int, height: int, width: int) -> States:
        """Return the states of a network that has seen nothing, on the device."""
        values = {}
        for name, (channels, dtype) in self._types.items():
            rows, columns = height // self._strides[name], width // self._strides[name]
            image = (rows, columns, channels) if self._channels_last else (channels, rows, columns)
            values[name] = ort.OrtValue.ortvalue_from_numpy(np.zeros((batch, *image), dtype), self.device, 0)
        return States(key=(batch, height, width), values=values)

    def step(
        self, states: States, feeds: Mapping[str, FloatArray | None]
    ) -> tuple[FloatArray, FloatArray | None, States]:
        """Run the graph once, and return its frames, its exceedance probabilities if it has any, and the new states.

        The memory of `states` is written in the step after: one spare set serves all forecasts of a shape.
        """
        binding = self.session.io_binding()
        for name in self.reads:
            value = feeds[name]
            if value is not None:
                binding.bind_cpu_input(name, np.ascontiguousarray(value))
        new = self._spare.pop(states.key, None) or self.zero_states(*states.key)
        for name, value in states.values.items():
            binding.bind_ortvalue_input(name, value)
            binding.bind_ortvalue_output(f"new_{name}", new.values[name])
        for name in self.outputs:
            binding.bind_output(name, "cpu")
        self.session.run_with_iobinding(binding)
        values = [value.numpy() for value in binding.get_outputs()[len(states.values) :][: len(self.outputs)]]
        self._spare[states.key] = states
        frames, *exceedance = (np.asarray(value, np.float32) for value in values)
        return frames, exceedance[0] if exceedance else None, new


class WholeSession(GraphSession):
    """A graph that reads all frames at once and returns as many; further steps follow from its own output.

    Its norms are over a tile, so that tiles differ a little more from the forecast in one piece than those of a
    recurrent network.
    """

    def __init__(self, session: ort.InferenceSession) -> None:
        super().__init__(session)
        # Frames, their masks, and the output until its last frame is reported.
        self.state_bytes = 3.0 * int(self.metadata["frames"]) * np.dtype(np.float32).itemsize

    @property
    def stride(self) -> int:
        """See GraphSession.stride."""
        return int(self.metadata["stride"])

    def run_batch(self, inputs: Sequence[ForecastInput], steps: int) -> Iterator[FloatArray | None]:
        """See GraphSession.run_batch."""
        count = int(self.metadata["frames"])
        data = np.stack([each.data for each in inputs])
        known = np.stack([each.known for each in inputs]).astype(np.float32)
        for first in range(0, steps, count):
            times = range(first - count + 1, first + 1)
            fields = [None if each.fields is None else each.fields[first : first + count] for each in inputs]
            feeds = {
                FRACTION: data,
                VALID: known,
                CONDITIONS: np.stack([[time_conditions(time, each.step_minutes) for time in times] for each in inputs]),
                FIELDS: _stack_fields(fields),
            }
            values = self.session.run(self.outputs, {name: feeds[name] for name in self.reads})
            del feeds
            output, *exceedance = (np.asarray(value, np.float32) for value in values)
            forecast, data = self._cap(output, inputs)
            known = np.repeat(known[:, -1:], count, axis=1)
            yield from islice(np.moveaxis(exceedance[0] if exceedance else forecast, 1, 0), steps - first)


def _stack_fields(fields: Sequence[FloatArray | None]) -> FloatArray | None:
    """Return the fields of a batch; None where the network reads none."""
    present = [each for each in fields if each is not None]
    return np.stack(present) if present else None


def time_conditions(steps_after_newest: int, step_minutes: float) -> FloatArray:
    """Return a frame's lead time over 60 min and its time step over 15 min, as in `model.nets.forecast_model`."""
    return np.array([step_minutes * steps_after_newest / 60, step_minutes / 15], np.float32)
