"""Coordinates as people write them: `52.09, 5.12`, `52°5'N 5°7'E`, `N 52 05 24, E 5 07 12`."""

from __future__ import annotations

import re
from typing import Final

HEMISPHERES: Final = {"n": ("lat", 1), "s": ("lat", -1), "e": ("lon", 1), "o": ("lon", 1), "w": ("lon", -1)}
"""`o` is east in Dutch and German (oost, Ost)."""

_NUMBER: Final = r"\d{1,3}(?:[.,]\d+)?"
_ANGLE: Final = re.compile(
    rf"""\s*(?P<before>[nsewo])?\s*(?P<sign>[+\-−])?\s*
    (?P<degrees>{_NUMBER})\s*[°º]?
    (?:\s*(?P<minutes>\d{{1,2}}(?:[.,]\d+)?)\s*(?:['’′]|(?=[\s\d]|$))
       (?:\s*(?P<seconds>\d{{1,2}}(?:[.,]\d+)?)\s*(?:["”″]|''|′′)?)?)?
    (?(before)|\s*(?P<after>[nsewo](?![a-z]))?)\s*""",
    re.VERBOSE | re.IGNORECASE,
)
_PLAIN: Final = re.compile(r"\s*([+\-−]?\d{1,3}(?:\.\d+)?)°?\s*(?:[,;]\s*|\s+)([+\-−]?\d{1,3}(?:\.\d+)?)°?\s*")


def parse_coordinates(text: str) -> tuple[float, float] | None:
    """Return latitude and longitude (degrees, WGS 84) that a text says; None where it says none.

    Two plain numbers are latitude and longitude. With letters of the compass they may come in either order.
    """
    plain = _PLAIN.fullmatch(text)
    if plain:
        lat, lon = (float(number.replace("−", "-")) for number in plain.groups())
        return _on_earth(lat, lon)
    first = _ANGLE.match(text)
    if first is None:
        return None
    rest = text[first.end() :].lstrip(",;/ ")
    second = _ANGLE.fullmatch(rest)
    if second is None:
        return None
    angles = [_angle(match) for match in (first, second)]
    found = dict(angle for angle in angles if angle is not None)
    return _on_earth(found["lat"], found["lon"]) if found.keys() == {"lat", "lon"} else None


def coordinates_text(lat: float, lon: float) -> str:
    """Return coordinates in degrees with their hemispheres: `52.0900° N, 5.1200° E`."""
    return f"{abs(lat):.4f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.4f}° {'E' if lon >= 0 else 'W'}"


def _angle(match: re.Match[str]) -> tuple[str, float] | None:
    """Return the axis and the degrees of an angle; None of one without its hemisphere, or that is no angle."""
    letters = [letter for letter in (match["before"], match["after"]) if letter]
    if len(letters) != 1 or match["sign"]:
        return None
    axis, sign = HEMISPHERES[letters[0].lower()]
    degrees, minutes, seconds = (
        float((match[part] or "0").replace(",", ".")) for part in ("degrees", "minutes", "seconds")
    )
    return (axis, sign * (degrees + minutes / 60 + seconds / 3600)) if minutes < 60 and seconds < 60 else None


def _on_earth(lat: float, lon: float) -> tuple[float, float] | None:
    return (lat, lon) if abs(lat) <= 90 and abs(lon) <= 180 else None
