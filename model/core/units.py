"""Rain rate arrays, and the limits of rain rate (mm h-1) and reflectivity (dBZ) that the whole tree shares."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

DRY_RAIN_RATE_MM_H: Final = 0.1
"""Below this rain rate a pixel counts as dry: operational radar composites resolve little less."""

MAX_VALID_DBZ: Final = 95.0
"""The end of the usual 8-bit scale of reflectivity, 0.5 * 255 - 32.5; no weather reflects as much."""
DEFAULT_MAX_DBZ: Final = 55.0
"""The hail cap: reflectivity above it comes from hail and counts as this value, 100 mm h-1 by Marshall and Palmer. The
WSR-88D's default cap, 53 dBZ or 104 mm h-1 by its own relation, is about the same rate; sites choose 51 to 55 dBZ by
climate (Fulton et al., 1998, Weather and Forecasting 13)."""
