"""Towns and coasts of the base map lie where the tiles of the radar have them: within a pixel of the tile.

The radar's grid is made by pyproj around a place: the pixels in which a town, or a coast, lies are wet. Then a picture
of the map is made of it as tiles are, and what is wet there is compared with the base map's own positions.
"""

from itertools import pairwise

import numpy as np
import pytest
from pyproj import CRS, Transformer

from service.ground.cell import EXTENT
from service.ground.pack import CellId, shipped_ground
from service.render.map_tile import on_map
from service.render.web_mercator import MapPicture
from tests.service.render.test_map_tile import ALBERS, STEREOGRAPHIC, grid_of, opened

PLACES = {
    "polar stereographic": (STEREOGRAPHIC, "Copenhagen", (12.56553, 55.67594), (4.7593, 52.9599)),
    "albers": (ALBERS, "Brisbane", (153.02809, -27.46794), (153.43, -28.0003)),
    "latitude and longitude": ("EPSG:4326", "Houston", (-95.36327, 29.76328), (-80.1937, 25.7743)),
}
"""A CRS, a town with its longitude and latitude, and a point at a coast."""
ZOOMS = (4, 6, 8, 10)
SIDE = 96
FINE = 0.25
"""Size of the radar's pixels, in pixels of the tile."""


def picture_at(zoom, lon, lat):
    """The middle of what tiles of 256 pixels show around a place."""
    tile, less = MapPicture.around(zoom, lon, lat, 256), (256 - SIDE) / 2
    return MapPicture(tile.left + less, tile.top + less, SIDE, tile.world)


def cell_at(zoom, lon, lat):
    """The cell that a tile at a place is drawn from, and its left, top and side, in pixels of the world."""
    level = [level for level in shipped_ground().levels if level.zoom <= zoom][-1]
    picture = MapPicture.around(zoom, lon, lat, 256)
    side = picture.world >> level.cells
    x, y = int((picture.left + 128) // side), int((picture.top + 128) // side)
    return shipped_ground().cell(CellId(level.cells, x, y)), np.array([x * side, y * side]), side


def wet(folder, crs, zoom, lon, lat, points):
    """Rows and columns of a picture around a place that are wet where the radar's pixels at lon and lat are."""
    picture = picture_at(zoom, lon, lat)
    to_grid = Transformer.from_crs("EPSG:4326", CRS.from_user_input(crs), always_xy=True)
    metres = 40_075_016.7 / picture.world * np.cos(np.radians(lat)) * FINE
    size = metres / 111_195 if crs == "EPSG:4326" else metres
    pixels = int(SIDE / FINE * 1.2)
    grid = grid_of(crs, size, to_grid.transform(lon, lat), (pixels, pixels))
    rain = np.zeros(grid.shape, np.float32)
    x, y = to_grid.transform(*points.T)
    columns, rows = np.rint((x - grid.x[0]) / size).astype(int), np.rint((grid.y[0] - y) / size).astype(int)
    inside = (rows >= 0) & (rows < pixels) & (columns >= 0) & (columns < pixels)
    rain[rows[inside], columns[inside]] = 5.0
    file = opened(folder, grid, rain)
    return np.argwhere(on_map(file, file.rain_frame(0), picture) > 1.0)[:, ::-1] + 0.5, picture


@pytest.mark.parametrize("zoom", ZOOMS)
@pytest.mark.parametrize("projection", PLACES)
def test_a_town_is_where_the_radar_has_it(tmp_path, projection, zoom):
    crs, name, (lon, lat), _ = PLACES[projection]
    cell, corner, side = cell_at(zoom, lon, lat)
    picture = picture_at(zoom, lon, lat)
    town = next(town for town in cell.towns if town.name == name)
    shown = corner + np.array([town.x, town.y]) * side / EXTENT - [picture.left, picture.top]
    found, _ = wet(tmp_path, crs, zoom, lon, lat, np.array([[lon, lat]]))
    assert np.abs(found.mean(axis=0) - shown).max() <= 1.0


@pytest.mark.parametrize("zoom", ZOOMS)
@pytest.mark.parametrize("projection", PLACES)
def test_a_coast_is_where_the_radar_has_it(tmp_path, projection, zoom):
    crs, _, _, (lon, lat) = PLACES[projection]
    cell, corner, side = cell_at(zoom, lon, lat)
    picture = picture_at(zoom, lon, lat)
    lines = [corner + line.points * side / EXTENT - [picture.left, picture.top] for line in cell.lines["land"]]
    shown = np.concatenate([dense(line) for line in lines])
    near = np.all((shown > -2) & (shown < SIDE + 2), axis=1)
    assert near.sum() > 50
    east, south = (shown[near] + [picture.left, picture.top]).T / picture.world
    lon_lat = np.stack([east * 360 - 180, np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * south))))], axis=1)
    found, _ = wet(tmp_path, crs, zoom, lon, lat, lon_lat)
    inside = shown[np.all((shown > 2) & (shown < SIDE - 2), axis=1)]
    apart = np.abs(np.floor(found)[:, None] - np.floor(shown[near])[None]).max(axis=2)  # in whole pixels
    assert apart.min(axis=1).max() <= 1  # nothing is wet that is not at the coast
    assert np.abs(np.floor(inside)[:, None] - np.floor(found)[None]).max(axis=2).min(axis=1).max() <= 1  # all of it is
    nearest = shown[near][np.abs(found[:, None] - shown[near][None]).max(axis=2).argmin(axis=1)]
    assert np.abs((found - nearest).mean(axis=0)).max() < 0.2  # and there is no shift


def dense(points):
    """Points [point, 2] along the parts of a line that are in, or at, the picture, a quarter of a pixel apart."""
    parts = [np.empty((0, 2))]
    for one, other in pairwise(points):
        if np.all((np.maximum(one, other) > -4) & (np.minimum(one, other) < SIDE + 4)):
            count = int(np.ceil(np.abs(other - one).max() / 0.25)) + 1
            parts.append(np.linspace(one, other, count))
    return np.concatenate(parts)
