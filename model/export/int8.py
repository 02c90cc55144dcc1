"""Choose which convolutions of a graph compute in 8 bits: all except those that change the forecast most."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import onnx_ir as ir

from model.core.units import FloatArray
from model.export.calibrate import CalibrationSample, Magnitudes, forecasts_of, magnitudes
from model.export.passes import nodes
from model.export.passes.quantize import QuantizeConvolutions, gates_of, layer_name, quantizable, sources_of

CHANGE_LIMIT: Final = 0.03
FLOAT_SHARE: Final = 0.5
"""Highest share of the multiply-adds that may return to float32; the gates of the variant then decide."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What a calibration found: the magnitudes of the tensors, and the convolutions of each precision, by name.

    `change`: root mean square difference between the int8 and the float32 forecasts of the samples, as a share of the
    root mean square of the float32 forecasts.
    """

    ranges: Mapping[str, Magnitudes] = field(compare=False, repr=False)
    quantized: tuple[str, ...]
    sensitive: tuple[str, ...]
    change: float


def calibrate(model: ir.Model, samples: Sequence[CalibrationSample], change_limit: float = CHANGE_LIMIT) -> Calibration:
    """Forecast the samples, and choose the convolutions to quantize.

    Parameters
    ----------
    model
        A float32 graph with merged convolutions.
    samples
        Forecasts that represent what the int8 graph will see.
    change_limit
        Highest `Calibration.change` without sensitive convolutions.
    """
    convs = quantizable(model.graph)
    watched = dict.fromkeys(value.name or "" for conv in convs for value in (*sources_of(conv), *gates_of(conv)))
    ranges = magnitudes(model, samples, list(watched))
    macs = {layer_name(conv): _multiply_adds(conv, ranges) for conv in convs}
    exact = forecasts_of(model, samples)

    def change_of(layers: Collection[str]) -> float:
        quantized = QuantizeConvolutions(ranges, layers)(model.clone()).model
        return _relative_difference(exact, forecasts_of(quantized, samples))

    sensitive, change = _sensitive_layers(macs, change_of, change_limit)
    quantized = tuple(name for name in macs if name not in sensitive)
    return Calibration(ranges=ranges, quantized=quantized, sensitive=tuple(sensitive), change=change)


def _multiply_adds(conv: ir.Node, ranges: Mapping[str, Magnitudes]) -> float:
    """Return the multiply-adds of a convolution in one step over the largest sample."""
    weights = nodes.known_array(conv.inputs[1])
    values = sum(ranges[gate.name or ""].values_per_step for gate in gates_of(conv))
    return float(values * weights.size / weights.shape[0])


def _sensitive_layers(
    macs: Mapping[str, float], change_of: Callable[[Collection[str]], float], limit: float
) -> tuple[list[str], float]:
    """Return the convolutions that must stay float32 for a change within the limit, and the change.

    Ordered by the squared change that each causes alone in 8 bits, per multiply-add; an eighth of the remaining ones
    at a time, up to `FLOAT_SHARE` of the multiply-adds.
    """
    change = change_of(list(macs))
    if change <= limit:
        return [], change
    alone = {name: change_of([name]) for name in macs}
    order = sorted(macs, key=lambda name: (-(alone[name] ** 2) / macs[name], name))
    sensitive: list[str] = []
    while change > limit:
        more = order[: len(sensitive) + max(1, (len(order) - len(sensitive)) // 8)]
        if sum(macs[name] for name in more) > FLOAT_SHARE * sum(macs.values()):
            break
        sensitive = more
        change = change_of([name for name in macs if name not in sensitive])
    return sensitive, change


def _relative_difference(exact: Sequence[FloatArray], other: Sequence[FloatArray]) -> float:
    """Return the root mean square difference of forecasts as a share of the root mean square of the exact ones."""
    off = math.fsum(float(np.square(a - b, dtype=np.float64).sum()) for a, b in zip(exact, other, strict=True))
    return math.sqrt(off / max(math.fsum(float(np.square(a, dtype=np.float64).sum()) for a in exact), 1e-12))
