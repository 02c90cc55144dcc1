"""One frame of rain, or of probability, as a picture."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.core.colour_scale import DRY_INDEX, ColourScale
from model.core.rain_scale import RAIN_SCALE
from model.core.units import FloatArray
from service.render.forecast_reader import MAX_SIDE

PICTURE_SIDE: Final = 720
"""Small grids are enlarged by an integer factor up to this side (pixels), so that each pixel stays a square."""
_HATCH_PERIOD: Final = 10


def picture_size(shape: tuple[int, int], side: int = PICTURE_SIDE, max_side: int = MAX_SIDE) -> tuple[int, int]:
    """Return height and width of the picture of a grid of that shape (ny, nx)."""
    block = -(-max(shape) // max_side)
    ny, nx = (-(-pixels // block) for pixels in shape)
    factor = max(1, side // max(ny, nx))
    return ny * factor, nx * factor


def palette_indices(frame: FloatArray, side: int = PICTURE_SIDE, scale: ColourScale = RAIN_SCALE) -> NDArray[np.uint8]:
    """Return palette indices [y, x] of a north-up frame, enlarged up to `side`, hatched where there is no data."""
    factor = max(1, side // max(frame.shape))
    index = scale.class_index(frame).repeat(factor, axis=0).repeat(factor, axis=1)
    rows, columns = np.ogrid[: index.shape[0], : index.shape[1]]
    stripe = (rows + columns) % _HATCH_PERIOD < _HATCH_PERIOD // 2
    index[(index == scale.no_data_index) & stripe] = scale.no_data_index + 1
    return index


def palette_image(index: NDArray[np.uint8], scale: ColourScale = RAIN_SCALE) -> Image.Image:
    """Return a Pillow image (mode P) of palette indices [y, x]."""
    image = Image.fromarray(index)
    image.putpalette([channel for colour in scale.palette for channel in colour])
    return image


def frame_png(frame: FloatArray, scale: ColourScale = RAIN_SCALE) -> bytes:
    """Return a PNG with a palette of a north-up frame [y, x] in the scale's values.

    What is below the first class is transparent, no data is hatched grey.
    """
    file = io.BytesIO()
    palette_image(palette_indices(frame, scale=scale), scale).save(
        file, "PNG", transparency=DRY_INDEX, compress_level=6
    )
    return file.getvalue()
