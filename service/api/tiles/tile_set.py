"""The frames that a map shows, of a feed or of one nowcast, and what is to be said about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import datetime, timedelta
from typing import Final, Literal

from service.api.tiles.frame_id import FrameId
from service.api.tiles.types import MapModel
from service.feeds.health import FeedStatus
from service.render.footprint import Bounds

DUE_SHARE: Final = 0.5
"""A frame is missing where none lies within this share of the interval around the time at which it is due."""


@dataclass(frozen=True)
class FrameObject:
    """Where a frame is stored: the key of the file that has it, and its id with the version."""

    key: str
    id: FrameId


@dataclass(frozen=True, kw_only=True)
class TiledForecast:
    """A forecast as a map shows it.

    Attributes
    ----------
    reference_time : datetime
        Its reference time.
    end : datetime
        Valid time of the last lead step.
    version : str
        Version of its frames.
    thresholds_mm_h : tuple of float
        Rain rates whose probabilities it has.
    model, note : str
        The version that made it, and what a user must know.
    scored_lead_minutes : float or None
        Beyond it nobody has scored the model.
    frames : list of FrameId
        Its lead steps that are shown, the oldest first.
    """

    reference_time: datetime
    end: datetime
    version: str
    thresholds_mm_h: tuple[float, ...]
    model: str | None
    note: str
    scored_lead_minutes: float | None
    frames: list[FrameId]


@dataclass(frozen=True, kw_only=True)
class TileSet:
    """Observed frames, the oldest first, and a forecast, whose frames come after them; no time is in both.

    `path`: address of the feed or nowcast. `changed`: when the newest of them came. `bounds`: of the grid;
    `data_bounds`: of the part of it that has data; `pixel_m`: its smaller side of a pixel. `coverage`: share of pixels
    with data, by frame.
    """

    kind: Literal["feed", "nowcast"]
    name: str
    path: str
    past: list[FrameId]
    forecast: TiledForecast | None
    now: datetime
    changed: datetime
    bounds: Bounds
    data_bounds: Bounds | None
    pixel_m: float
    coverage: dict[FrameId, float] = dataclass_field(default_factory=dict)
    status: FeedStatus | None = None
    reason: str = ""
    age_minutes: float | None = None
    interval_minutes: float | None = None
    radar_product: str = ""
    models: list[MapModel] = dataclass_field(default_factory=list)

    @property
    def frames(self) -> list[FrameId]:
        """All frames, the oldest first."""
        return [*self.past, *(self.forecast.frames if self.forecast else [])]

    @property
    def missing(self) -> list[datetime]:
        """Times between the observed frames at which one is due and missing."""
        return missing_times([frame.valid_time for frame in self.past if frame.valid_time], self.interval_minutes)


def missing_times(times: Sequence[datetime], interval_minutes: float | None) -> list[datetime]:
    """Return the times between the first and the last of `times` at which a frame is due and missing."""
    if interval_minutes is None or len(times) < 2:
        return []
    interval, missing, due = timedelta(minutes=interval_minutes), [], times[-1]
    while (due := due - interval) > times[0] + DUE_SHARE * interval:
        if all(abs(time - due) > DUE_SHARE * interval for time in times):
            missing.append(due)
    return missing[::-1]
