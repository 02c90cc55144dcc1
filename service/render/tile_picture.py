"""A tile of the map as PNG or WebP."""

from __future__ import annotations

import io
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.core.colour_scale import DRY_RANK, NO_DATA_RANK, Colour, ColourScale
from service.render.frame_ranks import Ranks
from service.render.palette_png import palette_png

TileFormat = Literal["png", "webp"]

HATCH_PERIOD: Final = 8
"""Pixels; sides of tiles are multiples of it, so that the hatching goes on from one tile to the next."""
NO_DATA_OPACITY: Final = (170, 60)
"""Of the two greys of the hatching, of 255: the map below is still to be read."""
BLACK: Final = (0, 0, 0)
COVERED, NOT_COVERED = 0, 255
"""Opacity of the black of coverage tiles."""


def tile_picture(ranks: Ranks, scale: ColourScale, file_format: TileFormat) -> bytes:
    """Return a picture of ranks [y, x]; what is below the first class is transparent, no data is hatched grey."""
    index = scale.index_of_rank[ranks]
    no_data = ranks == NO_DATA_RANK
    if no_data.any():
        rows, columns = np.ogrid[: index.shape[0], : index.shape[1]]
        index[no_data & ((rows + columns) % HATCH_PERIOD < HATCH_PERIOD // 2)] = scale.no_data_index + 1
    opacity = bytes([0, *[255] * len(scale.classes), *NO_DATA_OPACITY])
    return _encoded(index, scale.palette, opacity, file_format)


def coverage_picture(ranks: Ranks, scale: ColourScale, file_format: TileFormat) -> bytes:
    """Return a picture of ranks [y, x] that is transparent where there is data, and hatched grey where not."""
    return tile_picture(np.where(ranks == NO_DATA_RANK, ranks, DRY_RANK), scale, file_format)


def black_picture(ranks: Ranks) -> bytes:
    """Return a PNG of ranks [y, x] that is transparent where there is data, and black where there is none."""
    return palette_png((ranks == NO_DATA_RANK).astype(np.uint8), [BLACK, BLACK], bytes([COVERED, NOT_COVERED]))


def _encoded(index: NDArray[np.uint8], palette: tuple[Colour, ...], opacity: bytes, file_format: TileFormat) -> bytes:
    if file_format == "png":
        return palette_png(index, palette, opacity)
    image = Image.fromarray(index)
    image.putpalette([channel for colour in palette for channel in colour])
    image.info["transparency"] = opacity
    file = io.BytesIO()
    image.convert("RGBA").save(file, "WEBP", lossless=True, method=4, quality=20)
    return file.getvalue()
