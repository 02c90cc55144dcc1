"""Valid times of observations: in UTC, after the first weather radars and not ahead of the clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.errors import FutureFrame, NotARadarFile
from model.core.times import utc_text
from model.core.units import FloatArray

FIRST_RADAR: Final = np.datetime64("1940-01-01T00:00")
CLOCK_TOLERANCE: Final = np.timedelta64(15, "m")
"""Valid times may be this far ahead of the clock of this machine: clocks differ, and some services write the end of a
period before it is over. Local time of the eastern hemisphere, written as UTC, is further ahead."""


def observation_time(moment: datetime) -> np.datetime64:
    """Return a valid time (UTC, a datetime without zone) as datetime64[ns] after `check_times`.

    The check comes first: datetime64[ns] overflows silently outside of the years 1678 to 2262.
    """
    check_times(np.array([moment], "datetime64[us]"))
    return np.datetime64(moment, "ns")


def parse_observation_time(text: str, date_format: str, problem: str, hint: str) -> np.datetime64:
    """Parse a valid time (UTC) by a format of `strptime`.

    Raises
    ------
    NotARadarFile
        The text does not have the format (`problem`), or the time fails `check_times`.
    """
    try:
        moment = datetime.strptime(text, date_format)  # noqa: DTZ007  (UTC: datetime64 has no zone)
    except ValueError:
        raise NotARadarFile(problem, hint=hint) from None
    return observation_time(moment)


def observation_times(moments: Sequence[tuple[int, ...]], name: str) -> NDArray[np.datetime64]:
    """Return valid times of (year, month, day, hour, minute, second, microsecond), to the millisecond.

    Raises
    ------
    NotARadarFile
        A moment of the variable `name` is no date, or fails `check_times`.
    FutureFrame
        A moment is ahead of the clock.
    """
    try:
        dates = [datetime(*moment) for moment in moments]  # type: ignore[arg-type]  # noqa: DTZ001  (seven numbers; UTC)
    except ValueError as error:
        raise NotARadarFile(f"{name} holds an invalid time ({error})", hint="Correct the times") from None
    times = np.array([observation_time(date) for date in dates], "datetime64[us]")
    # Floating-point days are some microseconds off; no frame is dated that closely.
    return (times + np.timedelta64(500, "us")).astype("datetime64[ms]").astype("datetime64[ns]")


def in_time_order(values: FloatArray, times: NDArray[np.datetime64]) -> tuple[FloatArray, NDArray[np.datetime64]]:
    """Return frames [t, y, x] and their valid times in the order of time; frames in order are not copied.

    Raises
    ------
    NotARadarFile
        The numbers of frames and times differ.
    """
    if times.size != len(values):
        raise NotARadarFile(f"the file has {len(values)} frames and {times.size} times", hint="Give one time per frame")
    order = np.argsort(times, kind="stable")
    in_order = np.array_equal(order, np.arange(order.size))
    return (values, times) if in_order else (values[order], times[order])


def check_times(times: NDArray[np.datetime64]) -> None:
    """Check that a radar can have observed at these times (UTC).

    Raises
    ------
    NotARadarFile
        A time is before the first weather radars.
    FutureFrame
        A time is ahead of the clock by more than `CLOCK_TOLERANCE`.
    """
    if (early := times[times < FIRST_RADAR]).size:
        raise NotARadarFile(
            f"the time {utc_text(early[0])} is before the first weather radars", hint="Correct the times"
        )
    now = np.datetime64(datetime.now(UTC).replace(tzinfo=None))
    if (ahead := times[times > now + CLOCK_TOLERANCE]).size:
        raise FutureFrame(
            f"the time {utc_text(ahead[0])} is ahead of this machine's clock, {utc_text(now.astype('datetime64[m]'))}",
            hint="Times must be UTC: correct those in the file, or set the clock",
        )
