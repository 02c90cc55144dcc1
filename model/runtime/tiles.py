"""Large domains as overlapping tiles of one size, so that memory is bounded by the tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.core.units import FloatArray

TILE_SIDE = 1024
OVERLAP = 128
"""Pixels that neighbours share at least: they blend there, and what one lacks beyond its edge stays in its ramp."""


@dataclass(frozen=True, eq=False)
class Tile:
    """Where a tile lies in the padded domain, and its weight [y, x] in the blend (all weights add up to 1)."""

    rows: slice
    columns: slice
    weight: FloatArray


def tiles_of(shape: tuple[int, int], stride: int, *, side: int = TILE_SIDE, overlap: int = OVERLAP) -> list[Tile]:
    """Tiles that cover `shape` (both sides multiples of `stride`): one where it fits, else several of one size."""
    rows = _spans(shape[0], stride, side, overlap)
    columns = _spans(shape[1], stride, side, overlap)
    row_weights, column_weights = _weights(shape[0], rows), _weights(shape[1], columns)
    return [
        Tile(rows=row, columns=column, weight=np.outer(row_weight, column_weight).astype(np.float32))
        for row, row_weight in zip(rows, row_weights, strict=True)
        for column, column_weight in zip(columns, column_weights, strict=True)
    ]


def _spans(length: int, stride: int, side: int, overlap: int) -> list[slice]:
    """Even spans of one length along one axis; they begin at multiples of `stride`."""
    if length <= side:
        return [slice(0, length)]
    count = -(-(length - overlap) // (side - overlap))
    span = -(-(length + (count - 1) * overlap) // count)
    span += -span % stride
    starts = [round(index * (length - span) / (count - 1) / stride) * stride for index in range(count)]
    return [slice(start, start + span) for start in starts]


def _weights(length: int, spans: Sequence[slice]) -> list[FloatArray]:
    """Weight along one axis: a linear ramp across each overlap, normalised to a sum of 1 at every pixel."""
    raw = []
    for index, span in enumerate(spans):
        weight = np.ones(span.stop - span.start, np.float32)
        if index > 0:
            shared = spans[index - 1].stop - span.start
            weight[:shared] *= (np.arange(shared, dtype=np.float32) + 0.5) / shared
        if index + 1 < len(spans):
            shared = span.stop - spans[index + 1].start
            weight[-shared:] *= (np.arange(shared, dtype=np.float32)[::-1] + 0.5) / shared
        raw.append(weight)
    total = np.zeros(length, np.float32)
    for span, weight in zip(spans, raw, strict=True):
        total[span] += weight
    return [np.asarray(weight / total[span], np.float32) for span, weight in zip(spans, raw, strict=True)]
