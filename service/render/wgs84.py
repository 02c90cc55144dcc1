"""Between a grid's coordinates and longitude and latitude, where there is a way from one to the other."""

from __future__ import annotations

from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from model.core.grid import Grid

WGS84 = "EPSG:4326"


def to_lon_lat(grid: Grid) -> Transformer | None:
    """From the grid's coordinates; None where they have no relation to the earth, as on a local site, or on Mars."""
    return _transformer(grid.crs, grid.crs, WGS84)


def from_lon_lat(grid: Grid) -> Transformer | None:
    """To the grid's coordinates, likewise."""
    return _transformer(grid.crs, WGS84, grid.crs)


def _transformer(horizontal: CRS, source: CRS | str, target: CRS | str) -> Transformer | None:
    if not (horizontal.is_geographic or horizontal.is_projected):  # heights, times and such are no places
        return None
    try:
        return Transformer.from_crs(source, target, always_xy=True)
    except ProjError:
        return None
