"""How rain moves, on a coarse lattice of the domain, as a forecast file has it beside the frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.units import FloatArray

EASTWARD: Final = "eastward_motion_of_rain"
NORTHWARD: Final = "northward_motion_of_rain"
MOTION_X: Final = "motion_x"
MOTION_Y: Final = "motion_y"
"""Names of the variables and of their coordinates in a forecast file."""
MOTION_ATTRIBUTES: Final = {
    "units": "m s-1",
    "grid_mapping": "crs",
    "comment": "optical flow of the newest frames; missing where it does not rain",
}
"""CF has no standard name for the motion of a pattern."""


@dataclass(frozen=True, eq=False)
class RainMotion:
    """Velocity of the rain at the reference time.

    Attributes
    ----------
    x, y : ndarray
        Coordinates of the lattice [x], [y], in the grid's coordinate reference system.
    eastward, northward : ndarray
        Velocity [y, x] (m s-1), NaN where it does not rain.
    """

    x: NDArray[np.floating]
    y: NDArray[np.floating]
    eastward: FloatArray
    northward: FloatArray
