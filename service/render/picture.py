"""One frame of rain as a picture."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.core.rain_scale import DRY_INDEX, NO_DATA_INDEX, PALETTE, class_index
from model.core.units import FloatArray

PICTURE_SIDE: Final = 720
"""Small grids are enlarged by an integer factor up to this side (pixels), so that each pixel stays a square."""
_HATCH_PERIOD: Final = 10


def palette_indices(rain_rate_mm_h: FloatArray, side: int = PICTURE_SIDE) -> NDArray[np.uint8]:
    """Return palette indices [y, x] of a north-up frame, enlarged up to `side`, hatched where there is no data."""
    factor = max(1, side // max(rain_rate_mm_h.shape))
    index = class_index(rain_rate_mm_h).repeat(factor, axis=0).repeat(factor, axis=1)
    rows, columns = np.ogrid[: index.shape[0], : index.shape[1]]
    stripe = (rows + columns) % _HATCH_PERIOD < _HATCH_PERIOD // 2
    index[(index == NO_DATA_INDEX) & stripe] = NO_DATA_INDEX + 1
    return index


def palette_image(index: NDArray[np.uint8]) -> Image.Image:
    """Return a Pillow image (mode P) of palette indices [y, x]."""
    image = Image.fromarray(index)
    image.putpalette([channel for colour in PALETTE for channel in colour])
    return image


def frame_png(rain_rate_mm_h: FloatArray) -> bytes:
    """Return a PNG with a palette of a north-up frame [y, x]: dry is transparent, no data is hatched grey."""
    file = io.BytesIO()
    palette_image(palette_indices(rain_rate_mm_h)).save(file, "PNG", transparency=DRY_INDEX, compress_level=6)
    return file.getvalue()
