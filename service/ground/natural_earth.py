"""Shapefiles of Natural Earth, as lines and areas of the map: the world is 1 wide, from its north-western corner."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import shapefile
import shapely
from numpy.typing import NDArray

from service.render.web_mercator import MAX_LATITUDE

NO_RANK: Final = 0
LEFT_OUT: Final = "ForgetMagics"
"""Class of a border that ECMWF's copy of the file has replaced by another."""


class Source(NamedTuple):
    """A file of Natural Earth at 1:10 million, and the rank of a record; None of one that is left out."""

    file: str
    rank: Callable[[dict[str, Any]], int | None]


SOURCES: Final = {
    "land": Source("ne_10m_land", lambda record: NO_RANK),
    "lakes": Source("ne_10m_lakes", lambda record: NO_RANK),
    "rivers": Source("ne_10m_rivers_lake_centerlines", lambda record: max(0, int(record["scalerank"]))),
    "borders": Source(
        "ne_10m_admin_0_boundary_lines_land",
        lambda record: (
            None
            if record["featurecla"] == LEFT_OUT
            else int(not record["featurecla"].startswith("International boundary"))
        ),
    ),
    "regions": Source(
        "ne_10m_admin_1_states_provinces_lines",
        lambda record: int(record["scalerank"]) if record["featurecla"] == "Admin-1 boundary" else None,
    ),
}


def lines_by_rank(folder: Path, kind: str, *, join: bool) -> dict[int, NDArray[Any]]:
    """Return the lines, or rings, of a kind as shapely lines by rank; joined where one ends and another begins."""
    source = SOURCES[kind]
    found: dict[int, list[Any]] = defaultdict(list)
    has_records = (folder / f"{source.file}.dbf").exists()
    with shapefile.Reader(str(folder / source.file), encoding="latin-1") as reader:
        for number in range(len(reader)):
            shape = reader.shape(number)
            rank = source.rank(reader.record(number).as_dict()) if has_records else NO_RANK
            if rank is not None and shape.points:
                points = on_map(np.array(shape.points, float)[:, :2])
                parts = np.split(points, shape.parts[1:])
                found[rank] += [shapely.linestrings(part) for part in parts if len(part) > 1]
    if not join:
        return {rank: np.array(lines) for rank, lines in found.items()}
    merged = {rank: shapely.line_merge(shapely.multilinestrings(lines)) for rank, lines in found.items()}
    return {rank: shapely.get_parts(lines) for rank, lines in sorted(merged.items())}


def on_map(lon_lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return x and y (0 to 1, y to the south) of longitudes and latitudes (degrees) in Web Mercator."""
    lat = np.radians(np.clip(lon_lat[:, 1], -MAX_LATITUDE, MAX_LATITUDE))
    return np.stack([lon_lat[:, 0] / 360 + 0.5, 0.5 - np.arcsinh(np.tan(lat)) / (2 * np.pi)], axis=1)
