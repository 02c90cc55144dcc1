"""Reads a forecast file one frame or one pixel at a time, north up, in bounded memory.

The gateway draws frames and does not compute with them: it needs far less memory than xarray takes. The header is read
by netCDF4, which is not thread-safe, under a lock; frames and places (`service.render.place_reader`) by
`service.render.packed_variable`, side by side.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import h5py
import netCDF4
import numpy as np
from numpy.typing import NDArray

from model.core.accumulation import step_hours
from model.core.cf_coordinates import crs_from_cf
from model.core.colour_scale import ColourScale
from model.core.errors import InputError
from model.core.forecast_variables import PROBABILITY, RAIN_RATE, REALIZATION, THRESHOLD, field_variable
from model.core.grid import Grid
from model.core.probability_scale import PROBABILITY_SCALE
from model.core.rain_motion import EASTWARD, MOTION_X, MOTION_Y, NORTHWARD, RainMotion
from model.core.rain_scale import RAIN_SCALE, RAINFALL_SCALE
from model.core.units import FloatArray
from service.render.block_cache import BlockCache
from service.render.footprint import Bounds, footprint
from service.render.packed_variable import Packed, PackedVariable, opened_variable
from service.render.place_reader import PlaceReader
from service.render.shared_cache import SharedCache

MAX_SIDE: Final = 1200
"""Larger grids are drawn in blocks of several pixels."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_netcdf_lock: Final = threading.Lock()

RankCache = SharedCache[Hashable, NDArray[np.uint8]]
"""Parts and overviews of frames that were drawn on a map, as `service.render.frame_ranks` makes them."""


class CannotShow(InputError):
    """The grid or the times of a file cannot be drawn."""

    code = "cannot-show"


@dataclass(frozen=True)
class StoredFrame:
    """One frame [y, x] of a variable: its indices before y and x, and the scale in whose colours it is drawn."""

    variable: str
    first: tuple[int, ...]
    scale: ColourScale

    @property
    def least(self) -> float:
        """The lowest value that is drawn."""
        return float(self.scale.edges[0])


@dataclass(frozen=True)
class SummedFrame:
    """Rainfall over a period: a variable of rain rate, for how many hours each of its lead steps counts, the scale."""

    variable: str
    hours: tuple[float, ...]
    scale: ColourScale


@dataclass(frozen=True, eq=False)
class RainFile:
    """A CF-netCDF file of rain rate, with its header.

    Attributes
    ----------
    path : Path
        The file.
    times : tuple of datetime
        Valid times (UTC).
    lead_minutes : tuple of float
        Lead times; empty where the file contains observations.
    grid : Grid
        The grid of every frame.
    attributes : dict
        Global attributes.
    variable : str
        Name of the variable that holds the field.
    field : str
        Which field that is; empty in files that do not say so, and where the file contains observations.
    thresholds_mm_h : tuple of float
        Thresholds of the probabilities; empty without any.
    members : int
        Number of members; 0 without any.
    places : PlaceReader
        Reads its variables for places and areas.
    rank_cache : RankCache
        Where ranks of frames are kept that were drawn on a map.
    """

    path: Path
    times: tuple[datetime, ...]
    lead_minutes: tuple[float, ...]
    grid: Grid
    attributes: dict[str, str]
    variable: str
    field: str
    thresholds_mm_h: tuple[float, ...]
    members: int
    places: PlaceReader
    rank_cache: RankCache

    @property
    def probability_method(self) -> str | None:
        """Where the probabilities come from; None without any."""
        return self.attributes.get("probability_method") if self.thresholds_mm_h else None

    @classmethod
    def open(cls, path: Path, block_cache: BlockCache | None = None, rank_cache: RankCache | None = None) -> RainFile:
        """Read the header of `path`, and no frame; what is read later is kept in `block_cache` and `rank_cache`.

        Raises
        ------
        CannotShow
            The grid or the times cannot be drawn.
        """
        try:
            with _netcdf_lock:
                return cls._open(path, block_cache or BlockCache(0), rank_cache or RankCache(0))
        except (InputError, ArithmeticError, LookupError, ValueError) as error:
            raise CannotShow(
                f"the result's grid or times cannot be drawn ({error})",
                where="nowcast",
                hint="Fetch the netCDF file: result?format=netcdf",
            ) from error

    @classmethod
    def _open(cls, path: Path, block_cache: BlockCache, rank_cache: RankCache) -> RainFile:
        with netCDF4.Dataset(path) as file:
            name = field_variable({name: variable.dimensions for name, variable in file.variables.items()})
            field = file[name]
            mapping = field.grid_mapping
            crs = crs_from_cf({name: file[mapping].getncattr(name) for name in file[mapping].ncattrs()})
            periods = file["forecast_period"][:] / 60.0 if "forecast_period" in file.variables else np.empty(0)
            if np.ma.is_masked(periods) or not np.isfinite(periods).all():
                raise ValueError("a lead time is missing")
            grid = Grid(crs=crs, x=np.asarray(file["x"][:]), y=np.asarray(file["y"][:]))
            sides = {each: _sides(file[each]) for each in (name, RAIN_RATE, PROBABILITY) if each in file.variables}
            return cls(
                path=path,
                times=tuple(EPOCH + timedelta(seconds=int(seconds)) for seconds in np.atleast_1d(file["time"][:])),
                lead_minutes=tuple(float(minutes) for minutes in periods),
                grid=grid,
                attributes={name: str(file.getncattr(name)) for name in file.ncattrs()},
                variable=name,
                field=str(field.getncattr("field")) if "field" in field.ncattrs() else "",
                thresholds_mm_h=tuple(map(float, file[THRESHOLD][:])) if PROBABILITY in file.variables else (),
                members=len(file.dimensions[REALIZATION]) if REALIZATION in file.dimensions else 0,
                places=PlaceReader(path, grid.shape, sides, block_cache),
                rank_cache=rank_cache,
            )

    @property
    def reference_time(self) -> datetime:
        """Reference time of a forecast."""
        return self.times[0] - timedelta(minutes=self.lead_minutes[0])

    def __len__(self) -> int:
        return len(self.times)

    def block(self, max_side: int = MAX_SIDE) -> int:
        """Return the side (pixels) of the blocks that a picture of at most `max_side` pixels draws as one pixel."""
        return -(-max(self.grid.shape) // max_side)

    @cached_property
    def footprint(self) -> Bounds | None:
        """West, south, east, north around the grid, as `service.render.footprint` returns them."""
        return footprint(self.grid)

    def frame(self, number: int, max_side: int = MAX_SIDE) -> FloatArray:
        """Return the rain rate (mm h-1) [y, x] of frame `number`, north up, NaN = no data, at most `max_side` wide.

        A block has the highest rain rate of its pixels, so that no small heavy cell is lost. Where that rate is dry and
        one pixel has no data, the block has no data: it is dry only if all its pixels are known to be dry.
        """
        return self._north_up(self.rain_frame(number), max_side)

    def probability(self, number: int, threshold_mm_h: float, max_side: int = MAX_SIDE) -> FloatArray:
        """Return P(rain >= threshold) [y, x] (0 to 1) at lead step `number`, north up, NaN = no data.

        A block has the highest probability of its pixels. Where that is too low to be drawn and one pixel has no data,
        the block has no data.

        Raises
        ------
        LookupError
            The file has no probability at that threshold.
        """
        return self._north_up(self.probability_frame(number, threshold_mm_h), max_side)

    def rain_frame(self, number: int) -> StoredFrame:
        """Return where the rain rate of frame `number` is stored."""
        return StoredFrame(self.variable, (number,), RAIN_SCALE)

    def probability_frame(self, number: int, threshold_mm_h: float) -> StoredFrame:
        """Return where P(rain >= threshold) at lead step `number` is stored.

        Raises
        ------
        LookupError
            The file has no probability at that threshold.
        """
        index = self.thresholds_mm_h.index(threshold_mm_h) if threshold_mm_h in self.thresholds_mm_h else None
        if index is None:
            raise LookupError(f"{self.path.name} has no probability at {threshold_mm_h:g} mm/h")
        return StoredFrame(PROBABILITY, (index, number), PROBABILITY_SCALE)

    def rainfall(self, start_minutes: float, end_minutes: float) -> SummedFrame | None:
        """Return where the rainfall of a period is stored (minutes after the reference time).

        None where the forecast does not cover it.
        """
        hours = step_hours(self.lead_minutes, start_minutes, end_minutes)
        return None if hours is None else SummedFrame(self.variable, tuple(hours.tolist()), RAINFALL_SCALE)

    @cached_property
    def motion(self) -> RainMotion | None:
        """How the rain moves at the reference time; None where the file does not tell."""
        with h5py.File(self.path, "r") as file:
            if EASTWARD not in file:
                return None
            x, y, eastward, northward = (file[name][...] for name in (MOTION_X, MOTION_Y, EASTWARD, NORTHWARD))
        return RainMotion(x, y, eastward, northward)

    def blocks(self, frame: StoredFrame, rows: slice, columns: slice, block: int) -> FloatArray:
        """Return the values [y, x] of blocks of `block` x `block` pixels, rows as in the file, NaN = no data.

        `rows` and `columns` count blocks from the first row and column of the file. A block has the highest value of
        its pixels, or no data, as in `frame`.
        """
        ny, nx = self.grid.shape
        rows, columns = (
            slice(part.start * block, min(size, part.stop * block)) for part, size in ((rows, ny), (columns, nx))
        )
        with opened_variable(self.path, frame.variable) as variable:
            bands = [
                variable.unpacked(*_reduced(variable, band, block, frame.least))
                for band in variable.bands(frame.first, rows, columns, block)
            ]
        return np.concatenate(bands)

    def _north_up(self, frame: StoredFrame, max_side: int) -> FloatArray:
        """Return a whole frame, at most `max_side` wide."""
        block = self.block(max_side)
        ny, nx = (-(-size // block) for size in self.grid.shape)
        values = self.blocks(frame, slice(0, ny), slice(0, nx), block)
        return values if self.grid.north_up else values[::-1]

    def series(self, row: int, column: int) -> FloatArray:
        """Return the rain rate (mm h-1) [time] of one pixel (`row` as in the file), NaN = no data."""
        return self.places.series(self.variable, row, column)

    def probability_series(self, row: int, column: int) -> FloatArray:
        """Return P(rain >= threshold) [threshold, time] of one pixel, NaN = no data; [0, time] without any."""
        if not self.thresholds_mm_h:
            return np.empty((0, len(self)), np.float32)
        return self.places.series(PROBABILITY, row, column)

    def member_series(self, row: int, column: int) -> FloatArray:
        """Return the rain rate (mm h-1) [realization, time] of one pixel, NaN = no data; [0, time] without members."""
        if not self.members:
            return np.empty((0, len(self)), np.float32)
        return self.places.series(RAIN_RATE, row, column)

    @property
    def size(self) -> int:
        """Bytes of all blocks of the file in memory."""
        values = {self.variable: 2}
        if self.members:
            values[RAIN_RATE] = 2 * self.members
        if self.thresholds_mm_h:
            values[PROBABILITY] = len(self.thresholds_mm_h)
        return math.prod(self.grid.shape) * len(self) * sum(values.values())


def _sides(variable: Any) -> tuple[int, int]:  # noqa: ANN401 - a variable of netCDF4
    """Return rows and columns of the chunks of a variable [..., y, x]."""
    chunks = variable.chunking()
    if not isinstance(chunks, list):
        raise ValueError(f"{variable.name} is not stored in chunks")
    return chunks[-2], chunks[-1]


def pixel_of_fraction(grid: Grid, x: float, y: float) -> tuple[int, int]:
    """Return (row, column) of the pixel at a point of the picture: `x` from west, `y` from north, in [0, 1]."""
    ny, nx = grid.shape
    column, row = min(int(x * nx), nx - 1), min(int(y * ny), ny - 1)
    return (row if grid.north_up else ny - 1 - row), column


def _reduced(
    variable: PackedVariable, band: Packed, block: int, least: float
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the highest packed value of each block of a band [y, x], and whether the block counts as no data.

    Below `least` nothing is drawn. Blocks at the edge with fewer pixels are padded with dry ones, which change neither.
    """
    if block == 1:
        return band, band == variable.fill
    ny, nx = band.shape
    shape = (-(-ny // block), block, -(-nx // block), block)
    padded = np.zeros((shape[0] * block, shape[2] * block), band.dtype)
    padded[:ny, :nx] = band
    blocks = padded.reshape(shape)
    missing = blocks == variable.fill
    blocks[missing] = 0
    highest = blocks.max(axis=1).max(axis=2)
    return highest, missing.any(axis=1).any(axis=2) & (highest * variable.scale < least)
