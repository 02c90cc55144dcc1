"""Hours of the day, in a time zone, in which no messages are sent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Self
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class QuietHours:
    """From `start` to `end` of each day, local time of `zone`; past midnight where `end` is the earlier one."""

    start: time
    end: time
    zone: ZoneInfo

    @classmethod
    def parse(cls, text: str, zone: ZoneInfo) -> Self:
        """Return the hours of a text such as "22:00-06:00".

        Raises
        ------
        ValueError
            It is none.
        """
        found = re.fullmatch(r"(\d\d:\d\d)-(\d\d:\d\d)", text)
        if found is None or found[1] == found[2]:
            raise ValueError(f"{text!r} is not a time from one hour to another")
        start, end = (time.fromisoformat(part) for part in found.groups())
        return cls(start, end, zone)

    def end_after(self, moment: datetime) -> datetime | None:
        """Return when the quiet hours end (UTC) that `moment` lies in; None where it lies in none."""
        local = moment.astimezone(self.zone)
        clock = local.time().replace(tzinfo=None)
        if self.start < self.end:
            if not self.start <= clock < self.end:
                return None
            day = local.date()
        else:
            if self.end <= clock < self.start:
                return None
            day = local.date() + timedelta(days=1 if clock >= self.start else 0)
        end = datetime.combine(day, self.end, self.zone).astimezone(UTC)
        return max(end, moment)
