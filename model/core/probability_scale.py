"""The colour scale of probabilities: pale yellow through orange to brown, unlike the blue, violet and red of rain.

The colours are those of ColorBrewer's YlOrBr (Harrower and Brewer 2003, doi:10.1179/000870403235002042), pale for
unlikely: lightness only falls, so that the order can be read with a colour vision deficiency and in a grey print. A
scale through green would not do: with a red-green deficiency its middle is the grey of no data. Below 2 % nothing is
drawn, as over dry ground; no data is hatched, as in pictures of rain.
"""

from __future__ import annotations

from typing import Final

from model.core.colour_scale import ColourScale, colour_classes

PROBABILITY_SCALE: Final = ColourScale(
    classes=colour_classes(
        (
            (2, "#fff7be"),
            (5, "#feeaa0"),
            (10, "#fed87a"),
            (20, "#fec14c"),
            (30, "#fea332"),
            (40, "#f5851f"),
            (50, "#e66a11"),
            (60, "#cf5004"),
            (70, "#ae3e03"),
            (80, "#892f05"),
            (90, "#662506"),
        )
    ),
    unit="%",
    per_unit=0.01,
    tolerance=0.01,
)
