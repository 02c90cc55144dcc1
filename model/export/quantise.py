"""A graph in 8 bits: its convolutions multiply 8-bit integers, all else stays float32 (static QDQ, per channel).

Weights are int8, with a scale per output channel. Activations are uint8 around 128, with one scale for each tensor:
zero is zero. So tensors that are concatenated for a convolution may each keep their own scale; what they differ by goes
into the weights of their channels. What the gates of a convolution are rounded to is each gate's own, and the weights
of the gate make up for that, too. Convolutions that change the forecast most stay float32, found by measurement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper

from model.core.units import FloatArray
from model.export.channels_last import channels_last
from model.export.joined import join_gates
from model.export.lean import Graph, attribute
from model.export.observe import Magnitudes, Sample, forecast, magnitudes, session_of
from model.runtime.graph_session import CHANNELS_LAST

LARGEST: Final = 127
ZERO_POINT: Final = 128
SATURATED: Final[Mapping[str, float]] = {"Sigmoid": 8.0, "Tanh": 4.0}
"""Beyond this a gate is open or shut: numbers larger than that need not be told apart."""

CHANNELS_AT_ONCE: Final = 4
"""ONNX Runtime convolves so many in 8 bits without a copy of the image for each pixel of a kernel."""
FEW_CHANNELS: Final = 8
"""A convolution from or to fewer channels gains nothing in 8 bits."""
CHANGE_LIMIT: Final = 0.03
FLOAT_SHARE: Final = 0.5
"""At most this share of the multiply-adds is given back to float32; the gate judges what comes of it."""


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """What was done: names of convolutions in 8 bits, and of those that stay float32 because they are sensitive.

    `change`: root mean square difference of the forecasts of the samples from those of the float32 graph, as a share of
    their root mean square.
    """

    quantised: tuple[str, ...]
    sensitive: tuple[str, ...]
    change: float


def quantise(
    fp32_graph: Path, out: Path, samples: Sequence[Sample], *, change_limit: float = CHANGE_LIMIT
) -> Quantised:
    """Write an int8 graph of a float32 one, calibrated on the forecasts of these samples, and say what was done.

    Inputs, outputs and metadata are those of the float32 graph, but that states have their channels last; the metadata
    say so, and what stays float32.
    """
    model = joined_model(onnx.load(fp32_graph))
    graph = Graph(model)
    watched = dict.fromkeys(
        name for conv in _eligible(graph) for name in (*_sources(graph, conv), *_gates(graph, conv))
    )
    found = magnitudes(model, samples, list(watched))
    macs = {conv.name: _macs(graph, conv, found) for conv in _eligible(graph)}
    truth = [forecast(session_of(model), sample) for sample in samples]

    def change_of(chosen: Collection[str]) -> float:
        session = session_of(in_8_bits(model, found, chosen))
        return _difference(truth, [forecast(session, sample) for sample in samples])

    kept, change = _kept_float(macs, change_of, change_limit)
    chosen = tuple(name for name in macs if name not in kept)
    written = in_8_bits(model, found, chosen)
    shapes = {item.name: [axis.dim_value for axis in item.type.tensor_type.shape.dim] for item in _typed(written)}
    graph = Graph(written, prefix="last")
    channels_last(graph, shapes)
    graph.finished()
    metadata = {item.key: item.value for item in model.metadata_props}
    helper.set_model_props(written, metadata | {"float32_layers": ",".join(kept), "state_layout": CHANNELS_LAST})
    onnx.checker.check_model(written, full_check=True)
    onnx.save(written, out)
    return Quantised(quantised=chosen, sensitive=tuple(kept), change=change)


def _kept_float(
    macs: Mapping[str, float], change_of: Callable[[Collection[str]], float], limit: float
) -> tuple[list[str], float]:
    """Convolutions that must stay float32 so that a forecast changes by no more than the limit, and the change.

    Those that change it most, alone in 8 bits, for what they cost; a quarter of those that are left at a time, and at
    most FLOAT_SHARE of the multiply-adds: what that does not make good, the gate refuses.
    """
    change = change_of(list(macs))
    if change <= limit:
        return [], change
    alone = {name: change_of([name]) for name in macs}
    order = sorted(macs, key=lambda name: (-(alone[name] ** 2) / macs[name], name))
    kept: list[str] = []
    while change > limit:
        more = [*kept, *order[len(kept) : len(kept) + max(1, (len(order) - len(kept)) // 8)]]
        if sum(macs[name] for name in more) > FLOAT_SHARE * sum(macs.values()):
            break
        kept = more
        change = change_of([name for name in macs if name not in kept])
    return kept, change


def _difference(truth: Sequence[FloatArray], other: Sequence[FloatArray]) -> float:
    """Root mean square difference of forecasts, as a share of the root mean square of the true ones."""
    off = math.fsum(float(np.square(a - b, dtype=np.float64).sum()) for a, b in zip(truth, other, strict=True))
    return math.sqrt(off / max(math.fsum(float(np.square(a, dtype=np.float64).sum()) for a in truth), 1e-12))


def joined_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """A float32 graph that answers the same, its gates joined, every convolution with a name."""
    channels = {item.name: item.type.tensor_type.shape.dim for item in _typed(model)}
    graph = Graph(model, prefix="joined")
    join_gates(
        graph, {name: dims[1].dim_value for name, dims in channels.items() if len(dims) == 4 and dims[1].dim_value}
    )
    for number, node in enumerate(graph.nodes):
        node.name = _gates(graph, node)[0] if node.op_type == "Conv" else f"{node.op_type}_{number}"
    return graph.finished()


def _typed(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Inputs, outputs and whatever lies between them, with shapes as far as they are known."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    return [*graph.input, *graph.output, *graph.value_info]


def _eligible(graph: Graph) -> list[NodeProto]:
    """Convolutions with constant weights that add up more than a few channels."""
    return [
        node
        for node in graph.nodes
        if node.op_type == "Conv"
        and all(name in graph.constants for name in node.input[1:])
        and min(graph.constants[node.input[1]].shape[:2]) >= FEW_CHANNELS
        and not graph.is_answer(node.output[0])
    ]


def _is_dense(conv: NodeProto) -> bool:
    """Whether each of its answers is of all channels."""
    return attribute(conv, "group", 1) == 1


def _sources(graph: Graph, conv: NodeProto) -> list[str]:
    """The tensors that a convolution reads, before they were concatenated for it.

    What a grouped one reads has one scale: the channels of its weights are not those that are concatenated.
    """
    maker = graph.maker(conv.input[0]) if _is_dense(conv) else None
    joined = maker is not None and maker.op_type == "Concat" and attribute(maker, "axis") == 1
    return list(maker.input) if joined and maker is not None else [conv.input[0]]


def _split(graph: Graph, conv: NodeProto) -> NodeProto | None:
    """The node that alone reads what a convolution makes, where that takes it apart by channels."""
    readers = graph.readers(conv.output[0])
    apart = len(readers) == 1 and readers[0].op_type == "Split" and attribute(readers[0], "axis", 0) == 1
    return readers[0] if apart else None


def _gates(graph: Graph, conv: NodeProto) -> list[str]:
    """The tensors that a convolution makes, once they are split."""
    split = _split(graph, conv)
    return list(split.output) if split else [conv.output[0]]


def _saturated(graph: Graph, gate: str) -> float:
    """Beyond which size the numbers of a gate need not be told apart."""
    return max((SATURATED.get(reader.op_type, np.inf) for reader in graph.readers(gate)), default=np.inf)


def _macs(graph: Graph, conv: NodeProto, found: Mapping[str, Magnitudes]) -> float:
    """Multiply-adds of a step, over the largest sample."""
    weights = graph.constants[conv.input[1]]
    return float(sum(found[name].values_per_step for name in _gates(graph, conv)) * weights.size / weights.shape[0])


def in_8_bits(model: onnx.ModelProto, found: Mapping[str, Magnitudes], chosen: Collection[str]) -> onnx.ModelProto:
    """The graph with these convolutions between pairs of QuantizeLinear and DequantizeLinear."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    writer = _Writer(Graph(copy, prefix="int8"), found)
    for conv in [node for node in writer.graph.nodes if node.op_type == "Conv" and node.name in chosen]:
        writer.rewrite(conv)
    return writer.graph.finished()


class _Writer:
    """Rewrites convolutions of a graph, in order; what several of them read is quantised once."""

    def __init__(self, graph: Graph, found: Mapping[str, Magnitudes]) -> None:
        self.graph, self.found = graph, found
        self.zero = graph.constant(np.array(ZERO_POINT, np.uint8))
        self.read: dict[tuple[tuple[str, ...], int], str] = {}
        """The 8-bit numbers of what was concatenated, and how many channels fill it up."""

    def rewrite(self, conv: NodeProto) -> None:
        """One convolution, from the float32 tensors that it reads to those that it makes."""
        graph = self.graph
        sources, gates, split = _sources(graph, conv), _gates(graph, conv), _split(graph, conv)
        weights = np.asarray(graph.constants[conv.input[1]], np.float32)
        bias = graph.constants[conv.input[2]] if len(conv.input) > 2 else np.zeros(len(weights), np.float32)
        sizes = [int(size) for size in graph.constants[split.input[1]]] if split else [len(weights)]

        # Each source and each gate has a scale of its own; the 8-bit convolution has one for what it reads and one for
        # what it makes. The weights take up the difference; those of channels that only fill up are zero.
        scales = {name: self.found[name].limit() / LARGEST for name in sources}
        coarsest = max(scales.values())
        if len(sources) > 1:
            coarser = [scales[name] / coarsest for name in sources]
            channels = [self.found[name].channels for name in sources]
            weights = weights * np.repeat(coarser, channels)[None, :, None, None]
        narrowest, missing = self._filling(conv, sources)
        end = sum(self.found[name].channels for name in sources[: narrowest + 1])
        weights = np.insert(weights, [end] * missing, 0, axis=1)
        made = {name: self.found[name].limit(_saturated(graph, name)) / LARGEST for name in gates}
        coarsest_made = max(made.values())
        finer = np.repeat([made[name] / coarsest_made for name in gates], sizes)
        weights, bias = weights / finer[:, None, None, None], bias / finer

        constants = self._constants(weights, bias, coarsest)
        integers = self._integers(conv, sources, scales)
        read = graph.before(conv, "DequantizeLinear", [integers, self._scale(coarsest), self.zero])
        attributes = {item.name: helper.get_attribute_value(item) for item in conv.attribute}
        inputs = [read, *(self._dequantised(conv, *each) for each in constants)]
        answer = graph.before(conv, "Conv", inputs, **attributes)
        answer = graph.before(conv, "QuantizeLinear", [answer, self._scale(coarsest_made), self.zero])
        parts = [answer]
        if split:
            parts = [f"{name}_int8" for name in gates]
            node = helper.make_node("Split", [answer, split.input[1]], parts, axis=1)
            graph.nodes.insert(next(at for at, other in enumerate(graph.nodes) if other is conv), node)
            graph.remove(split)
        for name, part in zip(gates, parts, strict=True):
            graph.before(conv, "DequantizeLinear", [part, self._scale(made[name]), self.zero], name)
        graph.remove(conv)

    def _integers(self, conv: NodeProto, sources: Sequence[str], scales: Mapping[str, float]) -> str:
        """The 8-bit numbers that a convolution reads."""
        for name in sources:
            if ((name,), 0) not in self.read:
                scale = self._scale(scales[name])
                self.read[(name,), 0] = self.graph.before(conv, "QuantizeLinear", [name, scale, self.zero])
        narrowest, missing = self._filling(conv, sources)
        every = (tuple(sources), missing)
        if every not in self.read:
            parts = [self.read[(name,), 0] for name in sources]
            if missing:
                sides = self.graph.constant(np.array([0, 0, 0, 0, 0, missing, 0, 0]))
                parts[narrowest] = self.graph.before(conv, "Pad", [parts[narrowest], sides, self.zero])
            several = len(parts) > 1
            self.read[every] = self.graph.before(conv, "Concat", parts, axis=1) if several else parts[0]
        return self.read[every]

    def _filling(self, conv: NodeProto, sources: Sequence[str]) -> tuple[int, int]:
        """Which source gets more channels, and how many: the narrowest, up to whole fours of all."""
        widths = [self.found[name].channels for name in sources]
        return widths.index(min(widths)), -sum(widths) % CHANNELS_AT_ONCE if _is_dense(conv) else 0

    def _constants(
        self, weights: FloatArray, bias: FloatArray, read: float
    ) -> list[tuple[NDArray[np.generic], FloatArray]]:
        """Weights and bias as integers, each with its scale per output channel."""
        scales = np.maximum(np.abs(weights).max(axis=(1, 2, 3)) / LARGEST, 1e-12).astype(np.float32)
        rounded = np.round(weights / scales[:, None, None, None]).clip(-LARGEST, LARGEST).astype(np.int8)
        of_bias = scales * np.float32(read)
        largest = np.iinfo(np.int32).max
        return [(rounded, scales), (np.round(bias / of_bias).clip(-largest, largest).astype(np.int32), of_bias)]

    def _dequantised(self, conv: NodeProto, integers: NDArray[np.generic], scales: FloatArray) -> str:
        zeros = self.graph.constant(np.zeros(len(scales), integers.dtype))
        inputs = [self.graph.constant(integers), self.graph.constant(scales), zeros]
        return self.graph.before(conv, "DequantizeLinear", inputs, axis=0)

    def _scale(self, value: float) -> str:
        return self.graph.constant(np.array(value, np.float32))
