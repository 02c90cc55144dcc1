"""The words for rain at one place."""

from datetime import UTC, datetime, timedelta

import pytest

from service.api.nowcasts.point import summary
from service.api.nowcasts.types import PointValue

START = datetime(2026, 6, 1, 12, tzinfo=UTC)


def values(now, ahead):
    rains = [now, *ahead]
    return [
        PointValue(
            index=n,
            kind="forecast" if n else "observed",
            valid_time=START + timedelta(minutes=5 * n),
            lead_minutes=5 * n,
            rain_rate=rain,
        )
        for n, rain in enumerate(rains)
    ]


@pytest.mark.parametrize(
    ("now", "ahead", "state", "starts", "ends"),
    [
        (0, [0, 0, 0], "dry", None, None),
        (0, [0, None, 0], "dry-where-known", None, None),
        (None, [None, None], "no-data", None, None),
        (0, [0, 2, 0], "rain-coming", 10, 15),
        (None, [2, 2], "rain-coming", 5, None),
        (0, [2, None, 0], "rain-coming", 5, None),
        (2, [1, 0, 3], "raining", 15, 10),
        (2, [2, 2], "raining", None, None),
        (2, [0, 0], "raining", None, 5),
        (2, [None, 1], "raining", None, None),
        (2, [None, 0, 1], "raining", 15, None),
        (2, [0, None, 1], "raining", 15, 5),
        (0, [0.09, 0.1], "rain-coming", 10, None),
    ],
)
def test_summary(now, ahead, state, starts, ends):
    said = summary(values(now, ahead))
    at = [None if time is None else (time - START) / timedelta(minutes=1) for time in (said.starts, said.ends)]
    assert (said.state, *at) == (state, starts, ends)
