"""The pixels of an area, each with the exact share of it that the area covers (exactextract)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import exactextract
import numpy as np
import shapely
from exactextract.feature import JSONFeatureSource
from exactextract.raster import NumPyRasterSource
from numpy.typing import NDArray
from pyproj import Geod
from shapely import MultiPolygon, Polygon

from model.core.errors import TooLarge
from model.core.grid import Grid
from model.core.grid_places import bounds_lon_lat, check_on_earth

MAX_SEGMENT_DEGREES: Final = 0.05
"""Edges are straight in longitude and latitude (RFC 7946): longer ones bend by up to a metre in a projection."""

MARGIN_DEGREES: Final = 1.0
MAX_AREA_PIXELS: Final = 2_000_000
LEAST_FRACTION: Final = 1e-6
"""Less of a pixel is rounding, such as of an area along the borders of pixels."""

EARTH: Final = Geod(ellps="WGS84")

Area = Polygon | MultiPolygon


@dataclass(frozen=True, eq=False)
class AreaPixels:
    """The pixels that an area touches.

    Attributes
    ----------
    rows, columns : ndarray of int64
        The pixels [pixel], as in the file.
    weight : ndarray of float64
        The part of each pixel that the area covers [pixel], in pixels; of a grid in degrees, in pixels at the equator.
    inside : float
        The share of the area that lies on the grid, 0 to 1.
    km2 : float
        Its size on the ellipsoid, in square kilometres.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    weight: NDArray[np.float64]
    inside: float
    km2: float


def pixels_of_area(grid: Grid, area: Area) -> AreaPixels:
    """Return the pixels of an area (longitude and latitude in degrees, WGS 84) on a grid.

    Raises
    ------
    NotOnEarth
        The grid has no relation to longitude and latitude.
    TooLarge
        The area has more pixels than may be read for one request.
    """
    check_on_earth(grid)
    km2 = _km2(area)
    on_grid, kept = _in_pixels(grid, area)
    ny, nx = grid.shape
    nothing = np.empty(0, np.int64)
    if on_grid.is_empty:
        return AreaPixels(nothing, nothing, np.empty(0), 0.0, km2)
    left, top, right, bottom = on_grid.bounds
    first_row, last_row = max(0, math.floor(top)), min(ny, math.ceil(bottom))
    first_column, last_column = max(0, math.floor(left)), min(nx, math.ceil(right))
    shape = (last_row - first_row, last_column - first_column)
    if min(shape) <= 0:
        return AreaPixels(nothing, nothing, np.empty(0), 0.0, km2)
    if math.prod(shape) > MAX_AREA_PIXELS:
        raise TooLarge(
            f"the area spans {math.prod(shape):,} pixels of {MAX_AREA_PIXELS:,} at most",
            where="geometry",
            hint="Send a smaller area, or parts of it",
        )
    index, fraction = _coverage(on_grid, shape, first_row, first_column)
    rows, columns = np.divmod(index, shape[1])
    rows, columns = rows + first_row, columns + first_column
    weight = fraction * np.cos(np.deg2rad(grid.y[rows])) if grid.crs.is_geographic else fraction
    inside = min(1.0, kept * float(fraction.sum()) / on_grid.area) if on_grid.area else 0.0
    return AreaPixels(rows, columns, weight, inside, km2)


def _km2(area: Area) -> float:
    edges = shapely.segmentize(area, MAX_SEGMENT_DEGREES)  # those of PROJ are geodesics
    return float(abs(EARTH.geometry_area_perimeter(edges)[0])) / 1e6


def _in_pixels(grid: Grid, area: Area) -> tuple[Area, float]:
    """Return the area with x as fractional columns and y as fractional rows, from the outer corner of the first pixel.

    Where the projection has no place for a part of it, the part far from the grid is cut off; the second value is the
    share that is kept.
    """
    projected = _projected(grid, area)
    if np.isfinite(shapely.get_coordinates(projected)).all():
        return projected, 1.0
    bounds = bounds_lon_lat(grid)
    if bounds is None:
        return Polygon(), 0.0
    west, south, east, north = bounds
    margin = MARGIN_DEGREES
    near = _polygons(area.intersection(shapely.box(west - margin, south - margin, east + margin, north + margin)))
    projected = _projected(grid, near)
    if near.is_empty or not np.isfinite(shapely.get_coordinates(projected)).all():
        return Polygon(), 0.0
    return projected, _km2(near) / _km2(area)


def _projected(grid: Grid, area: Area) -> Area:
    def to_pixels(lon_lat: NDArray[np.float64]) -> NDArray[np.float64]:
        row, column = grid.row_column(*grid.x_y(lon_lat[:, 0], lon_lat[:, 1]))
        return np.column_stack([column + 0.5, row + 0.5])

    return _polygons(shapely.transform(shapely.segmentize(area, MAX_SEGMENT_DEGREES), to_pixels))


def _polygons(geometry: shapely.Geometry) -> Area:
    """Return the polygons of a geometry: an intersection may have points and lines as well."""
    if isinstance(geometry, Polygon | MultiPolygon):
        return geometry
    parts = [part for part in shapely.get_parts(geometry) if isinstance(part, Polygon)]
    return MultiPolygon(parts)


def _coverage(
    area: Area, shape: tuple[int, int], first_row: int, first_column: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the index in a window, and the covered fraction, of each pixel of an area in pixels."""
    extent = (first_column, first_row, first_column + shape[1], first_row + shape[0])
    # exactextract counts rows from the highest y, and rows of a file count up: its window is upside down.
    window = NumPyRasterSource(np.zeros(shape, np.uint8), *extent)
    feature = {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(area)}
    [found] = exactextract.exact_extract(window, JSONFeatureSource(feature), ["cell_id", "coverage"])
    properties = found["properties"]
    rows, columns = np.divmod(np.asarray(properties["cell_id"], np.int64), shape[1])
    index = (shape[0] - 1 - rows) * shape[1] + columns
    fraction = np.asarray(properties["coverage"], np.float64)
    covered = fraction > LEAST_FRACTION
    return index[covered], fraction[covered]
