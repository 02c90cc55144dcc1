"""From which zoom on the map has room for the name of a place, beside those of more important places."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import numpy as np
from numpy.typing import NDArray

FIRST_ZOOM, LAST_ZOOM, NEVER = 3, 12, 99
LETTER, LINE, MARGIN = 6.6, 15.0, 5.0
"""Width of a letter, height of a name, and room around it, in pixels of the map (256 a tile)."""
BEFORE: Final = 7.0
"""Pixels from the middle of a place to its name, which stands to the right of it."""
ROOM: Final = {3: 1.6, 4: 1.4, 5: 1.4, 6: 1.4, 7: 1.3}
"""Of zooms that show much land at once: room around a name, as a multiple of its height and half its width."""
LEAST_ROOM: Final = 1.25
RANKS: Final = {3: 800, 4: 2_500, 5: 10_000, 6: 30_000, 7: 60_000, 8: 120_000}
"""How many places, by rank, may have a name at a zoom, however lonely they are."""

Box = tuple[float, float, float, float]


def label_zooms(lat: NDArray[np.float64], lon: NDArray[np.float64], names: list[str]) -> NDArray[np.uint8]:
    """Return the zoom from which each name is shown, of places (degrees) by rank; `NEVER` where there is no room.

    That is the lowest at which it touches no name that is shown, and would touch none of a place of a higher rank at
    the next zoom, where that may be shown. So no village takes the room of a city, and a name that is shown at a zoom
    is shown at all higher ones, wherever the map is.
    """
    zooms = np.full(len(lat), NEVER, np.uint8)
    east = (lon + 180) / 360 * 256
    south = (0.5 - np.arcsinh(np.tan(np.radians(np.clip(lat, -85, 85)))) / (2 * np.pi)) * 256
    for zoom in range(FIRST_ZOOM, LAST_ZOOM + 1):
        shown, waiting = _Taken(), _Taken()
        for place in range(min(len(lat), RANKS.get(zoom, len(lat)))):
            here, larger = (
                _box(east[place] * 2**scale, south[place] * 2**scale, names[place], ROOM.get(zoom, LEAST_ROOM))
                for scale in (zoom, zoom + 1)
            )
            if zooms[place] == NEVER and shown.has_room(here) and waiting.has_room(larger):
                zooms[place] = zoom
            if zooms[place] == NEVER:
                waiting.add(larger)
            else:
                shown.add(here)
    return zooms


def _box(x: float, y: float, name: str, room: float) -> Box:
    """Return left, top, right and bottom of a name with its dot and the room around it."""
    width, height = BEFORE + LETTER * len(name), LINE
    more_x, more_y = (room - 1) * width / 2 + MARGIN, (room - 1) * height + MARGIN / 2
    return x - BEFORE - more_x, y - height / 2 - more_y, x + width + more_x, y + height / 2 + more_y


class _Taken:
    """Boxes on the map, kept by squares, so that few have to be compared."""

    SIDE = 128.0

    def __init__(self) -> None:
        self._boxes: dict[tuple[int, int], list[Box]] = defaultdict(list)

    def has_room(self, box: Box) -> bool:
        return not any(
            box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
            for square in self._squares(box)
            for other in self._boxes[square]
        )

    def add(self, box: Box) -> None:
        for square in self._squares(box):
            self._boxes[square].append(box)

    def _squares(self, box: Box) -> list[tuple[int, int]]:
        left, top, right, bottom = (int(side // self.SIDE) for side in box)
        return [(column, row) for column in range(left, right + 1) for row in range(top, bottom + 1)]
