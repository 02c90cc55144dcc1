"""Georeferencing of an image by the corners in its file, checked against the declared pixel size.

Where corners and pixel size disagree, the corners decide: services write the pixel size in kilometres (Switzerland), on
the ground instead of on the map (2 % off in Mercator) or 0.5 % off (Curacao), while the corners of OPERA's composite
fit its grid to 1e-6 pixels (docs/formats.md). Every corner must lie within half a pixel of the resulting grid. Two
corners that contradict the pixel size leave open which of them is right, and are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from pyproj import CRS, Geod, Transformer

from model.core.errors import NotARadarFile
from model.core.grid import Grid
from model.readers.limits import MIN_PIXEL_M

CORNERS: Final = ("UL", "UR", "LL", "LR")
MAX_OFFSET_PX: Final = 0.5
"""The largest offset of a corner from the grid."""
ROUNDING_PX: Final = 0.05
"""Over the whole image: up to here corners and declared size differ by rounding only."""
MAX_PIXEL_DEGREES: Final = 0.5
SIZE_TOLERANCE: Final = 0.02
CORRECT_GRID: Final = "Correct the corners or the pixel size"

Point = tuple[str, float, float]
"""Name of a corner, and x and y in the units of the projection."""


@dataclass(frozen=True, kw_only=True)
class GeoReference:
    """Georeference in a file, of an image with its upper row first.

    Parameters
    ----------
    crs
        The projection.
    shape
        Rows and columns.
    lon_lat
        Longitude and latitude (degrees) of outer corners by name (`UL`, `UR`, `LL`, `LR`).
    upper_left
        x and y of the outer upper left corner, in the units of `crs`.
    scale
        The declared pixel size along x and y; None where the file gives none.
    """

    crs: CRS
    shape: tuple[int, int]
    lon_lat: Mapping[str, tuple[float, float]]
    upper_left: tuple[float, float] | None = None
    scale: tuple[float | None, float | None] = (None, None)


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """Outer edge of the first pixel, pixel size with the direction as sign, and number of pixels."""

    start: float
    step: float
    count: int

    def offset_px(self, size: float) -> float:
        """Return by how many pixels an axis with pixels of this size would miss the far edge."""
        return abs(size / abs(self.step) - 1) * self.count


def grid_of_corners(georeference: GeoReference) -> Grid:
    """Return the grid between the corners.

    Raises
    ------
    NotARadarFile
        The corners do not suffice or contradict each other, or two corners contradict the pixel size without a third
        one to decide.
    """
    points = project_corners(georeference.crs, georeference.lon_lat)
    if georeference.upper_left is not None:
        points.append(("UL", *georeference.upper_left))
    if not points:
        raise NotARadarFile("the file gives no corner of the grid", hint="Give LL_lon, LL_lat, UR_lon and UR_lat")
    ny, nx = georeference.shape
    left, right = ([x for corner, x, _ in points if corner[1] == side] for side in "LR")
    upper, lower = ([y for corner, _, y in points if corner[0] == side] for side in "UL")
    if georeference.crs.is_geographic and left and right and np.mean(right) < np.mean(left):
        right = [x + 360.0 for x in right]  # across the date line
        points = [(corner, x + 360.0 if corner[1] == "R" else x, y) for corner, x, y in points]
    x = _axis("x", left, right, nx, georeference.scale[0], georeference.crs)
    y = _axis("y", upper, lower, ny, georeference.scale[1], georeference.crs)
    grid = Grid(
        crs=georeference.crs, x=x.start + (np.arange(nx) + 0.5) * x.step, y=y.start + (np.arange(ny) + 0.5) * y.step
    )
    check_corners(grid, points)
    if len(points) < 3:
        for axis, name, declared, ground in zip((x, y), "xy", georeference.scale, _ground_size(grid), strict=True):
            if declared is not None and not _is_explained(declared, axis, ground):
                raise NotARadarFile(
                    f"the corners make pixels of {abs(axis.step):.6g} along {name}, the file declares {declared:.6g}, "
                    "and no third corner decides",
                    hint=CORRECT_GRID,
                )
    return grid


def radii_in_metres(proj4: str) -> str:
    """Return a PROJ string with earth radii in metres: KNMI writes them in kilometres (`+a=6378.137`)."""

    def in_metres(match: re.Match[str]) -> str:
        radius = float(match[2])
        return f"+{match[1]}={radius * 1000 if radius < 10_000 else radius:.12g}"

    return re.sub(r"\+(a|b|R)=([\d.]+)", in_metres, proj4)


def project_corners(crs: CRS, lon_lat: Mapping[str, tuple[float, float]]) -> list[Point]:
    """Return the corners in the units of `crs`.

    Raises
    ------
    NotARadarFile
        A corner lies outside of the projection.
    """
    to_xy = Transformer.from_crs(crs.geodetic_crs, crs, always_xy=True)
    points = []
    for corner, (lon, lat) in lon_lat.items():
        x, y = to_xy.transform(lon, lat)
        if not (np.isfinite(x) and np.isfinite(y)):
            raise NotARadarFile(f"the corner {corner} ({lon:g}, {lat:g}) cannot be projected", hint=CORRECT_GRID)
        points.append((corner, float(x), float(y)))
    return points


def check_corners(grid: Grid, points: list[Point]) -> None:
    """Check corners against a grid with the upper row first.

    Raises
    ------
    NotARadarFile
        A corner lies more than half a pixel off.
    """
    dx, dy = (float(centres[1] - centres[0]) for centres in (grid.x, grid.y))
    sides = {"L": grid.x[0] - dx / 2, "R": grid.x[-1] + dx / 2}
    rows = {"U": grid.y[0] - dy / 2, "L": grid.y[-1] + dy / 2}
    offsets = {
        corner: max(abs((x - sides[corner[1]]) / dx), abs((y - rows[corner[0]]) / dy)) for corner, x, y in points
    }
    for corner, pixels in offsets.items():
        if not pixels <= MAX_OFFSET_PX:
            raise NotARadarFile(
                f"the corner {corner} lies {pixels:.1f} pixels off the grid that the other metadata make",
                hint=CORRECT_GRID,
            )


def _axis(name: str, first: list[float], last: list[float], count: int, declared: float | None, crs: CRS) -> _Axis:
    """Return an axis between outer edges, or from one edge by the declared size."""
    sign = 1.0 if name == "x" else -1.0
    if first and last:
        start, end = float(np.mean(first)), float(np.mean(last))
        step = (end - start) / count
        if not step * sign > 0 or (crs.is_geographic and abs(end - start) > 180.0):
            raise NotARadarFile(
                f"the corners run the wrong way along {name}: from {start:.6g} to {end:.6g}", hint="Correct the corners"
            )
        axis = _Axis(start=start, step=step, count=count)
        if declared is None or axis.offset_px(declared) > ROUNDING_PX:
            return axis
        step = sign * declared
        return _Axis(start=(start + end - step * count) / 2, step=step, count=count)
    least, most = (0.0, MAX_PIXEL_DEGREES) if crs.is_geographic else (MIN_PIXEL_M, np.inf)
    if declared is None or not least < declared <= most:
        given = "no pixel size" if declared is None else f"a pixel size of {declared:g}"
        hint = "Give LL and UR, or all four corners"
        raise NotARadarFile(f"the file gives {given} along {name} and no two corners", hint=hint)
    step = sign * declared
    start = float(np.mean(first)) if first else float(np.mean(last)) - step * count
    return _Axis(start=start, step=step, count=count)


def _is_explained(declared: float, axis: _Axis, ground: float) -> bool:
    """Whether a declared size is the size between the corners or the size on the ground, in m or in km."""
    for metres in (declared, declared * 1000.0):
        near = min(abs(abs(axis.step) - ground) / 4, SIZE_TOLERANCE * ground)
        if axis.offset_px(metres) <= MAX_OFFSET_PX or abs(metres - ground) < near:
            return True
    return False


def _ground_size(grid: Grid) -> tuple[float, float]:
    """Return the size (x, y) in metres of a pixel in the middle of the grid, measured on the ellipsoid."""
    geod: Geod | None = grid.crs.get_geod()
    if geod is None:
        return float("nan"), float("nan")
    x, y = float(grid.x.mean()), float(grid.y.mean())
    dx, dy = (float(centres[1] - centres[0]) for centres in (grid.x, grid.y))
    back = Transformer.from_crs(grid.crs, grid.crs.geodetic_crs, always_xy=True)
    lon, lat = back.transform([x - dx / 2, x + dx / 2, x, x], [y, y, y - dy / 2, y + dy / 2])
    return geod.inv(lon[0], lat[0], lon[1], lat[1])[2], geod.inv(lon[2], lat[2], lon[3], lat[3])[2]
