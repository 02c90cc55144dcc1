"""Times in queries."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

DATE_AND_CLOCK: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}")


def _text(time: object) -> object:
    """Refuse a number, which Pydantic reads as seconds since 1970."""
    if isinstance(time, str) and DATE_AND_CLOCK.match(time) is None:
        raise ValueError("must be a time such as 2026-06-01T12:00:00Z")
    return time


def _to_utc(time: datetime) -> datetime:
    # At either end of the calendar a change of zone, or a microsecond more, leaves it.
    if not 1 < time.year < 9999:
        raise ValueError("must be of the years 2 to 9998")
    return time.astimezone(UTC)


UtcTime = Annotated[AwareDatetime, BeforeValidator(_text), AfterValidator(_to_utc)]
"""An RFC 3339 time with its zone, as UTC."""
