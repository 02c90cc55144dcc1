"""The colour scale of rain rate, for every picture: of the API, the web page, verification, training, benchmarks.

Blue through violet to dark red, as many weather services draw rain, but with lightness that only falls: the
order of two classes can be read without seeing hue, also with a colour vision deficiency and in a grey print.
Dry is transparent. No data is an opaque grey hatching, which no class resembles: it must never look like "no
rain".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.colors import BoundaryNorm, Colormap

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""


@dataclass(frozen=True)
class RainClass:
    """Rain rates from `lower` up to, but not including, `upper` (mm h-1; None: unbounded) and their colour."""

    lower: float
    upper: float | None
    colour: Colour

    @property
    def hex(self) -> str:
        """Return the colour as `#rrggbb`."""
        return hex_of(self.colour)


def hex_of(colour: Colour) -> str:
    """Return a colour as `#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _classes(table: tuple[tuple[float, str], ...]) -> tuple[RainClass, ...]:
    uppers = [lower for lower, _ in table[1:]] + [None]
    return tuple(
        RainClass(lower, upper, (int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)))
        for (lower, text), upper in zip(table, uppers, strict=True)
    )


RAIN_CLASSES: Final = _classes(
    (
        (0.1, "#afe5f6"),
        (0.5, "#78cdf5"),
        (1.0, "#4cb4f1"),
        (2.0, "#2f99e8"),
        (5.0, "#2e78d5"),
        (10.0, "#7653dd"),
        (20.0, "#aa10b5"),
        (30.0, "#aa024e"),
        (50.0, "#840223"),
        (100.0, "#430804"),
    )
)
UNIT: Final = "mm/h"
GROUND: Final[Colour] = (243, 245, 244)
"""Dry ground, below the frames. Light, so that the heaviest classes stand out most."""
NO_DATA: Final[tuple[Colour, Colour]] = ((138, 143, 150), (184, 189, 194))
"""The two greys of the hatching."""

DRY_INDEX: Final = 0
NO_DATA_INDEX: Final = len(RAIN_CLASSES) + 1
PALETTE: Final[tuple[Colour, ...]] = (GROUND, *(item.colour for item in RAIN_CLASSES), *NO_DATA)
_EDGES: Final = np.array([item.lower for item in RAIN_CLASSES], np.float32)


def class_index(rain_rate_mm_h: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return indices into `PALETTE`, of any shape: 0 dry, 1 to 10 the rain classes, NO_DATA_INDEX for NaN."""
    index = np.zeros(rain_rate_mm_h.shape, np.uint8)
    for edge in _EDGES:
        index += rain_rate_mm_h >= edge
    index[np.isnan(rain_rate_mm_h)] = NO_DATA_INDEX
    return index


def rain_colormap() -> tuple[Colormap, BoundaryNorm]:
    """Return the scale for matplotlib: rain rates (mm h-1) below the first class are transparent, NaN is grey."""
    from matplotlib.colors import BoundaryNorm, ListedColormap

    colours = ListedColormap([item.hex for item in RAIN_CLASSES]).with_extremes(bad=hex_of(NO_DATA[1]), under="none")
    edges = [*(item.lower for item in RAIN_CLASSES), 2 * RAIN_CLASSES[-1].lower]  # a colour bar needs an upper end
    return colours, BoundaryNorm(edges, len(RAIN_CLASSES))
