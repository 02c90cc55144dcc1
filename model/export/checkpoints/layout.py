"""How a table says which of their tensors become which of ours, and the machinery that follows it.

A table's key is a module of ours; its value says which of their convolutions it is made of. Gates are named as in the
papers (i f g o of C, i' f' g' of M), in the order of a weight's rows: `gates("g i f", conv("conv_h", "i f g"))`.
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
class Weights:
    """A convolution [out, in, k, k] with its bias [out], and the scale and shift of the layer norm after it, if any."""

    weight: Tensor
    bias: Tensor | None = None
    scale: Tensor | None = None
    shift: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> Weights:
        """The same change along the first axis of all of them."""
        return Weights(
            weight=change(self.weight),
            bias=None if self.bias is None else change(self.bias),
            scale=None if self.scale is None else change(self.scale),
            shift=None if self.shift is None else change(self.shift),
        )

    def inputs(self, order: Sequence[int]) -> Weights:
        """With its input channels in another order."""
        return replace(self, weight=self.weight[:, list(order)])

    def outputs(self, order: Sequence[int]) -> Weights:
        """With its output channels in another order."""
        return self.map(lambda rows: rows[list(order)])


Change = Callable[[Weights], Weights]


class Theirs:
    """A state dict of theirs: what was read of it, what was missing, what was left out on purpose."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = tensors
        self.used: set[str] = set()
        self.missing: list[str] = []
        self.unsized: list[str] = []
        self.dropped: list[str] = []

    def take(self, key: str) -> Tensor | None:
        """The tensor, which will be noted as missing where it is not there."""
        self.used.add(key)
        if key not in self.tensors:
            self.missing.append(key)
        return self.tensors.get(key)

    def size(self, key: str, axis: int) -> int:
        """A side of the tensor; 0 where there is none, which its row will note."""
        tensor = self.tensors.get(key)
        if tensor is None or tensor.ndim <= axis:
            self.unsized.append(key)
            return 0
        return tensor.shape[axis]

    def count(self, pattern: str) -> int:
        """How many of 0, 1, 2, ... stand in keys where `pattern` has its {}."""
        begun = (re.compile(re.escape(pattern).replace(r"\{\}", str(index)) + r"\.") for index in count())
        for index, begins in enumerate(begun):
            if not any(begins.match(key) for key in self.tensors):
                return index
        raise AssertionError("unreachable")  # pragma: no cover

    def has(self, key: str) -> bool:
        """Whether there is such a tensor."""
        return key in self.tensors

    def conv(self, key: str) -> Weights | None:
        """A convolution: `key.weight`, or `key.0.weight` where it stands in a sequence, maybe before a layer norm."""
        first = f"{key}.0" if self.has(f"{key}.0.weight") else key
        weight = self.take(f"{first}.weight")
        if weight is None:
            return None
        if weight.ndim != 4:
            raise InputError(f"{first}.weight has shape {tuple(weight.shape)}, a convolution's has four dimensions")

        def optional(name: str) -> Tensor | None:
            return self.take(name) if self.has(name) else None

        return Weights(
            weight=weight,
            bias=optional(f"{first}.bias"),
            scale=optional(f"{key}.1.weight"),
            shift=optional(f"{key}.1.bias"),
        )


@dataclass(frozen=True, kw_only=True)
class Conv:
    """One of their convolutions; `gates`: of its rows, in order. `reads`: which part of joined inputs, "H of x H C"."""

    key: str
    gates: str
    reads: str = ""

    def read(self, theirs: Theirs, prefix: str) -> Weights | None:
        """Its weights; the bias goes with the first of joined inputs, so that it counts once."""
        found = theirs.conv(prefix + self.key)
        if found is None or not self.reads:
            return found
        wanted, _, *joined = self.reads.split()
        index = joined.index(wanted)
        weight = found.weight.tensor_split(len(joined), dim=1)[index]
        return replace(found, weight=weight, bias=found.bias if index == 0 or found.bias is None else 0 * found.bias)


class Row:
    """A line of a table."""

    @property
    def named(self) -> str:
        """Their keys, for a message."""
        raise NotImplementedError

    def read(self, theirs: Theirs, prefix: str, change: Change | None) -> Mapping[str, Tensor] | None:
        """Our tensors, by the end of their names, after a last `change`; None where one of theirs is missing."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Gates(Row):
    """A convolution of ours, whose rows are gates of one or more of theirs."""

    ours: tuple[str, ...]
    convs: tuple[Conv, ...]
    change: Change | None = None

    @property
    def named(self) -> str:
        """See Row.named."""
        return " and ".join(conv.key for conv in self.convs)

    def read(self, theirs: Theirs, prefix: str, change: Change | None) -> Mapping[str, Tensor] | None:
        """See Row.read."""
        named: dict[str, Weights] = {}
        for conv in self.convs:
            found, gates = conv.read(theirs, prefix), conv.gates.split()
            if found is None:
                return None
            if found.weight.shape[0] % len(gates):
                raise InputError(
                    f"{prefix}{conv.key} has {found.weight.shape[0]} rows, which are no {len(gates)} gates"
                )
            for index, gate in enumerate(gates):
                named[gate] = found.map(partial(_block, index=index, blocks=len(gates)))
                if gate not in self.ours:
                    theirs.dropped.append(f"{prefix}{conv.key}, gate {gate}")
        return _named(_stacked([named[gate] for gate in self.ours]), self.change, change)


@dataclass(frozen=True, kw_only=True)
class Beside(Row):
    """A convolution of ours over joined inputs, where they have one for each and add up: biases are added."""

    keys: tuple[str, ...]

    @property
    def named(self) -> str:
        """See Row.named."""
        return " and ".join(self.keys)

    def read(self, theirs: Theirs, prefix: str, change: Change | None) -> Mapping[str, Tensor] | None:
        """See Row.read."""
        found = [conv for key in self.keys if (conv := theirs.conv(prefix + key)) is not None]
        if len(found) < len(self.keys):
            return None
        biases = [conv.bias for conv in found if conv.bias is not None]
        weight = torch.cat([conv.weight for conv in found], dim=1)
        return _named(Weights(weight=weight, bias=torch.stack(biases).sum(0) if biases else None), change)


@dataclass(frozen=True, kw_only=True)
class Stacked(Row):
    """A bare parameter of ours: theirs below one another."""

    keys: tuple[str, ...]

    @property
    def named(self) -> str:
        """See Row.named."""
        return " and ".join(self.keys)

    def read(self, theirs: Theirs, prefix: str, change: Change | None) -> Mapping[str, Tensor] | None:
        """See Row.read."""
        found = [tensor for key in self.keys if (tensor := theirs.take(prefix + key)) is not None]
        return {"": torch.cat(found)} if len(found) == len(self.keys) else None


@dataclass(frozen=True, kw_only=True)
class PerChannel(Row):
    """A bare parameter [c] of theirs, [c, 1, 1] here."""

    key: str

    @property
    def named(self) -> str:
        """See Row.named."""
        return self.key

    def read(self, theirs: Theirs, prefix: str, change: Change | None) -> Mapping[str, Tensor] | None:
        """See Row.read."""
        found = theirs.take(prefix + self.key)
        return None if found is None else {"": found.reshape(-1, 1, 1)}


@dataclass(frozen=True, kw_only=True)
class Same(Row):
    """A module that is theirs as it is: all tensors below `key`."""

    key: str

    @property
    def named(self) -> str:
        """See Row.named."""
        return self.key

    def read(self, theirs: Theirs, prefix: str, change: Change | None) -> Mapping[str, Tensor] | None:
        """See Row.read."""
        if theirs.take(f"{prefix}{self.key}.weight") is None:
            return None
        names = [name for name in theirs.tensors if name.startswith(f"{prefix}{self.key}.")]
        theirs.used.update(names)
        return {name.removeprefix(prefix + self.key): theirs.tensors[name] for name in names}


Table = Mapping[str, Row]


def conv(key: str, gates: str, reads: str = "") -> Conv:
    """Their convolution `key`, whose rows are `gates` in this order; see Conv."""
    return Conv(key=key, gates=gates, reads=reads)


def gates(ours: str, *convs: Conv) -> Gates:
    """Ours, whose rows are the gates `ours` in this order, found in `convs`."""
    return Gates(ours=tuple(ours.split()), convs=convs)


def one(key: str, change: Change | None = None) -> Gates:
    """Their convolution `key`, its rows in the same order as ours, but for the `change`."""
    return Gates(ours=("all",), convs=(conv(key, "all"),), change=change)


def beside(*keys: str) -> Beside:
    """Their convolutions, whose answers they add, over joined inputs."""
    return Beside(keys=keys)


def _block(rows: Tensor, index: int, blocks: int) -> Tensor:
    return rows.chunk(blocks)[index]


def _stacked(parts: Sequence[Weights]) -> Weights:
    def joined(rows: Iterable[Tensor | None]) -> Tensor | None:
        known = [tensor for tensor in rows if tensor is not None]
        return torch.cat(known) if known else None

    return Weights(
        weight=torch.cat([part.weight for part in parts]),
        bias=joined(part.bias for part in parts),
        scale=joined(part.scale for part in parts),
        shift=joined(part.shift for part in parts),
    )


def _named(weights: Weights, *changes: Change | None) -> Mapping[str, Tensor]:
    """As the tensors of our module: of a convolution, or of one in a sequence with its layer norm."""
    for change in changes:
        weights = weights if change is None else change(weights)
    first = ".0" if weights.scale is not None else ""
    tensors = {
        f"{first}.weight": weights.weight,
        f"{first}.bias": weights.bias,
        ".1.weight": weights.scale,
        ".1.bias": weights.shift,
    }
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a family makes of a state dict: the network, and which table to read where.

    `tables`: (our prefix, their prefix, table). `unused`: patterns of keys that their own code never uses, or not in
    this layer. `changes`: by the name of our module, a last change to it (of channel order). `faults`: where their code
    departs from the paper, and `StackConfig.as_published` with it. `remarks`: what no tensor tells, and where this
    network departs from their code in either form. Both are clauses without a full stop.
    """

    network: str
    net: StackConfig | SimVPConfig
    channels: int
    tables: Sequence[tuple[str, str, Table]]
    fields: int = 0
    unused: Sequence[str] = ()
    changes: Mapping[str, Change] = field(default_factory=dict)
    faults: Sequence[str] = ()
    remarks: Sequence[str] = ()


def patches(planes: int, channels: int | None, where: str) -> tuple[int, int]:
    """(image channels, side of a patch) of so many planes: one channel where that fits, else as few as fit.

    Raises
    ------
    InputError
        So many planes are no squares of so many channels.
    """
    if not planes:
        return 1, 1  # the tensor is missing, as its row will say
    for held in [channels] if channels else range(1, planes + 1):
        side = round((planes // held) ** 0.5)
        if held * side**2 == planes:
            return held, side
    raise InputError(f"{planes} planes are no square patches of {channels or 1} channels", where=where)


def from_patches(channels: int, patch: int) -> list[int]:
    """Our planes are ordered (channel, row, column), theirs (row, column, channel): ours[i] = theirs[order[i]]."""
    return [place * channels + channel for channel in range(channels) for place in range(patch**2)]
