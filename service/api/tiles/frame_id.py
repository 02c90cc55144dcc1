"""How addresses of tiles name a frame: by its times, and by its content, so that a tile never changes.

`20260601T120000Z-4be1a63e5c1f` is the frame that was observed at that time,
`20260601T120000Z-20260601T123000Z-91b2257960b3` the forecast for 12:30 from the reference time 12:00. The last part is
the version: it changes when a frame is issued again. Without it the address names the newest version. A number is a
time in seconds since 1970, as in older addresses of RainViewer, and `latest` the newest observed frame.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import Path, Query

from service.api.errors import NoSuchFrame

LATEST: Final = "latest"
VERSION_LENGTH: Final = 12
TIME: Final = "%Y%m%dT%H%M%SZ"
PATTERN: Final = re.compile(r"(\d{8}T\d{6}Z)(?:-(\d{8}T\d{6}Z))?(?:-([0-9a-f]{12}))?")
SECONDS: Final = re.compile(r"\d{1,11}")


@dataclass(frozen=True)
class FrameId:
    """A frame: an observed one, whose two times are the same, or a lead step. Without times, the newest."""

    reference_time: datetime | None = None
    valid_time: datetime | None = None
    version: str | None = None

    @property
    def observed(self) -> bool:
        """Whether it was observed."""
        return self.reference_time == self.valid_time

    def __str__(self) -> str:
        if self.reference_time is None or self.valid_time is None:
            return LATEST
        times = [self.reference_time] if self.observed else [self.reference_time, self.valid_time]
        return "-".join([*(f"{time:{TIME}}" for time in times), *filter(None, [self.version])])


def parse_frame_id(text: str) -> FrameId:
    """Return the frame of an address.

    Raises
    ------
    NoSuchFrame
        It is no frame.
    """
    if text == LATEST:
        return FrameId()
    try:
        if SECONDS.fullmatch(text):
            time = datetime.fromtimestamp(int(text), UTC)
            return FrameId(time, time)
        found = PATTERN.fullmatch(text)
        if found is not None:
            reference, valid = (_time(part) for part in (found[1], found[2] or found[1]))
            return FrameId(reference, valid, found[3])
    except (ValueError, OverflowError, OSError):
        pass
    raise no_such_frame(f"{text[:80]!r} names no frame")


def _time(text: str) -> datetime:
    return datetime.strptime(text, TIME).replace(tzinfo=UTC)


def no_such_frame(what: str) -> NoSuchFrame:
    """Return the error of a frame that is not there."""
    return NoSuchFrame(what, where="frame", hint="tiles.json lists the frames")


FrameText = Annotated[
    str,
    Path(
        max_length=64,
        description="A frame's id, as tiles.json and weather-maps.json list it; or `latest`, the newest observed one.",
        examples=["20260601T120000Z-20260601T123000Z-91b2257960b3"],
    ),
]
FrameQuery = Annotated[
    str, Query(max_length=64, description="A frame's id, of the list; default: the newest observed frame.")
]
