"""Areas as GeoJSON or WKT in longitude and latitude, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon

from model.core.area_pixels import Area
from model.core.errors import BadGeometry, TooLarge, WrongCrs

Positions = NDArray[np.float64]

MAX_VERTICES: Final = 50_000
LON_LAT_NAMES: Final = ("CRS84", "EPSG::4326", "EPSG:4326", "EPSG/0/4326")
HINT: Final = "Send a GeoJSON Polygon or MultiPolygon (RFC 7946), or a Feature with one"


def area_of_geojson(document: object) -> Area:
    """Return the area of a GeoJSON document.

    Raises
    ------
    TooLarge, BadGeometry, WrongCrs
        It is too large, no valid area, or not in longitude and latitude.
    """
    if not isinstance(document, dict):
        raise BadGeometry("it is no GeoJSON object", where="body", hint=HINT)
    _check_crs(document)
    where = "body"
    if document.get("type") == "Feature":
        document, where = document.get("geometry") or {}, "geometry"
        if not isinstance(document, dict):
            raise BadGeometry("it is no GeoJSON object", where=where, hint=HINT)
        _check_crs(document)
    kind, coordinates = document.get("type"), document.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon"):
        hint = "Send each Feature by itself" if kind == "FeatureCollection" else HINT
        raise BadGeometry(f"it is a {str(kind)[:40]}, and not an area", where=f"{where}.type", hint=hint)
    where = "coordinates" if where == "body" else "geometry.coordinates"
    many = coordinates if kind == "MultiPolygon" else [coordinates]
    if not isinstance(many, list) or not many or not all(isinstance(rings, list) and rings for rings in many):
        raise BadGeometry("it has no coordinates", where=where, hint=HINT)
    polygons = []
    left = MAX_VERTICES
    for number, rings in enumerate(many):
        of_polygon = []
        for index, ring in enumerate(rings):
            at = f"{where}[{number}][{index}]" if kind == "MultiPolygon" else f"{where}[{index}]"
            if isinstance(ring, list):
                left -= len(ring)
            if left < 0:
                raise _too_many()
            of_polygon.append(_ring(ring, at))
        polygons.append(Polygon(of_polygon[0], of_polygon[1:]))
    return _checked(polygons[0] if kind == "Polygon" else MultiPolygon(polygons))


def area_of_wkt(text: str, to_lon_lat: Callable[[Positions], Positions] | None = None) -> Area:
    """Return the area of a POLYGON or MULTIPOLYGON in well-known text, in longitude and latitude.

    `to_lon_lat` transforms its positions [position, 2]; None: they are longitude and latitude.

    Raises
    ------
    TooLarge, BadGeometry, WrongCrs
        It is too large, no valid area, or not in longitude and latitude.
    """
    hint = "Send a POLYGON or MULTIPOLYGON, such as POLYGON((5 52,6 52,6 53,5 52))"
    geometry = geometry_of_wkt(text, hint)
    if not isinstance(geometry, Polygon | MultiPolygon):
        raise BadGeometry(f"it is a {type(geometry).__name__}, and not an area", where="coords", hint=hint)
    return _checked(geometry if to_lon_lat is None else shapely.transform(geometry, to_lon_lat))


def geometry_of_wkt(text: str, hint: str) -> shapely.Geometry:
    """Return a geometry of well-known text.

    Raises
    ------
    BadGeometry, TooLarge
        The text cannot be parsed; it has too many vertices.
    """
    if text.count(",") > MAX_VERTICES:
        raise _too_many()
    try:
        geometry = shapely.from_wkt(text)
    except (shapely.GEOSException, ValueError) as error:
        raise BadGeometry(f"it is no well-known text: {error}", where="coords", hint=hint) from None
    if geometry is None or geometry.is_empty:
        raise BadGeometry("it has no coordinates", where="coords", hint=hint)
    return geometry


def _ring(ring: object, where: str) -> Positions:
    """Return the longitudes and latitudes of a ring."""
    if not isinstance(ring, list) or len(ring) < 4:
        raise BadGeometry("a ring needs at least four positions, the last one being the first", where=where, hint=HINT)
    if not all(_is_position(position) for position in ring):
        raise BadGeometry("a position is two or three numbers", where=where, hint="Give [longitude, latitude]")
    positions = np.array([position[:2] for position in ring], np.float64)
    if (positions[0] != positions[-1]).any():
        raise BadGeometry("the ring is not closed", where=where, hint="Let the last position be the first")
    return positions


def _is_position(position: object) -> bool:
    return (
        isinstance(position, list)
        and len(position) in (2, 3)
        and all(isinstance(number, int | float) and not isinstance(number, bool) for number in position)
    )


def _checked(area: Area) -> Area:
    """Return an area that is valid and in degrees."""
    positions = shapely.get_coordinates(area)
    if not np.isfinite(positions).all():
        raise BadGeometry("a coordinate is not finite", where="coordinates", hint=HINT)
    lon, lat = np.abs(positions).max(axis=0)
    if lon > 180 or lat > 90:
        raise WrongCrs(
            f"the coordinates reach {positions[:, 0][np.abs(positions[:, 0]).argmax()]:g}, "
            f"{positions[:, 1][np.abs(positions[:, 1]).argmax()]:g}: they are not longitude and latitude",
            where="coordinates",
            hint="Transform the area to WGS 84, longitude first (EPSG:4326, -180 to 180), and cut it at 180 degrees",
        )
    if len(positions) > MAX_VERTICES:
        raise _too_many()
    if not area.is_valid:
        raise BadGeometry(
            f"the area is not valid: {shapely.is_valid_reason(area)}",
            where="coordinates",
            hint="Correct it, such as with make_valid of GEOS, or ST_MakeValid of PostGIS",
        )
    return area


def _too_many() -> TooLarge:
    return TooLarge(
        f"the area has more than {MAX_VERTICES:,} vertices", where="coordinates", hint="Simplify it to the pixel size"
    )


def _check_crs(document: Mapping[str, Any]) -> None:
    """Refuse a `crs` of another coordinate system, as GeoJSON had it before RFC 7946."""
    for name in _names(document.get("crs")):
        if not name.endswith(LON_LAT_NAMES):
            raise WrongCrs(
                f"the area is in {name[:100]!r}",
                where="crs",
                hint="Transform it to longitude and latitude, WGS 84 (EPSG:4326), as in RFC 7946, and leave crs out",
            )


def _names(crs: object) -> Iterator[str]:
    if isinstance(crs, dict):
        properties = crs.get("properties")
        yield str(properties.get("name", "")) if isinstance(properties, dict) else str(crs)
    elif crs is not None:
        yield str(crs)
