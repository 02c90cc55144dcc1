"""The colour scale of rain rate, for every picture: of the API, the web page, verification, training, benchmarks.

Blue through violet to dark red, as many weather services draw rain, but with lightness that only falls: the
order of two classes can be read without seeing hue, also with a colour vision deficiency and in a grey print.
Dry is transparent. No data is an opaque grey hatching, which no class resembles: it must never look like "no
rain".
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from model.core.colour_scale import NO_DATA, ColourScale, colour_classes, hex_of

if TYPE_CHECKING:
    from matplotlib.colors import BoundaryNorm, Colormap

RAIN_SCALE: Final = ColourScale(
    classes=colour_classes(
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
    ),
    unit="mm/h",
)
RAINFALL_SCALE: Final = replace(RAIN_SCALE, unit="mm")
"""Of rainfall over a period: the colours of as many mm/h."""
RAIN_CLASSES: Final = RAIN_SCALE.classes
UNIT: Final = RAIN_SCALE.unit
NO_DATA_INDEX: Final = RAIN_SCALE.no_data_index
PALETTE: Final = RAIN_SCALE.palette


def class_index(rain_rate_mm_h: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return indices into `PALETTE`, of any shape: 0 dry, 1 to 10 the rain classes, NO_DATA_INDEX for NaN."""
    return RAIN_SCALE.class_index(rain_rate_mm_h)


def rain_colormap() -> tuple[Colormap, BoundaryNorm]:
    """Return the scale for matplotlib: rain rates (mm h-1) below the first class are transparent, NaN is grey."""
    from matplotlib.colors import BoundaryNorm, ListedColormap

    colours = ListedColormap([item.hex for item in RAIN_CLASSES]).with_extremes(bad=hex_of(NO_DATA[1]), under="none")
    edges = [*(item.lower for item in RAIN_CLASSES), 2 * RAIN_CLASSES[-1].lower]  # a colour bar needs an upper end
    return colours, BoundaryNorm(edges, len(RAIN_CLASSES))
