"""Record how large the numbers in a graph become while it forecasts, for the scales of 8-bit numbers.

The forecasts run in the sessions of `model.runtime`, as they are served.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from model.core.units import FloatArray
from model.runtime.device import EngineOptions, open_session
from model.runtime.graph_session import ForecastInput
from model.runtime.ort import ort

FINEST, COARSEST, PER_OCTAVE = -14, 14, 8
"""Magnitudes are counted in classes from 2^FINEST to 2^COARSEST, eight to an octave."""
EDGES: Final = np.exp2(np.arange(FINEST * PER_OCTAVE, COARSEST * PER_OCTAVE + 1) / PER_OCTAVE)
CENTRES: Final = np.concatenate([[0.0], (EDGES[:-1] + EDGES[1:]) / 2, [EDGES[-1]]])
LARGEST: Final = 127
"""Of 8-bit numbers with a sign, symmetric around zero."""

Tensors = Mapping[str, FloatArray]


@dataclass(frozen=True, kw_only=True, eq=False)
class CalibrationSample:
    """The input of a forecast, and the number of leads."""

    observed: ForecastInput
    leads: int


@dataclass(kw_only=True, eq=False)
class Magnitudes:
    """Histogram of the absolute values of a tensor [b, c, y, x]; sums do not depend on the order of samples."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(CENTRES.size, np.int64))
    largest: float = 0.0
    values_per_step: int = 0
    channels: int = 0

    def add(self, values: FloatArray) -> None:
        """Count the values of one step."""
        size = np.abs(values).ravel()
        self.counts += np.bincount(np.searchsorted(EDGES, size, side="right"), minlength=CENTRES.size)
        self.largest = max(self.largest, float(size.max(initial=0)))
        self.channels = values.shape[1]
        self.values_per_step = max(self.values_per_step, size.size)

    def limit(self, highest: float = np.inf) -> float:
        """Return the range of 8-bit numbers that minimises the mean square error, up to `highest`.

        Smaller values are rounded to steps of limit / 127, an error of step^2 / 12; larger ones saturate.
        """
        top = min(self.largest, highest)
        if top <= 0:
            return 1.0
        limits = top * np.exp2(-np.arange(0, 6, 0.125))
        saturated = np.maximum(np.minimum(CENTRES, top) - limits[:, None], 0.0)
        rounded = (limits / LARGEST) ** 2 / 12 * self.counts.sum()
        return float(limits[np.argmin((saturated**2 @ self.counts) + rounded)])


def forecasts_of(
    model: ir.Model,
    samples: Iterable[CalibrationSample],
    outputs: Sequence[str] = (),
    observe: Callable[[Tensors], None] = lambda tensors: None,
) -> list[FloatArray]:
    """Return the forecast [t, c, y, x] of each sample, on the CPU; pass further outputs of each step to `observe`."""
    with tempfile.TemporaryDirectory(prefix="echocast-") as folder:
        path = Path(folder) / "model.onnx"
        ir.save(model, path)
        session = open_session(path, options=EngineOptions(device="cpu", memory_mb=2**20))
    if outputs:
        session.session = cast(ort.InferenceSession, _WatchedSession(session.session, outputs, observe))
    return [np.stack(list(session.run(each.observed, each.leads))) for each in samples]


def magnitudes(model: ir.Model, samples: Iterable[CalibrationSample], names: Sequence[str]) -> dict[str, Magnitudes]:
    """Return the magnitudes of tensors of a graph.

    Parameters
    ----------
    model
        A float32 graph.
    samples
        Forecasts to run; every step counts, over context and leads alike.
    names
        Inputs, outputs or tensors between them, [b, c, y, x].
    """
    found = {name: Magnitudes() for name in names}
    watched = model.clone()
    graph = watched.graph
    values = {value.name: value for value in (*graph.inputs, *(out for node in graph for out in node.outputs))}
    outputs = {}
    for name in names:
        # A copy: inputs cannot be outputs, and the runtime binds the states itself.
        copy = ir.node("Identity", [values[name]], outputs=[ir.Value(name=f"{name}_watched")])
        copy.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
        graph.append(copy)
        graph.outputs.append(copy.outputs[0])
        outputs[f"{name}_watched"] = found[name]

    def count(tensors: Tensors) -> None:
        for name, values in tensors.items():
            outputs[name].add(values)

    forecasts_of(watched, samples, list(outputs), count)
    return found


class _WatchedSession:
    """An ONNX Runtime session that passes further outputs of the graph to a function after each run."""

    def __init__(
        self, session: ort.InferenceSession, outputs: Sequence[str], observe: Callable[[Tensors], None]
    ) -> None:
        self._session, self._outputs, self._observe = session, outputs, observe

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the session has
        return getattr(self._session, name)

    def run(self, names: Sequence[str], feeds: Tensors) -> list[FloatArray]:
        """See `onnxruntime.InferenceSession.run`."""
        values = self._session.run([*names, *self._outputs], feeds)
        self._observe(dict(zip(self._outputs, values[len(names) :], strict=True)))
        return list(values[: len(names)])

    def run_with_iobinding(self, binding: ort.IOBinding) -> None:
        """See `onnxruntime.InferenceSession.run_with_iobinding`."""
        for name in self._outputs:
            binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(binding)
        values = binding.get_outputs()[-len(self._outputs) :]
        self._observe({name: value.numpy() for name, value in zip(self._outputs, values, strict=True)})
