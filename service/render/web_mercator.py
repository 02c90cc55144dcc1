"""Square pictures of the map in Web Mercator (EPSG:3857), as web maps show them: where on the earth their pixels lie.

Pixels are counted from the north-western corner of a square world: whole numbers are edges of pixels, as in
https://wiki.openstreetmap.org/wiki/Slippy_map_tilenames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

MAX_LATITUDE: Final = math.degrees(math.atan(math.sinh(math.pi)))
"""Northern edge of the square world (degrees), 85.05."""
MAX_ZOOM: Final = 20

Degrees = NDArray[np.float64]


@dataclass(frozen=True)
class MapPicture:
    """A square part of the map.

    Attributes
    ----------
    left, top : float
        Its north-western corner in pixels of the world.
    size : int
        Its side in pixels.
    world : int
        Side of the whole world in pixels.
    """

    left: float
    top: float
    size: int
    world: int

    @classmethod
    def of_tile(cls, z: int, x: int, y: int, size: int) -> MapPicture:
        """Return the tile of column `x` and row `y` (from north) at zoom `z`, `size` pixels wide."""
        return cls(left=x * size, top=y * size, size=size, world=size << z)

    @classmethod
    def around(cls, z: int, lon: float, lat: float, size: int) -> MapPicture:
        """Return the picture with a place (degrees, WGS 84) in its middle, at the scale of tiles of zoom `z`."""
        world = size << z
        lat = max(-MAX_LATITUDE, min(MAX_LATITUDE, lat))
        x = (lon + 180.0) / 360.0 * world
        y = (0.5 - math.asinh(math.tan(math.radians(lat))) / (2 * math.pi)) * world
        return cls(left=x - size / 2, top=y - size / 2, size=size, world=world)

    def lon(self, columns: NDArray[np.float64]) -> Degrees:
        """Return the longitudes (degrees, -180 to 180) of columns of the picture."""
        lon: Degrees = (self.left + columns) / self.world * 360.0 % 360.0 - 180.0
        return lon

    def lat(self, rows: NDArray[np.float64]) -> Degrees:
        """Return the latitudes (degrees) of rows of the picture."""
        north = math.pi * (1.0 - 2.0 * (self.top + rows) / self.world)
        lat: Degrees = np.degrees(np.arctan(np.sinh(north)))
        return lat

    def box(self, bounds: tuple[float, float, float, float]) -> tuple[slice, slice] | None:
        """Return the rows and columns within west, south, east, north (degrees; east may exceed 180); None if none.

        Where the bounds are in the picture twice, across the edge of the world, the columns between are in it as well.
        """
        west, south, east, north = bounds
        sides = [
            (0.5 - math.asinh(math.tan(math.radians(max(-MAX_LATITUDE, min(MAX_LATITUDE, lat))))) / (2 * math.pi))
            * self.world
            - self.top
            for lat in (north, south)
        ]
        rows = self._inside(*sides)
        columns = [
            found
            for turn in (-360.0, 0.0, 360.0)
            if (found := self._inside(*((lon + turn + 180.0) / 360.0 * self.world - self.left for lon in (west, east))))
        ]
        if rows is None or not columns:
            return None
        return rows, slice(min(each.start for each in columns), max(each.stop for each in columns))

    def _inside(self, first: float, last: float) -> slice | None:
        """Return the whole pixels between two edges, those that are in the picture; None if none is."""
        start, stop = max(0, math.floor(first)), min(self.size, math.ceil(last))
        return slice(start, stop) if start < stop else None
