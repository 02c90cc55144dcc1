"""The horizontal grid of a radar composite: a coordinate reference system and the centres of its pixels."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.enums import TransformDirection
from pyproj.exceptions import ProjError

from model.core.errors import InputError

METRES_PER_DEGREE = 111_195.0
WGS84: Final = "EPSG:4326"
MAX_TRANSFORMERS: Final = 64
EARTH_RADIUS_M: Final = 6_378_137.0
RADIUS_TOLERANCE: Final = 0.005
"""An ellipsoid of nearly this radius is one of the earth. PROJ, too, tells celestial bodies apart by it."""
MAX_OFFSET_PX: Final = 0.5
"""Tolerance of even spacing, in pixels: float32 rounds longitudes, and text rounds spacings."""

Coordinates = NDArray[np.float64] | float


@dataclass(frozen=True, eq=False)
class Grid:
    """Regular grid.

    Parameters
    ----------
    crs
        The coordinate reference system; of a compound one the horizontal part.
    x, y
        Pixel centres [nx] and [ny] in the units of `crs` (metres, or degrees if geographic). `x` increases; `y` runs as
        in the file, and the first row is north where `y` decreases. Rounded centres are made even, so that positions
        follow from the spacing.

    Raises
    ------
    InputError
        The centres are not evenly spaced, `x` does not increase, or the coordinates are not those of the CRS.
    """

    crs: CRS
    x: NDArray[np.floating]
    y: NDArray[np.floating]

    def __post_init__(self) -> None:
        object.__setattr__(self, "crs", _horizontal(self.crs))
        for name in ("x", "y"):
            centres = np.asarray(getattr(self, name), np.float64)
            if centres.ndim != 1 or centres.size < 2:
                raise InputError(f"a grid needs at least two pixel centres along {name}", where="grid")
            steps = np.diff(centres)
            if not np.all(np.isfinite(steps)) or not np.allclose(steps, steps.mean(), rtol=0.05) or not steps.any():
                raise InputError(f"pixel centres along {name} are not evenly spaced", where="grid")
            object.__setattr__(self, name, _even(centres, name))
        if self.x[1] <= self.x[0]:
            raise InputError("pixel centres along x must increase", where="grid")
        if self.crs.is_geographic and (np.abs(self.y).max() > 90.5 or np.abs(self.x).max() > 720):
            raise InputError(
                f"the latitudes reach {self.y[np.abs(self.y).argmax()]:g} degrees, "
                f"the longitudes {self.x[np.abs(self.x).argmax()]:g}",
                where="grid",
                hint="Give the projection of x and y, or correct them",
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self.y.size, self.x.size

    @property
    def north_up(self) -> bool:
        """Whether row 0 is the northern edge."""
        return bool(self.y[0] > self.y[-1])

    @property
    def pixel_size_m(self) -> tuple[float, float]:
        """(dy, dx) in metres, at the centre of the grid."""
        dx = float(np.abs(np.diff(self.x)).mean())
        dy = float(np.abs(np.diff(self.y)).mean())
        if self.crs.is_geographic:
            middle = np.deg2rad(float(self.y.mean()))
            return dy * METRES_PER_DEGREE, dx * METRES_PER_DEGREE * float(np.cos(middle))
        factor = self.crs.axis_info[0].unit_conversion_factor if self.crs.axis_info else 1.0
        return dy * factor, dx * factor

    @property
    def north_up_transform(self) -> tuple[float, float, float, float, float, float]:
        """The affine transform of an image with north up, in GDAL's order: x0, dx, 0, y0, 0, -dy.

        (x0, y0) is the outer corner of the north-western pixel, dx and dy are the size of a pixel, in units of `crs`.
        """
        ny, nx = self.shape
        dx = float(self.x[-1] - self.x[0]) / (nx - 1)
        dy = float(np.abs(self.y[-1] - self.y[0])) / (ny - 1)
        return float(self.x[0]) - dx / 2, dx, 0.0, float(self.y.max()) + dy / 2, 0.0, -dy

    def matches(self, other: Grid) -> bool:
        """Whether both grids have the same shape, CRS and pixel centres, to a hundredth of a pixel."""
        if self.shape != other.shape:
            return False
        for own, others in ((self.x, other.x), (self.y, other.y)):
            if not np.allclose(own, others, rtol=0, atol=0.01 * abs(own[1] - own[0])):
                return False
        return self.crs == other.crs or self.crs.is_exact_same(other.crs)

    @property
    def is_georeferenced(self) -> bool:
        """Whether the CRS can be transformed to longitude and latitude on earth: one of Mars cannot."""
        return self._to_lon_lat is not None

    def is_on_earth(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which points in grid coordinates lie on earth.

        To the longitude and latitude of its own CRS each projection has one way, which PROJ need not search for.
        """
        ellipsoid = self.crs.ellipsoid
        if ellipsoid is None or abs(ellipsoid.semi_major_metre / EARTH_RADIUS_M - 1) > RADIUS_TOLERANCE:
            return np.zeros(np.shape(x), np.bool_)
        own = Transformer.from_crs(self.crs, self.crs.geodetic_crs, always_xy=True)
        lon, lat = _transformed(own, x, y)
        return np.isfinite(lon) & np.isfinite(lat)

    @cached_property
    def _to_lon_lat(self) -> Transformer | None:
        """The transformation to longitude and latitude; None where there is none."""
        return _to_lon_lat(self.crs)

    def lon_lat(self, x: Coordinates, y: Coordinates) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return longitude and latitude (degrees, WGS 84) of points in grid coordinates; NaN off the earth."""
        return _transformed(self._to_lon_lat, x, y)

    def x_y(self, lon: Coordinates, lat: Coordinates) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return points (degrees, WGS 84), of any shape, in grid coordinates; NaN where the projection has none.

        Longitudes are counted within 180 degrees of the middle of the grid, so that -0.05 and 359.95 are one place.
        """
        x, y = _transformed(self._to_lon_lat, lon, lat, TransformDirection.INVERSE)
        if self.crs.is_geographic:
            middle = (self.x[0] + self.x[-1]) / 2
            x = middle + (x - middle + 180.0) % 360.0 - 180.0
        return x, y

    def row_column(self, x: Coordinates, y: Coordinates) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return fractional row and column of points in grid coordinates: 0 is the centre of the first pixel."""
        row, column = (
            (np.asarray(value) - centres[0]) / (centres[-1] - centres[0]) * (centres.size - 1)
            for value, centres in ((y, self.y), (x, self.x))
        )
        return row, column

    def cf_grid_mapping(self) -> dict[str, Any]:
        """Return the CF grid mapping attributes, `crs_wkt` included."""
        attributes = {key: value for key, value in self.crs.to_cf().items() if value is not None}
        if attributes.get("grid_mapping_name") == "polar_stereographic" and "standard_parallel" in attributes:
            # CF requires which pole it is, which PROJ tells by the sign of the standard parallel alone.
            attributes.setdefault("latitude_of_projection_origin", np.copysign(90.0, attributes["standard_parallel"]))
        return attributes

    @classmethod
    def regular(cls, crs: CRS, *, shape: tuple[int, int], pixel_size: float, centre: tuple[float, float]) -> Grid:
        """Make a north-up grid of `shape` (ny, nx) with square pixels around `centre` (x, y), in the units of `crs`."""
        ny, nx = shape
        x = centre[0] + (np.arange(nx) - (nx - 1) / 2) * pixel_size
        y = centre[1] - (np.arange(ny) - (ny - 1) / 2) * pixel_size
        return cls(crs=crs, x=x, y=y)


def _even(centres: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Return pixel centres without rounding errors; centres that are even in float64 stay bit-equal.

    Raises
    ------
    InputError
        The spacing differs, as between the latitudes of rows in the Mercator projection.
    """
    even = np.linspace(centres[0], centres[-1], centres.size)
    pixels_off = float(np.abs(centres - even).max() / np.abs(even[1] - even[0]))
    if pixels_off > MAX_OFFSET_PX:
        raise InputError(
            f"pixel centres along {name} are not evenly spaced: they are up to {pixels_off:.1f} pixels off",
            where="grid",
            hint="Give x and y in the projection in which they are evenly spaced (a Mercator grid is not in latitude), "
            "or resample the frames",
        )
    return even if pixels_off > 1e-9 else centres


def _horizontal(crs: CRS) -> CRS:
    """Return the horizontal part of a CRS: a compound one also has heights.

    Raises
    ------
    InputError
        The CRS is neither projected nor geographic.
    """
    if crs.is_compound:
        crs = crs.sub_crs_list[0]
    if not (crs.is_projected or crs.is_geographic):
        raise InputError(
            f"the coordinate system {crs.name!r} is a {crs.type_name}, which has no map coordinates",
            where="grid",
            hint="Give a projection, or longitude and latitude",
        )
    return crs.to_2d() if len(crs.axis_info) > 2 else crs


@lru_cache(maxsize=MAX_TRANSFORMERS)
def _to_lon_lat(crs: CRS) -> Transformer | None:
    """Return the transformation of a CRS, which takes PROJ tens of milliseconds to find; None where there is none."""
    try:
        return Transformer.from_crs(crs, WGS84, always_xy=True)
    except ProjError:
        return None


def _transformed(
    transformer: Transformer | None,
    x: Coordinates,
    y: Coordinates,
    direction: TransformDirection = TransformDirection.FORWARD,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values: tuple[Any, Any] = (np.full(np.shape(x), np.nan), np.full(np.shape(y), np.nan))
    if transformer is not None:
        with suppress(ProjError):
            values = transformer.transform(x, y, direction=direction)
    to_x, to_y = (np.asarray(each, np.float64) for each in values)
    finite = np.isfinite(to_x) & np.isfinite(to_y)
    return np.where(finite, to_x, np.nan), np.where(finite, to_y, np.nan)
