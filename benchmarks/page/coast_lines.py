"""`python -m benchmarks.page.coast_lines LAND FILE... --out PICTURE`: map tiles with coast lines on them.

Draws the newest frame of each radar file at four zooms, as the service draws its tiles, and coast lines over them,
which come from elsewhere and know nothing of the radar's projection. LAND is `land-10m.json` of the npm package
`world-atlas` (Natural Earth, TopoJSON): `npm pack world-atlas`.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from benchmarks.command_line import argument_parser
from model.core.forecast_file import write_netcdf
from model.core.rain_scale import RAIN_SCALE
from model.readers import read
from service.render.forecast_reader import RainFile
from service.render.map_tile import on_map
from service.render.tile_picture import tile_picture
from service.render.web_mercator import MAX_LATITUDE, MapPicture

TILE: Final = 256
SIDE_TILES: Final = 2
ZOOMS: Final = (5, 6, 7, 9)
COLOURS: Final = 48
SEA, COAST = (243, 245, 244), (90, 60, 40)


def coast_lines(land: Path) -> Iterator[NDArray[np.float64]]:
    """Yield the arcs [point, lon and lat] of a TopoJSON file: sums of steps, in its own units."""
    topology = json.loads(land.read_text())
    scale, shift = (np.array(topology["transform"][name]) for name in ("scale", "translate"))
    for arc in topology["arcs"]:
        yield np.cumsum(np.array(arc), axis=0) * scale + shift


def draw_map(file: RainFile, z: int, lon: float, lat: float, coasts: list[NDArray[np.float64]]) -> Image.Image:
    """Return tiles around a place, side by side as a viewer shows them, with coast lines."""
    size = SIDE_TILES * TILE
    tile = MapPicture.around(z, lon, lat, TILE)
    more = (size - TILE) / 2
    middle = MapPicture(tile.left - more, tile.top - more, size, tile.world)
    canvas = Image.new("RGB", (size, size), SEA)
    for x in range(int(middle.left) // TILE, int(middle.left + size) // TILE + 1):
        for y in range(int(middle.top) // TILE, int(middle.top + size) // TILE + 1):
            ranks = on_map(file, file.rain_frame(len(file) - 1), MapPicture.of_tile(z, x, y, TILE))
            shown = Image.open(io.BytesIO(tile_picture(ranks, RAIN_SCALE, "png"))).convert("RGBA")
            canvas.paste(shown, (round(x * TILE - middle.left), round(y * TILE - middle.top)), shown)
    pen = ImageDraw.Draw(canvas)
    for arc in coasts:
        lon_, lat_ = arc[:, 0], np.clip(arc[:, 1], -MAX_LATITUDE, MAX_LATITUDE)
        column = (lon_ + 180) / 360 * middle.world - middle.left
        row = (0.5 - np.arcsinh(np.tan(np.radians(lat_))) / (2 * np.pi)) * middle.world - middle.top
        if column.max() > 0 and column.min() < size and row.max() > 0 and row.min() < size:
            pen.line(list(zip(column.tolist(), row.tolist(), strict=True)), fill=COAST, width=1)
    pen.text((6, 6), f"zoom {z}", fill=(0, 0, 0))
    return canvas


def main() -> None:
    """Draw the sheet: a row for each file, a column for each zoom."""
    parser = argument_parser(__doc__)
    parser.add_argument("land", type=Path, help="land-10m.json of world-atlas.")
    parser.add_argument("files", type=Path, nargs="+", help="Radar files; of each the newest frame is drawn.")
    parser.add_argument(
        "--at", action="append", default=[], metavar="LON,LAT", help="Middle of the maps, for each file."
    )
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    coasts = list(coast_lines(args.land))
    size = SIDE_TILES * TILE
    sheet = Image.new("RGB", (size * len(ZOOMS), size * len(args.files)))
    with tempfile.TemporaryDirectory() as folder:
        for number, (path, place) in enumerate(zip(args.files, args.at, strict=True)):
            target = Path(folder) / f"{number}.nc"
            write_netcdf(read([path]).last(1), target)
            file = RainFile.open(target)
            lon, lat = map(float, place.split(","))
            for column, z in enumerate(ZOOMS):
                sheet.paste(draw_map(file, z, lon, lat, coasts), (column * size, number * size))
    sheet.quantize(COLOURS).save(args.out)


if __name__ == "__main__":
    main()
