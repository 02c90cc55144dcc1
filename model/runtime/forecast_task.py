"""A request as a graph computes it: one task over the domain, and one for each tile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.core.units import FloatArray
from model.runtime.graph_session import ForecastInput
from model.runtime.request import ForecastRequest, LeadFields
from model.runtime.spill_file import SpillFile
from model.runtime.tiles import Blend, Tile


def all_planes(step: int, planes: FloatArray) -> FloatArray:
    """Return the planes as they are."""
    return planes


@dataclass(frozen=True, kw_only=True, eq=False)
class ForecastTask:
    """A request as a graph computes it.

    Attributes
    ----------
    request : ForecastRequest
        The request.
    inputs : ForecastInput
        What the graph reads, over the whole domain.
    to_fields : callable
        Turns the planes [plane, y, x] of lead step 1, 2, ... into what the forecast holds, NaN where there is no data.
        It is called once for each step, in order.
    reduce : callable
        Turns what the graph returns for a tile at a lead step, [plane, y, x], into the planes that `to_fields` takes,
        all in 0 to 1: fewer planes are blended, or wait on disk.
    planes : int
        How many planes `to_fields` takes.
    wet : ndarray of bool, optional
        Where rain can be within the forecast [y, x]; None: anywhere.
    """

    request: ForecastRequest
    inputs: ForecastInput
    to_fields: Callable[[FloatArray], LeadFields]
    reduce: Callable[[int, FloatArray], FloatArray] = all_planes
    planes: int = 1
    wet: NDArray[np.bool_] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the padded domain."""
        ny, nx = self.inputs.data.shape[-2:]
        return ny, nx


@dataclass(eq=False)
class TiledForecast:
    """A forecast in tiles, and how far it is.

    Attributes
    ----------
    steps_done : int
        The last lead step that was reported.
    spill : SpillFile, optional
        Where the frames of its tiles wait, if they do not lie in one wave.
    closed : bool
        Whether it failed, or starts again in smaller tiles.
    """

    task: ForecastTask
    tiles: Sequence[Tile]
    blend: Blend
    steps_done: int = 0
    spill: SpillFile | None = None
    closed: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be computed."""
        return self.closed or self.task.request.cancellation.cancelled


@dataclass(frozen=True, eq=False)
class TileTask:
    """One tile of one forecast."""

    forecast: TiledForecast
    tile: Tile

    @property
    def name(self) -> str:
        """The tile's name, unique within its forecast."""
        height, width = self.tile.shape
        return f"{self.tile.rows.start}-{self.tile.columns.start}-{height}x{width}"

    @property
    def inputs(self) -> ForecastInput:
        """The part of the graph's inputs that lies within the tile."""
        return self.forecast.task.inputs.cut(self.tile.rows, self.tile.columns)

    @property
    def steps(self) -> int:
        """Number of lead steps."""
        return self.forecast.task.request.steps
