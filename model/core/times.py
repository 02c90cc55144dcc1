"""Times in UTC: their text form, and the step between them."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.datetime64]


def rfc3339(time: datetime) -> str:
    """Return `2010-08-26T00:05:00Z`: for programs, and in addresses."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def basic_text(time: datetime) -> str:
    """Return `20100826T000500Z`, the basic format of ISO 8601: in names of files and objects."""
    return f"{time.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def utc_text(time: np.datetime64 | datetime) -> str:
    """Return `2010-08-26T00:05Z`, with seconds where there are any: for people."""
    if isinstance(time, datetime):
        time = np.datetime64(time.astimezone(UTC).replace(tzinfo=None))
    return f"{np.datetime_as_string(time, unit='s').removesuffix(':00')}Z"


def most_common_step(times: Times) -> np.timedelta64:
    """Return the most common step between two or more times in order; of equally common ones the shortest."""
    steps, counts = np.unique(np.diff(times), return_counts=True)
    return np.timedelta64(steps[np.argmax(counts)])
