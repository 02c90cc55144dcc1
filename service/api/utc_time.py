"""Times in queries."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime


def _to_utc(time: datetime) -> datetime:
    # At either end of the calendar a change of zone, or a microsecond more, leaves it.
    if not 1 < time.year < 9999:
        raise ValueError("must be of the years 2 to 9998")
    return time.astimezone(UTC)


UtcTime = Annotated[AwareDatetime, AfterValidator(_to_utc)]
"""An RFC 3339 time with its zone, as UTC."""
