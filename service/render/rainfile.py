"""Reads the rain of a forecast file one frame at a time, north up, in bounded memory.

The gateway shows frames, it does not compute with them: netCDF4 alone is enough, and far smaller than xarray.
netCDF4 and HDF5 are not thread safe, so every access holds one lock.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import netCDF4
import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from model.core.grid import Grid
from model.core.units import DRY_RAIN_RATE_MM_H, FloatArray

VARIABLE: Final = "rainfall_rate"
MAX_SIDE: Final = 1200
"""Larger grids are shown in blocks of several pixels."""
BAND_BYTES: Final = 8 * 1024 * 1024
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NETCDF: Final = threading.Lock()


@dataclass(frozen=True, eq=False)
class RainFile:
    """Where a CF-netCDF file of rain rate lies, and what its header says.

    `times` are the valid times; `lead_minutes` is empty where the file holds observations.
    """

    path: Path
    times: tuple[datetime, ...]
    lead_minutes: tuple[float, ...]
    grid: Grid
    attributes: dict[str, str]

    @classmethod
    def open(cls, path: Path) -> RainFile:
        """Read the header of `path`; no frame is read."""
        with _NETCDF, netCDF4.Dataset(path) as file:
            mapping = file[VARIABLE].grid_mapping
            crs = CRS.from_cf({name: file[mapping].getncattr(name) for name in file[mapping].ncattrs()})
            periods = file["forecast_period"][:] / 60.0 if "forecast_period" in file.variables else ()
            return cls(
                path=path,
                times=tuple(EPOCH + timedelta(seconds=int(seconds)) for seconds in np.atleast_1d(file["time"][:])),
                lead_minutes=tuple(float(minutes) for minutes in periods),
                grid=Grid(crs=crs, x=np.asarray(file["x"][:]), y=np.asarray(file["y"][:])),
                attributes={name: str(file.getncattr(name)) for name in file.ncattrs()},
            )

    def __len__(self) -> int:
        return len(self.times)

    @property
    def block(self) -> int:
        """Pixels along one side of a block that a picture shows as one pixel."""
        return -(-max(self.grid.shape) // MAX_SIDE)

    def frame(self, number: int) -> FloatArray:
        """Rain rate (mm h-1) [y, x] of frame `number`, north up, NaN = no data, at most MAX_SIDE a side.

        A block shows the highest rain rate among its pixels, so that no small heavy cell is lost; where that
        is dry and one of its pixels is without data, it is "no data": a block is dry only if all of it is
        known to be.
        """
        ny, nx = self.grid.shape
        block = self.block
        rows = max(1, BAND_BYTES // (4 * nx * block)) * block
        with _NETCDF, netCDF4.Dataset(self.path) as file:
            variable = file[VARIABLE]
            bands = [
                _reduced(_values(variable[number, top : min(top + rows, ny), :]), block) for top in range(0, ny, rows)
            ]
        frame = np.concatenate(bands)
        return frame if self.grid.north_up else frame[::-1]

    def series(self, row: int, column: int) -> FloatArray:
        """Rain rate (mm h-1) [time] of one pixel (`row` as the file counts), NaN = no data."""
        with _NETCDF, netCDF4.Dataset(self.path) as file:
            return _values(file[VARIABLE][:, row, column])


def pixel_of_lon_lat(grid: Grid, lon: float, lat: float) -> tuple[int, int] | None:
    """(row, column) of the pixel that holds a point (degrees, WGS 84), None outside of the grid."""
    x, y = Transformer.from_crs("EPSG:4326", grid.crs, always_xy=True).transform(lon, lat)
    if not (np.isfinite(x) and np.isfinite(y)):
        return None
    if grid.crs.is_geographic and x < grid.x[0] - 1:
        x += 360.0
    row, column = (
        round(float((value - centres[0]) / (centres[1] - centres[0]))) for value, centres in ((y, grid.y), (x, grid.x))
    )
    inside = 0 <= row < grid.y.size and 0 <= column < grid.x.size
    return (row, column) if inside else None


def pixel_of_fraction(grid: Grid, x: float, y: float) -> tuple[int, int]:
    """(row, column) of the pixel under a point of the picture: `x` from west, `y` from north, in [0, 1]."""
    ny, nx = grid.shape
    column, row = min(int(x * nx), nx - 1), min(int(y * ny), ny - 1)
    return (row if grid.north_up else ny - 1 - row), column


def _values(read: NDArray[Any]) -> FloatArray:
    return np.ma.filled(np.ma.asarray(read, np.float32), np.nan).astype(np.float32, copy=False)


def _reduced(band: FloatArray, block: int) -> FloatArray:
    """Block maximum [y / block, x / block] of a band [y, x]; blocks at the edge may hold fewer pixels."""
    if block == 1:
        return band
    ny, nx = band.shape
    padded = np.full((-(-ny // block) * block, -(-nx // block) * block), np.nan, np.float32)
    padded[:ny, :nx] = band
    blocks = padded.reshape(padded.shape[0] // block, block, padded.shape[1] // block, block)
    inside = np.zeros(padded.shape, np.uint8)
    inside[:ny, :nx] = 1
    pixels = inside.reshape(blocks.shape).sum(axis=(1, 3), dtype=np.int32)
    known = np.isfinite(blocks).sum(axis=(1, 3))
    highest = np.where(np.isnan(blocks), -np.inf, blocks).max(axis=(1, 3))
    unknown = (known < pixels) & (highest < DRY_RAIN_RATE_MM_H)
    return np.where(unknown, np.nan, highest).astype(np.float32)
