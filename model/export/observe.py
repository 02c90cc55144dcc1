"""What flows through a graph while it forecasts: the steps it runs, and how large the numbers of its tensors are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from model.core.units import FloatArray
from model.runtime.graph_session import CONDITIONS, DTYPES, FIELDS, FRACTION, INPUTS, VALID, ForecastInput, conditions
from model.runtime.ort import ort

FINEST, COARSEST, PER_OCTAVE = -14, 14, 8
"""Magnitudes are counted in classes from 2^FINEST to 2^COARSEST, eight to an octave."""
EDGES: Final = np.exp2(np.arange(FINEST * PER_OCTAVE, COARSEST * PER_OCTAVE + 1) / PER_OCTAVE)
CENTRES: Final = np.concatenate([[0.0], (EDGES[:-1] + EDGES[1:]) / 2, [EDGES[-1]]])


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """What a forecast starts from, and how many leads are forecast."""

    observed: ForecastInput
    leads: int


@dataclass(kw_only=True, eq=False)
class Magnitudes:
    """How often the absolute values of a tensor lie in which class, and the largest. Sums: no order counts."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(CENTRES.size, np.int64))
    largest: float = 0.0
    values_per_step: int = 0
    channels: int = 0

    def add(self, values: FloatArray) -> None:
        """Count the values of a step."""
        size = np.abs(values).ravel()
        self.counts += np.bincount(np.searchsorted(EDGES, size, side="right"), minlength=CENTRES.size)
        self.largest = max(self.largest, float(size.max(initial=0)))
        self.channels = values.shape[1]
        self.values_per_step = max(self.values_per_step, size.size)

    def limit(self, most: float = np.inf) -> float:
        """Up to where numbers are best told apart in 8 bits with a sign: least mean square error, at most `most`.

        What is smaller is rounded to steps of limit / 127; what is larger is taken for the limit.
        """
        top = min(self.largest, most)
        if top <= 0:
            return 1.0
        limits = top * np.exp2(-np.arange(0, 6, 0.125))
        beyond = np.maximum(np.minimum(CENTRES, top) - limits[:, None], 0.0)
        rounding = (limits / 127) ** 2 / 12 * self.counts.sum()
        return float(limits[np.argmin((beyond**2 @ self.counts) + rounding)])


def magnitudes(model: onnx.ModelProto, samples: Iterable[Sample], names: Sequence[str]) -> dict[str, Magnitudes]:
    """Of these tensors of a graph, over every step of the forecasts of all samples, context and leads alike."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    there = {item.name for item in (*model.graph.input, *model.graph.output)}
    watched.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in there)
    session = session_of(watched)
    found = {name: Magnitudes() for name in names}
    for sample in samples:
        for tensors in steps(session, sample):
            for name in names:
                found[name].add(tensors[name])
    return found


def session_of(model: onnx.ModelProto) -> ort.InferenceSession:
    """A session on the CPU."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def forecast(session: ort.InferenceSession, sample: Sample) -> FloatArray:
    """The leads [t, c, y, x] that a graph forecasts."""
    answers = [tensors["next"] for tensors in steps(session, sample)]
    if session.get_modelmeta().custom_metadata_map.get("kind") == "whole":
        return np.concatenate(answers, axis=1)[0, : sample.leads]
    return np.concatenate(answers[len(sample.observed.data) - 1 :])


def steps(session: ort.InferenceSession, sample: Sample) -> Iterator[Mapping[str, FloatArray]]:
    """Everything that a graph reads and answers, at each of its runs in a forecast."""
    metadata = session.get_modelmeta().custom_metadata_map
    wanted = {item.name for item in session.get_inputs()}
    names = [item.name for item in session.get_outputs()]
    ceiling = sample.observed.ceiling if metadata.get("bounded", "yes") == "yes" else np.inf
    states = _zeros(session, sample.observed)
    answer: FloatArray = np.empty(0, np.float32)
    whole = metadata.get("kind") == "whole"
    for read in _whole_reads(sample, int(metadata["frames"])) if whole else _one_step_reads(sample):
        feeds = {name: np.asarray(value[None], np.float32) for name, value in read.items() if name in wanted} | states
        if FRACTION not in feeds:
            feeds[FRACTION] = np.minimum(answer, np.float32(ceiling))
        tensors = feeds | dict(zip(names, session.run(None, feeds), strict=True))
        answer = tensors["next"]
        states = {name: tensors[f"new_{name}"] for name in states}
        yield tensors


def _one_step_reads(sample: Sample) -> Iterator[dict[str, FloatArray]]:
    """What a one-step graph reads at each step, but its own answers and states."""
    observed = sample.observed
    newest = len(observed.data) - 1
    for index in range(newest + sample.leads):
        frame = {FRACTION: observed.data[index]} if index <= newest else {}
        fields = {} if observed.fields is None else {FIELDS: observed.fields[index]}
        known = {VALID: np.asarray(observed.known[min(index, newest)], np.float32)}
        yield {**frame, **fields, **known, CONDITIONS: conditions(index - newest, observed.step_minutes)}


def _whole_reads(sample: Sample, count: int) -> Iterator[dict[str, FloatArray]]:
    """What a whole-sequence graph reads at each run, but its own answers."""
    observed = sample.observed
    known = np.asarray(observed.known, np.float32)
    for first in range(0, sample.leads, count):
        frames = {} if first else {FRACTION: observed.data}
        fields = {} if observed.fields is None else {FIELDS: observed.fields[first : first + count]}
        numbers = np.stack([conditions(step, observed.step_minutes) for step in range(first - count + 1, first + 1)])
        yield {**frames, **fields, VALID: known, CONDITIONS: numbers}
        known = np.repeat(known[-1:], count, axis=0)


def _zeros(session: ort.InferenceSession, observed: ForecastInput) -> dict[str, FloatArray]:
    """States of nothing seen yet."""
    states = [item for item in session.get_inputs() if item.name not in INPUTS]
    strides = session.get_modelmeta().custom_metadata_map.get("state_strides", "").split(",")
    rows, columns = observed.data.shape[-2:]
    return {
        item.name: np.zeros((1, item.shape[1], rows // int(stride), columns // int(stride)), DTYPES[item.type])
        for item, stride in zip(states, strides, strict=bool(states))
    }
