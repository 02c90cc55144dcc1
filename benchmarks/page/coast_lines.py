"""`python -m benchmarks.page.coast_lines FILE... --at LON,LAT --out PICTURE`: radar and base map.

Draws the newest frame of each radar file at four zooms, as the service draws its tiles, and over them the coasts,
borders and towns of the page's base map, which know nothing of the radar's projection.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.command_line import argument_parser
from model.core.forecast_file import write_netcdf
from model.core.rain_scale import RAIN_SCALE
from model.readers import read
from service.ground.cell import EXTENT, LINE_MARGIN
from service.ground.pack import CellId, shipped_ground
from service.render.forecast_reader import RainFile
from service.render.map_tile import on_map
from service.render.tile_picture import tile_picture
from service.render.web_mercator import MapPicture

TILE: Final = 256
SIDE_TILES: Final = 2
ZOOMS: Final = (5, 6, 7, 9)
COLOURS: Final = 48
SEA, COAST, NAME = (243, 245, 244), (90, 60, 40), (0, 0, 0)


def draw_map(file: RainFile, z: int, lon: float, lat: float) -> Image.Image:
    """Return tiles around a place, side by side as a viewer shows them, with the base map."""
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
    draw_ground(ImageDraw.Draw(canvas), z, middle)
    return canvas


def draw_ground(pen: ImageDraw.ImageDraw, z: int, picture: MapPicture) -> None:
    """Draw coasts, borders and towns of the cells that a picture lies in."""
    ground = shipped_ground()
    level = [level for level in ground.levels if level.zoom <= z][-1]
    side = picture.world >> level.cells
    columns, rows = (
        range(int(first // side), int((first + picture.size) // side) + 1) for first in (picture.left, picture.top)
    )
    for cell_x, cell_y in ((x, y) for x in columns for y in rows):
        cell = ground.cell(CellId(level.cells, cell_x, cell_y))
        corner = np.array([cell_x * side - picture.left, cell_y * side - picture.top])
        for line in (*cell.lines["land"], *cell.lines["lakes"], *cell.lines["borders"]):
            at_edge = (line.points <= -LINE_MARGIN) | (line.points >= EXTENT + LINE_MARGIN)
            cut = np.any(at_edge[:-1] & at_edge[1:], axis=1)  # where the cell ends, there is no coast
            points = corner + line.points * (side / EXTENT)
            for part in np.split(points, np.flatnonzero(cut) + 1):
                if len(part) > 1 and np.all((part.max(axis=0) > 0) & (part.min(axis=0) < picture.size)):
                    pen.line(list(map(tuple, part.tolist())), fill=COAST, width=1)
        for town in cell.towns:
            x, y = corner + np.array([town.x, town.y]) * (side / EXTENT)
            if town.zoom <= z and 0 <= x < picture.size and 0 <= y < picture.size:
                pen.ellipse((x - 2, y - 2, x + 2, y + 2), fill=NAME)
                pen.text((x + 5, y - 6), town.name, fill=NAME)
    pen.text((6, 6), f"zoom {z}", fill=NAME)


def main() -> None:
    """Draw the sheet: a row for each file, a column for each zoom."""
    parser = argument_parser(__doc__)
    parser.add_argument("files", type=Path, nargs="+", help="Radar files; of each the newest frame is drawn.")
    parser.add_argument(
        "--at", action="append", default=[], metavar="LON,LAT", help="Middle of the maps, for each file."
    )
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    size = SIDE_TILES * TILE
    sheet = Image.new("RGB", (size * len(ZOOMS), size * len(args.files)))
    with tempfile.TemporaryDirectory() as folder:
        for number, (path, place) in enumerate(zip(args.files, args.at, strict=True)):
            target = Path(folder) / f"{number}.nc"
            write_netcdf(read([path]).last(1), target)
            file = RainFile.open(target)
            lon, lat = map(float, place.split(","))
            for column, z in enumerate(ZOOMS):
                sheet.paste(draw_map(file, z, lon, lat), (column * size, number * size))
    sheet.quantize(COLOURS).save(args.out)


if __name__ == "__main__":
    main()
