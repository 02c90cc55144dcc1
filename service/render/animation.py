"""Animations of a nowcast: the observed frames, then the forecast, each with its valid time."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from PIL import Image, ImageDraw, ImageFont

from model.core.colour_scale import Colour
from model.core.rain_scale import NO_DATA_INDEX, PALETTE, RAIN_CLASSES, UNIT
from model.core.units import FloatArray
from service.render.picture import palette_image, palette_indices

AnimationFormat = Literal["webp", "gif"]

MAX_SIDE: Final = 800
MAX_PIXELS: Final = 20_000_000
"""Pixels of all maps of one animation: bounds the memory for drawing it."""
MARGIN: Final = 12
HEADER: Final = 64
FOOTER: Final = 46
MIN_WIDTH: Final = 420
FRAME_MS: Final = 300
LAST_FRAME_MS: Final = 1500
INK: Final[Colour] = (24, 32, 40)
QUIET: Final[Colour] = (84, 94, 104)
OBSERVED: Final[Colour] = (84, 94, 104)
FORECAST: Final[Colour] = (176, 74, 0)
PAPER: Final[Colour] = (255, 255, 255)


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """A north-up frame (mm h-1) [y, x]; `lead_minutes` is at most 0 for an observed frame."""

    rain_rate: FloatArray
    valid_time: datetime
    lead_minutes: float
    forecast: bool


def side_of(frames: int) -> int:
    """Return the longest side (pixels) of the maps in an animation with this number of frames."""
    return min(MAX_SIDE, math.isqrt(MAX_PIXELS // frames))


def animate(frames: Iterable[LabelledFrame], *, side: int, file_format: AnimationFormat, title: str) -> bytes:
    """Return an animated WebP (lossless) or GIF of at least one frame, with maps about `side` pixels wide."""
    pictures = [_page(frame, title, side) for frame in frames]
    file = io.BytesIO()
    durations = [FRAME_MS] * (len(pictures) - 1) + [LAST_FRAME_MS]
    options = {"lossless": True, "quality": 30, "method": 0} if file_format == "webp" else {"disposal": 1}
    pictures[0].save(
        file, file_format, save_all=True, append_images=pictures[1:], duration=durations, loop=0, **options
    )
    return file.getvalue()


def _page(frame: LabelledFrame, title: str, side: int) -> Image.Image:
    """Draw one page, in mode P: header, map, legend. The indices of `PALETTE` stay valid."""
    rain = palette_image(palette_indices(frame.rain_rate, side))
    width = max(MIN_WIDTH, rain.width + 2 * MARGIN)
    page = Image.new("P", (width, HEADER + rain.height + FOOTER))
    colours = [*PALETTE, PAPER, INK, QUIET, FORECAST]
    page.putpalette([channel for colour in colours for channel in colour])
    draw = ImageDraw.Draw(page)
    ink = {colour: colours.index(colour) for colour in (INK, QUIET, FORECAST, PAPER)}
    draw.rectangle((0, 0, *page.size), fill=ink[PAPER])
    left = (width - rain.width) // 2
    page.paste(rain, (left, HEADER))
    draw.fontmode = "1"
    accent = ink[FORECAST if frame.forecast else OBSERVED]
    draw.rectangle((0, 0, width, 5), fill=accent)
    draw.text((MARGIN, 12), _heading(frame), fill=accent, font=ImageFont.load_default(18))
    draw.text((MARGIN, 37), title, fill=ink[QUIET], font=ImageFont.load_default(13))
    stamp = f"{frame.valid_time:%Y-%m-%d %H:%M} UTC"
    draw.text((width - MARGIN, 12), stamp, fill=ink[INK], font=ImageFont.load_default(18), anchor="ra")
    _legend(draw, top=HEADER + rain.height + 8, width=width, ink=ink[INK])
    return page


def _heading(frame: LabelledFrame) -> str:
    minutes = f"{abs(frame.lead_minutes):g} min"
    if frame.forecast:
        return f"Forecast +{minutes}"
    return "Observed" if frame.lead_minutes == 0 else f"Observed -{minutes}"


def _legend(draw: ImageDraw.ImageDraw, *, top: int, width: int, ink: int) -> None:
    cell = (width - 2 * MARGIN - 110) // len(RAIN_CLASSES)
    font = ImageFont.load_default(11)
    for index, item in enumerate(RAIN_CLASSES, start=1):  # as in PALETTE
        left = MARGIN + (index - 1) * cell
        draw.rectangle((left, top, left + cell - 1, top + 14), fill=index)
        draw.text((left, top + 18), f"{item.lower:g}", fill=ink, font=font)
    left = MARGIN + len(RAIN_CLASSES) * cell + 4
    draw.text((left, top + 18), UNIT, fill=ink, font=font)
    left += 38
    draw.rectangle((left, top, left + 14, top + 14), fill=NO_DATA_INDEX)
    for offset in range(0, 15, 5):
        draw.line((left, top + offset, left + offset, top), fill=NO_DATA_INDEX + 1, width=2)
    draw.text((left + 19, top + 1), "no data", fill=ink, font=font)
