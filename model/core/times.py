"""Times in UTC: their text form, and the step between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.datetime64]


def utc_text(time: np.datetime64) -> str:
    """Return `2010-08-26T00:05Z`, with seconds where there are any."""
    return f"{np.datetime_as_string(time, unit='s').removesuffix(':00')}Z"


def most_common_step(times: Times) -> np.timedelta64:
    """Return the most common step between two or more times in order; of equally common ones the shortest."""
    steps, counts = np.unique(np.diff(times), return_counts=True)
    return np.timedelta64(steps[np.argmax(counts)])
