"""The base map in the browser: land, sea and towns are drawn where they are, and cells are sent small and once."""

from itertools import pairwise

import httpx
import numpy as np
import pytest
from playwright.sync_api import expect

from service.ground.cell import EXTENT
from service.ground.pack import CellId, shipped_ground
from service.render.web_mercator import MapPicture

DRAW = """async ({ tile, layer, colours, at }) => {
  const { Cells } = await import(new URL("static/ground/cell.js", document.baseURI));
  const paint = await import(new URL("static/ground/paint.js", document.baseURI));
  const cells = new Cells(await (await fetch("ground/index.json")).json());
  const level = cells.index.levels.filter((level) => level.zoom <= tile.z).at(-1);
  const shift = tile.z - level.cells;
  await cells.load(`${level.cells}/${tile.x >> shift}/${tile.y >> shift}`);
  const canvas = Object.assign(document.createElement("canvas"), { width: 256, height: 256 });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  paint[layer](pen, cells.ofTile(tile, () => {}), tile, 256, colours, { graticule: false });
  const { data } = pen.getImageData(0, 0, 256, 256);
  return Array.from({ length: 65536 }, (_, i) => i).filter((i) => data[4 * i + 3] > 128 && (at ?? i) === i)
    .map((i) => {
      const [red, green, blue] = data.subarray(4 * i, 4 * i + 3);
      return [i % 256, i >> 8, red > Math.max(green, blue) ? "red" : green > blue ? "green" : "blue"];
    });
}"""
"""Draws a tile, and returns column, row and colour of each pixel that has one."""
CLEAR = dict.fromkeys(
    ("sea", "land", "lake", "river", "coast", "casing", "border", "region", "graticule", "name", "halo", "dot"), "#0000"
)


@pytest.fixture(scope="module")
def drawn(browser_context, north):
    """The pixels of the tile at a place: columns, rows and colours; and the tile as a picture of the map."""
    page = browser_context.new_page()
    page.goto(north.url)

    def draw(zoom, lon, lat, layer, *, only_there=False, **colours):
        around = MapPicture.around(zoom, lon, lat, 256)
        x, y = int((around.left + 128) // 256), int((around.top + 128) // 256)
        tile = {"z": zoom, "x": x, "y": y}
        picture = MapPicture.of_tile(zoom, x, y, 256)
        column, row = position(picture, lon, lat)
        at = 256 * int(row) + int(column) if only_there else None
        pixels = page.evaluate(DRAW, {"tile": tile, "layer": layer, "colours": {**CLEAR, **colours}, "at": at})
        return {(column, row): colour for column, row, colour in pixels}, picture

    yield draw
    page.close()


def position(picture, lon, lat):
    """Column and row of a place in a picture."""
    around = MapPicture.around((picture.world // 256).bit_length() - 1, lon, lat, 256)
    return around.left + 128 - picture.left, around.top + 128 - picture.top


@pytest.mark.parametrize("zoom", [4, 6, 9])
def test_land_sea_and_lakes_are_where_they_are(drawn, zoom):
    lake = {(5.4, 52.75): "red"} if zoom > 4 else {}
    for (lon, lat), colour in ({(5.12, 52.09): "green", (5.8, 52.2): "green", (4.2, 52.6): "blue"} | lake).items():
        pixels, _ = drawn(zoom, lon, lat, "fills", only_there=True, sea="#00f", land="#0f0", lake="#f00")
        assert list(pixels.values()) == [colour]


@pytest.mark.parametrize("zoom", [5, 7, 9, 11])
def test_a_town_is_drawn_within_a_pixel_of_its_place(drawn, zoom):
    for lon, lat in ((4.88969, 52.37403), (153.02809, -27.46794), (-90.07507, 29.95465)):
        pixels, picture = drawn(zoom, lon, lat, "lines", dot="#f00")
        place = np.array(position(picture, lon, lat))
        apart = np.array(list(pixels)) + 0.5 - place
        dot = apart[np.abs(apart).max(axis=1) < 6]
        assert len(dot) > 4
        assert np.abs(dot.mean(axis=0)).max() <= 1


def test_a_coast_is_drawn_where_the_cell_has_it(drawn):
    """Every pixel of the line is at the coast as Python reads it: two readers of one format."""
    zoom, lon, lat = 9, 4.76, 52.96
    pixels, picture = drawn(zoom, lon, lat, "lines", coast="#f00")
    side = picture.world >> 5
    x, y = int(picture.left // side), int(picture.top // side)
    points = [
        np.linspace(one, other, 2 + 4 * int(np.abs(other - one).max()))
        for kind in ("land", "lakes")
        for line in shipped_ground().cell(CellId(5, x, y)).lines[kind]
        for one, other in pairwise(line.points)
    ]
    shown = (np.concatenate(points) * side / EXTENT) + [x * side - picture.left, y * side - picture.top]
    shown = shown[np.all((shown > -2) & (shown < 258), axis=1)]
    found = np.array(list(pixels)) + 0.5
    assert len(found) > 100
    assert max(np.abs(shown - each).max(axis=1).min() for each in found) <= 1.0


def test_cells_are_sent_compressed_and_kept_for_ever(north):
    with httpx.Client(base_url=north.url) as client:
        index = client.get("/ground/index.json").json()
        assert index["base_map"] is None
        path = f"/ground/{index['version']}/0/0/0"
        response = client.get(path)
        assert response.headers["content-encoding"] == "gzip"
        assert "immutable" in response.headers["cache-control"]
        assert int(response.headers["content-length"]) < 120_000
        again = client.get(path, headers={"If-None-Match": response.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get(path, headers={"Accept-Encoding": "identity"}).content == response.content
        assert client.get(f"/ground/{index['version']}/5/2/13").status_code == 204  # the Pacific
        assert client.get("/ground/000000000000/0/0/0").status_code == 404


COLOUR = """() => {
  const canvas = document.querySelector(".leaflet-ground-pane canvas");
  return canvas && Array.from(canvas.getContext("2d").getImageData(5, 5, 1, 1).data);
}"""


def test_the_map_has_its_ground_in_both_schemes_and_names_its_sources(live, north):
    live.goto(f"{north.url}/?map=4/0/-30")  # the Atlantic is in the corner of each tile
    expect(live.locator(".leaflet-control-attribution")).to_have_text("Natural Earth, GeoNames (CC BY 4.0)")
    expect(live.locator(".leaflet-control-scale-line")).to_have_text("1000 km")
    expect(live.locator(".ground-degrees .lon", has_text="30°")).to_be_visible()
    light = live.evaluate(COLOUR)
    assert min(light[:3]) > 200
    live.emulate_media(color_scheme="dark")
    live.wait_for_function(f"() => ({COLOUR})()[0] < 60")
    assert max(live.evaluate(COLOUR)[:3]) < 60
    live.emulate_media(color_scheme="light")
