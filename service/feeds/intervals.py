"""The interval at which a feed's frames come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from model.core.times import most_common_step


def common_interval_minutes(times: Sequence[datetime]) -> float | None:
    """Return the most common step (minutes) between UTC times in order; None for fewer than two."""
    if len(times) < 2:
        return None
    naive = np.array([time.replace(tzinfo=None) for time in times], "datetime64[s]")
    return float(most_common_step(naive) / np.timedelta64(1, "s")) / 60
