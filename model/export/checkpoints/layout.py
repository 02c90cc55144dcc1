"""Rules that map the tensors of a published checkpoint (the source) to those of a network here (the target).

A table maps each target module to a rule, which lists the source convolutions that the module consists of. Gates have
the names of the papers (i f g o of C, i' f' g' of M), in the order of the rows of a weight:
`gates("g i f", conv("conv_h", "i f g"))`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count

import torch
from torch import Tensor

from model.core.errors import InputError
from model.nets.simvp import SimVPConfig
from model.nets.stack import StackConfig


@dataclass(frozen=True, kw_only=True)
class ConvWeights:
    """A convolution [out, in, k, k] with bias [out], and the scale and shift of a layer norm that follows it."""

    weight: Tensor
    bias: Tensor | None = None
    scale: Tensor | None = None
    shift: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> ConvWeights:
        """Apply a function to each tensor, whose first axis is the output channels."""
        return ConvWeights(
            weight=change(self.weight),
            bias=None if self.bias is None else change(self.bias),
            scale=None if self.scale is None else change(self.scale),
            shift=None if self.shift is None else change(self.shift),
        )

    def permute_inputs(self, order: Sequence[int]) -> ConvWeights:
        """Return the convolution with the input channels in another order."""
        return replace(self, weight=self.weight[:, list(order)])

    def permute_outputs(self, order: Sequence[int]) -> ConvWeights:
        """Return the convolution with the output channels in another order."""
        return self.map(lambda rows: rows[list(order)])


Transform = Callable[[ConvWeights], ConvWeights]


class SourceState:
    """The source state dict, with a record of the keys that were used, missing, or ignored on purpose.

    Attributes
    ----------
    used : set of str
        Keys that a rule has read.
    missing : list of str
        Keys that a rule needs and the state dict lacks.
    unsized : list of str
        Keys whose shape was needed to configure the network, and which are missing or have too few axes.
    ignored : list of str
        Keys and gates that the published code never uses.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = tensors
        self.used: set[str] = set()
        self.missing: list[str] = []
        self.unsized: list[str] = []
        self.ignored: list[str] = []

    def take(self, key: str) -> Tensor | None:
        """Return a tensor and record it as used; record it as missing where there is none."""
        self.used.add(key)
        if key not in self.tensors:
            self.missing.append(key)
        return self.tensors.get(key)

    def size(self, key: str, axis: int) -> int:
        """Return the length of an axis; 0, recorded as unsized, where there is no such tensor or axis."""
        tensor = self.tensors.get(key)
        if tensor is None or tensor.ndim <= axis:
            self.unsized.append(key)
            return 0
        return tensor.shape[axis]

    def count(self, pattern: str) -> int:
        """Return how many of 0, 1, 2, ... occur in keys in the place of the {} of the pattern."""
        prefixes = (re.compile(re.escape(pattern).replace(r"\{\}", str(index)) + r"\.") for index in count())
        for index, prefix in enumerate(prefixes):
            if not any(prefix.match(key) for key in self.tensors):
                return index
        raise AssertionError("unreachable")  # pragma: no cover

    def has(self, key: str) -> bool:
        """Return whether there is such a tensor."""
        return key in self.tensors

    def conv(self, key: str) -> ConvWeights | None:
        """Return the convolution `key`, or `key.0` of a sequence, with the layer norm `key.1`; None if missing.

        Raises
        ------
        InputError
            The weight has other than four dimensions.
        """
        first = f"{key}.0" if self.has(f"{key}.0.weight") else key
        weight = self.take(f"{first}.weight")
        if weight is None:
            return None
        if weight.ndim != 4:
            raise InputError(f"{first}.weight has shape {tuple(weight.shape)}, a convolution's has four dimensions")

        def optional(name: str) -> Tensor | None:
            return self.take(name) if self.has(name) else None

        return ConvWeights(
            weight=weight,
            bias=optional(f"{first}.bias"),
            scale=optional(f"{key}.1.weight"),
            shift=optional(f"{key}.1.bias"),
        )


@dataclass(frozen=True, kw_only=True)
class SourceConv:
    """A source convolution.

    Attributes
    ----------
    key
        Prefix of the keys.
    gates
        Gates in the order of the rows.
    part
        Part of concatenated inputs, as "H of x H C"; all inputs by default.
    """

    key: str
    gates: str
    part: str = ""

    def read(self, source: SourceState, prefix: str) -> ConvWeights | None:
        """Return the weights; the bias goes with the first part of concatenated inputs, so that it counts once."""
        weights = source.conv(prefix + self.key)
        if weights is None or not self.part:
            return weights
        name, _, *parts = self.part.split()
        index = parts.index(name)
        weight = weights.weight.tensor_split(len(parts), dim=1)[index]
        bias = weights.bias if index == 0 or weights.bias is None else 0 * weights.bias
        return replace(weights, weight=weight, bias=bias)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The source of one target module; `keys` are the source modules or parameters."""

    keys: tuple[str, ...]

    def read(self, source: SourceState, prefix: str, transform: Transform | None) -> Mapping[str, Tensor] | None:
        """Read the tensors of the target module.

        Parameters
        ----------
        source
            The state dict.
        prefix
            Prefix of the source keys.
        transform
            Last change to a convolution.

        Returns
        -------
        dict of Tensor, or None
            Tensors by the ends of their target names; None where a source tensor is missing.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class GateRule(Rule):
    """A target convolution whose rows are gates of one or several source convolutions."""

    gates: tuple[str, ...]
    convs: tuple[SourceConv, ...]
    transform: Transform | None = None

    def read(self, source: SourceState, prefix: str, transform: Transform | None) -> Mapping[str, Tensor] | None:
        """See Rule.read."""
        by_gate: dict[str, ConvWeights] = {}
        for conv in self.convs:
            weights, gates = conv.read(source, prefix), conv.gates.split()
            if weights is None:
                return None
            if weights.weight.shape[0] % len(gates):
                rows = weights.weight.shape[0]
                raise InputError(f"{prefix}{conv.key} has {rows} rows, which cannot be split into {len(gates)} gates")
            for index, gate in enumerate(gates):
                by_gate[gate] = weights.map(partial(_chunk, index=index, chunks=len(gates)))
                if gate not in self.gates:
                    source.ignored.append(f"{prefix}{conv.key}, gate {gate}")
        return _tensors(_concatenate([by_gate[gate] for gate in self.gates]), self.transform, transform)


@dataclass(frozen=True, kw_only=True)
class ConcatenationRule(Rule):
    """A target convolution over concatenated inputs, for source convolutions of each input whose outputs are added."""

    def read(self, source: SourceState, prefix: str, transform: Transform | None) -> Mapping[str, Tensor] | None:
        """See Rule.read; biases are added."""
        convs = [conv for key in self.keys if (conv := source.conv(prefix + key)) is not None]
        if len(convs) < len(self.keys):
            return None
        biases = [conv.bias for conv in convs if conv.bias is not None]
        weight = torch.cat([conv.weight for conv in convs], dim=1)
        return _tensors(ConvWeights(weight=weight, bias=torch.stack(biases).sum(0) if biases else None), transform)


@dataclass(frozen=True, kw_only=True)
class ParameterRule(Rule):
    """A target parameter: source parameters concatenated along channels; [c] becomes [c, 1, 1]."""

    def read(self, source: SourceState, prefix: str, transform: Transform | None) -> Mapping[str, Tensor] | None:
        """See Rule.read."""
        tensors = [tensor for key in self.keys if (tensor := source.take(prefix + key)) is not None]
        if len(tensors) < len(self.keys):
            return None
        joined = torch.cat(tensors)
        return {"": joined[:, None, None] if joined.ndim == 1 else joined}


@dataclass(frozen=True, kw_only=True)
class CopyRule(Rule):
    """A target module with the tensors and names of a source module."""

    def read(self, source: SourceState, prefix: str, transform: Transform | None) -> Mapping[str, Tensor] | None:
        """See Rule.read."""
        module = prefix + self.keys[0]
        if source.take(f"{module}.weight") is None:
            return None
        keys = [key for key in source.tensors if key.startswith(f"{module}.")]
        source.used.update(keys)
        return {key.removeprefix(module): source.tensors[key] for key in keys}


Table = Mapping[str, Rule]


def conv(key: str, gates: str, part: str = "") -> SourceConv:
    """Return the source convolution `key`; see SourceConv."""
    return SourceConv(key=key, gates=gates, part=part)


def gates(names: str, *convs: SourceConv) -> GateRule:
    """Return the rule of a target convolution with these gates, in this order, out of source convolutions."""
    return GateRule(keys=tuple(conv.key for conv in convs), gates=tuple(names.split()), convs=convs)


def same_gates(key: str, transform: Transform | None = None) -> GateRule:
    """Return the rule of a target convolution with the gates of the source convolution, in the same order."""
    return replace(gates("all", conv(key, "all")), transform=transform)


def copied(key: str) -> CopyRule:
    """Return the rule of a target module that equals a source module."""
    return CopyRule(keys=(key,))


def concatenated(*keys: str) -> ConcatenationRule:
    """Return the rule of a target convolution over the concatenated inputs of source convolutions."""
    return ConcatenationRule(keys=keys)


def _chunk(rows: Tensor, index: int, chunks: int) -> Tensor:
    return rows.chunk(chunks)[index]


def _concatenate(parts: Sequence[ConvWeights]) -> ConvWeights:
    def joined(rows: Iterable[Tensor | None]) -> Tensor | None:
        tensors = [tensor for tensor in rows if tensor is not None]
        return torch.cat(tensors) if tensors else None

    return ConvWeights(
        weight=torch.cat([part.weight for part in parts]),
        bias=joined(part.bias for part in parts),
        scale=joined(part.scale for part in parts),
        shift=joined(part.shift for part in parts),
    )


def _tensors(weights: ConvWeights, *transforms: Transform | None) -> Mapping[str, Tensor]:
    """Return the tensors of a target module: a convolution, or a sequence of a convolution and a layer norm."""
    for transform in transforms:
        weights = weights if transform is None else transform(weights)
    first = ".0" if weights.scale is not None else ""
    tensors = {
        f"{first}.weight": weights.weight,
        f"{first}.bias": weights.bias,
        ".1.weight": weights.scale,
        ".1.bias": weights.shift,
    }
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


@dataclass(frozen=True, kw_only=True)
class ConversionPlan:
    """The network of a state dict, and the tables that fill it.

    Attributes
    ----------
    network
        Name in `model.nets.networks`.
    net, channels, fields
        The network, channels of a frame, and planes of conditioning fields.
    tables
        (target prefix, source prefix, table).
    unused
        Patterns of keys that the published code never uses, or not in these layers.
    transforms
        Last change to a target module, for instance of the order of channels.
    faults
        Departures of the published code from the paper; with any, `StackConfig.as_published` applies.
    remarks
        Assumptions that no tensor confirms, and departures of this network from the published code in either form.
        Faults and remarks are clauses without a full stop.
    """

    network: str
    net: StackConfig | SimVPConfig
    channels: int
    tables: Sequence[tuple[str, str, Table]]
    fields: int = 0
    unused: Sequence[str] = ()
    transforms: Mapping[str, Transform] = field(default_factory=dict)
    faults: Sequence[str] = ()
    remarks: Sequence[str] = ()


def patch_shape(planes: int, channels: int | None, where: str) -> tuple[int, int]:
    """Return (channels of a frame, side of a patch) of a number of planes, with as few channels as fit by default.

    Raises
    ------
    InputError
        The planes do not make square patches of that many channels.
    """
    if not planes:
        return 1, 1  # the tensor is missing, which the rule will report
    for candidate in [channels] if channels else range(1, planes + 1):
        side = round((planes // candidate) ** 0.5)
        if candidate * side**2 == planes:
            return candidate, side
    raise InputError(f"{planes} planes cannot be square patches of {channels or 1} channels", where=where)


def patch_order(channels: int, patch: int, *readers: str) -> dict[str, Transform]:
    """Return the transforms of the output and of the modules that read patches of frames.

    Planes of a patch are ordered (channel, row, column) here and (row, column, channel) in the published codes.
    """
    order = [place * channels + channel for channel in range(channels) for place in range(patch**2)]
    return {
        "embedding.output": lambda weights: weights.permute_outputs(order),
        **{reader: lambda weights: weights.permute_inputs(order) for reader in readers},
    }
