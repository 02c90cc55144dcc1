"""Parts of the map, as addresses name them."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Path

from service.api.errors import InvalidParameter
from service.render.web_mercator import MAX_ZOOM, MapPicture

SIZES: Final = (256, 512)

Zoom = Annotated[int, Path(ge=0, le=MAX_ZOOM, description="Zoom level.", examples=[7])]
Column = Annotated[int, Path(ge=0, description="Column of the tile, from west.", examples=[65])]
Row = Annotated[int, Path(ge=0, description="Row of the tile, from north.", examples=[42])]


def tile(z: int, x: int, y: int, size: int) -> MapPicture:
    """Return a tile of the map.

    Raises
    ------
    InvalidParameter
        There is no such tile.
    """
    check_size(size)
    for name, index in (("x", x), ("y", y)):
        if index >= 1 << z:
            raise InvalidParameter(
                f"there is no tile {index} at zoom {z}", where=name, hint=f"Tiles are 0 to {(1 << z) - 1}"
            )
    return MapPicture.of_tile(z, x, y, size)


def around(z: int, lat: float, lon: float, size: int) -> MapPicture:
    """Return the part of the map around a place (degrees, WGS 84).

    Raises
    ------
    InvalidParameter
        There is no such place.
    """
    check_size(size)
    for name, degrees, most in (("lat", lat, 90), ("lon", lon, 180)):
        if abs(degrees) > most:
            raise InvalidParameter(
                f"{degrees:g} degrees are not on the earth", where=name, hint=f"Give {name} from -{most} to {most}"
            )
    return MapPicture.around(z, lon, lat, size)


def check_size(size: int) -> None:
    """Check the side of a tile.

    Raises
    ------
    InvalidParameter
        Tiles are not made in that size.
    """
    if size not in SIZES:
        raise InvalidParameter(f"tiles are not {size} pixels wide", where="size", hint="Request 256 or 512")
