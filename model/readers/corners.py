"""The grid of an image from the corners that its file gives, held against the pixel size that it declares.

Where the two disagree, the corners decide: services write the pixel size in kilometres, on the ground instead of on
the map, or rounded. Every corner given must lie within half a pixel of the resulting grid.
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
from model.readers.source import LEAST_PIXEL_M

CORNERS: Final = ("UL", "UR", "LL", "LR")
MAX_OFF: Final = 0.5
"""In pixels: how far a corner given may lie from the grid."""
ROUNDING: Final = 0.05
"""In pixels, over the whole image: up to here, corners and declared size differ by digits that were cut off."""
MOST_PIXEL_DEGREES: Final = 0.5
SAME_SIZE: Final = 0.02
CORRECT: Final = "Correct its corners or its pixel size"

Point = tuple[str, float, float]
"""A corner's name and its place in the units of the projection."""


@dataclass(frozen=True, kw_only=True)
class Outline:
    """Where an image lies according to its file. Row 0 is the upper one, and corners are outer ones.

    `lon_lat` are corners by name (`UL`, `UR`, `LL`, `LR`). `upper_left` is a corner in the units of `crs`. `scale` is
    the declared pixel size along x and y.
    """

    crs: CRS
    shape: tuple[int, int]
    lon_lat: Mapping[str, tuple[float, float]]
    upper_left: tuple[float, float] | None = None
    scale: tuple[float | None, float | None] = (None, None)


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """Outer edge of the first pixel, the step from one to the next, and how many there are."""

    start: float
    step: float
    count: int

    def off(self, size: float) -> float:
        """By how many pixels pixels of another size would miss the far edge."""
        return abs(size / abs(self.step) - 1) * self.count


def grid_of(outline: Outline) -> Grid:
    """Pixel centres of the image.

    Raises
    ------
    NotARadarFile
        The corners do not suffice or contradict each other, or two corners contradict the pixel size
        and there is no third to tell which is right.
    """
    points = projected(outline.crs, outline.lon_lat)
    if outline.upper_left is not None:
        points.append(("UL", *outline.upper_left))
    if not points:
        raise NotARadarFile("it gives no corner of its grid", hint="Give LL_lon, LL_lat, UR_lon and UR_lat")
    ny, nx = outline.shape
    left, right = ([x for corner, x, _ in points if corner[1] == side] for side in "LR")
    upper, lower = ([y for corner, _, y in points if corner[0] == side] for side in "UL")
    if outline.crs.is_geographic and left and right and np.mean(right) < np.mean(left):
        right = [x + 360.0 for x in right]  # across the date line
        points = [(corner, x + 360.0 if corner[1] == "R" else x, y) for corner, x, y in points]
    x = _axis("x", left, right, nx, outline.scale[0], outline.crs)
    y = _axis("y", upper, lower, ny, outline.scale[1], outline.crs)
    grid = Grid(crs=outline.crs, x=x.start + (np.arange(nx) + 0.5) * x.step, y=y.start + (np.arange(ny) + 0.5) * y.step)
    check_points(grid, points)
    if len(points) < 3:
        for axis, name, declared, ground in zip((x, y), "xy", outline.scale, _ground_size(grid), strict=True):
            if declared is not None and not _explained(declared, axis, ground):
                raise NotARadarFile(
                    f"its corners make pixels of {abs(axis.step):.6g} along {name}, it declares {declared:.6g}, "
                    "and no third corner tells which is right",
                    hint=CORRECT,
                )
    return grid


def radii_in_metres(proj4: str) -> str:
    """A PROJ string with its earth radii in metres: KNMI writes them in kilometres (`+a=6378.137`)."""

    def in_metres(match: re.Match[str]) -> str:
        radius = float(match[2])
        return f"+{match[1]}={radius * 1000 if radius < 10_000 else radius:.12g}"

    return re.sub(r"\+(a|b|R)=([\d.]+)", in_metres, proj4)


def projected(crs: CRS, lon_lat: Mapping[str, tuple[float, float]]) -> list[Point]:
    """The corners in the units of `crs`.

    Raises
    ------
    NotARadarFile
        A corner lies nowhere in the projection.
    """
    to_xy = Transformer.from_crs(crs.geodetic_crs, crs, always_xy=True)
    points = []
    for corner, (lon, lat) in lon_lat.items():
        x, y = to_xy.transform(lon, lat)
        if not (np.isfinite(x) and np.isfinite(y)):
            raise NotARadarFile(f"its corner {corner} ({lon:g}, {lat:g}) lies outside its projection", hint=CORRECT)
        points.append((corner, float(x), float(y)))
    return points


def check_points(grid: Grid, points: list[Point]) -> None:
    """Refuse corners that lie more than half a pixel from those of the grid, which has its upper row first.

    Raises
    ------
    NotARadarFile
        A corner does.
    """
    dx, dy = (float(centres[1] - centres[0]) for centres in (grid.x, grid.y))
    sides = {"L": grid.x[0] - dx / 2, "R": grid.x[-1] + dx / 2}
    rows = {"U": grid.y[0] - dy / 2, "L": grid.y[-1] + dy / 2}
    off = {corner: max(abs((x - sides[corner[1]]) / dx), abs((y - rows[corner[0]]) / dy)) for corner, x, y in points}
    for corner, pixels in off.items():
        if not pixels <= MAX_OFF:
            raise NotARadarFile(
                f"its corner {corner} lies {pixels:.1f} pixels off the grid that the rest of its description makes",
                hint=CORRECT,
            )


def _axis(name: str, first: list[float], last: list[float], count: int, declared: float | None, crs: CRS) -> _Axis:
    """An axis between its outer edges; where one is not given, by the declared size."""
    sign = 1.0 if name == "x" else -1.0
    if first and last:
        start, end = float(np.mean(first)), float(np.mean(last))
        step = (end - start) / count
        if not step * sign > 0 or (crs.is_geographic and abs(end - start) > 180.0):
            raise NotARadarFile(
                f"its corners run the wrong way along {name}: from {start:.6g} to {end:.6g}", hint="Correct its corners"
            )
        axis = _Axis(start=start, step=step, count=count)
        if declared is None or axis.off(declared) > ROUNDING:
            return axis
        step = sign * declared
        return _Axis(start=(start + end - step * count) / 2, step=step, count=count)
    least, most = (0.0, MOST_PIXEL_DEGREES) if crs.is_geographic else (LEAST_PIXEL_M, np.inf)
    if declared is None or not least < declared <= most:
        said = "no pixel size" if declared is None else f"a pixel size of {declared:g}"
        raise NotARadarFile(
            f"it gives {said} along {name} and no two corners that tell it", hint="Give LL and UR, or all four corners"
        )
    step = sign * declared
    start = float(np.mean(first)) if first else float(np.mean(last)) - step * count
    return _Axis(start=start, step=step, count=count)


def _explained(declared: float, axis: _Axis, ground: float) -> bool:
    """Whether a declared size is that of the corners, in metres or in kilometres, or that of the ground."""
    for metres in (declared, declared * 1000.0):
        near = min(abs(abs(axis.step) - ground) / 4, SAME_SIZE * ground)
        if axis.off(metres) <= MAX_OFF or abs(metres - ground) < near:
            return True
    return False


def _ground_size(grid: Grid) -> tuple[float, float]:
    """Size (x, y) in metres of a pixel in the middle of the grid, on the ellipsoid."""
    geod: Geod | None = grid.crs.get_geod()
    if geod is None:
        return float("nan"), float("nan")
    x, y = float(grid.x.mean()), float(grid.y.mean())
    dx, dy = (float(centres[1] - centres[0]) for centres in (grid.x, grid.y))
    back = Transformer.from_crs(grid.crs, grid.crs.geodetic_crs, always_xy=True)
    lon, lat = back.transform([x - dx / 2, x + dx / 2, x, x], [y, y, y - dy / 2, y + dy / 2])
    return geod.inv(lon[0], lat[0], lon[1], lat[1])[2], geod.inv(lon[2], lat[2], lon[3], lat[3])[2]
