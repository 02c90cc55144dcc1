"""The file of all cells of the base map: `ground.bin` has them compressed, one after another, `ground.json` where.

A level is one square of the whole world, cut into cells as map tiles of one zoom are. The page draws map tiles of a
zoom from the finest level that begins there. A cell that is not in the file is sea.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import mmap
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from service.ground.cell import Cell, decode_cell, encode_cell

GROUND: Final = Path(__file__).resolve().parents[1] / "web" / "ground"


class CellId(NamedTuple):
    """Zoom, column and row of a cell, as those of a map tile."""

    z: int
    x: int
    y: int


@dataclass(frozen=True, kw_only=True)
class Level:
    """The zoom at which the world is cut into this level's cells, and the zoom of map tiles from which it is drawn."""

    cells: int
    zoom: int


LEVELS: Final = (Level(cells=0, zoom=0), Level(cells=3, zoom=5), Level(cells=5, zoom=8))


class GroundPack:
    """The cells of a folder. What is not asked for stays on disk.

    Attributes
    ----------
    version : str
        Of its contents: in the addresses of cells, which never change.
    levels : list of Level
        From coarse to fine.
    """

    def __init__(self, folder: Path = GROUND) -> None:
        index = json.loads((folder / "ground.json").read_text())
        self.version: str = index["version"]
        self.levels = [Level(**level) for level in index["levels"]]
        self._places: dict[str, list[int]] = index["cells"]
        with (folder / "ground.bin").open("rb") as file:
            self._cells = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def compressed(self, cell: CellId) -> bytes | None:
        """Return a cell as gzip; None of one that is sea, or does not exist."""
        place = self._places.get("/".join(map(str, cell)))
        return None if place is None else self._cells[place[0] : sum(place)]

    def cell(self, cell: CellId) -> Cell:
        """Return a cell, which is empty where there is sea."""
        compressed = self.compressed(cell)
        return Cell() if compressed is None else decode_cell(gzip.decompress(compressed))


@cache
def shipped_ground() -> GroundPack:
    """Return the base map that comes with the package, opened once in a process."""
    return GroundPack()


def write_pack(cells: dict[CellId, Cell], folder: Path = GROUND) -> None:
    """Write the cells that are not empty."""
    written, places = bytearray(), {}
    for where, cell in sorted(cells.items()):
        if cell:
            compressed = gzip.compress(encode_cell(cell), 9, mtime=0)
            places["/".join(map(str, where))] = [len(written), len(compressed)]
            written += compressed
    (folder / "ground.bin").write_bytes(written)
    index = {
        "version": hashlib.sha256(written).hexdigest()[:12],
        "levels": [asdict(level) for level in LEVELS],
        "cells": places,
    }
    (folder / "ground.json").write_text(json.dumps(index, separators=(",", ":")) + "\n")
