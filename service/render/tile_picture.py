"""A tile of the map as PNG or WebP."""

from __future__ import annotations

import io
from typing import Final, Literal

import numpy as np
from PIL import Image

from model.core.colour_scale import DRY_RANK, NO_DATA_RANK, ColourScale
from service.render.frame_ranks import Ranks
from service.render.picture import palette_image

TileFormat = Literal["png", "webp"]

HATCH_PERIOD: Final = 8
"""Pixels; sides of tiles are multiples of it, so that the hatching goes on from one tile to the next."""
NO_DATA_OPACITY: Final = (170, 60)
"""Of the two greys of the hatching, of 255: the map below is still to be read."""
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
    return _encoded(palette_image(index, scale), opacity, file_format)


def coverage_picture(ranks: Ranks, scale: ColourScale, file_format: TileFormat) -> bytes:
    """Return a picture of ranks [y, x] that is transparent where there is data, and hatched grey where not."""
    return tile_picture(np.where(ranks == NO_DATA_RANK, ranks, DRY_RANK), scale, file_format)


def black_picture(ranks: Ranks) -> bytes:
    """Return a PNG of ranks [y, x] that is transparent where there is data, and black where there is none."""
    image = Image.fromarray((ranks == NO_DATA_RANK).astype(np.uint8))
    image.putpalette([0] * 6)
    return _encoded(image, bytes([COVERED, NOT_COVERED]), "png")


def _encoded(image: Image.Image, opacity: bytes, file_format: TileFormat) -> bytes:
    file = io.BytesIO()
    if file_format == "png":
        image.save(file, "PNG", transparency=opacity, compress_level=6)
    else:
        image.info["transparency"] = opacity
        image.convert("RGBA").save(file, "WEBP", lossless=True, method=4, quality=20)
    return file.getvalue()
