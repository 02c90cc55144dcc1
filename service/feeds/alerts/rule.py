"""Rules of alerts, each a table `[[feed.alert]]` below its feed.

[[feed.alert]]
name = "underpass"
lon = 4.90              # a place; or an `area`; or the feed itself: `max_data_age`, `status`
lat = 52.37
area = "catchment.geojson"  # a file with a polygon, in longitude and latitude
statistic = "highest"   # of the area's pixels: mean (default) or highest, of rain rate and probability
min_coverage = 0.9      # share of the area with data from which on it may count as dry. Default: 0.9
rain_rate = 10          # mm/h that the forecast reaches; and, or instead:
probability = 0.4       # that a probability reaches, of at least
threshold = 10          # mm/h, one of the feed's `probabilities`
either = true           # whether rain_rate or probability suffices; by default both are needed
cost_loss = 0.2         # cost of acting on a warning over the loss that it prevents, for a suggested limit
within = 60             # minutes from now
clear_rain_rate = 5     # a raised alert clears below this; by default below rain_rate
clear_probability = 0.2 # ... and below this
raise_after = 2         # nowcasts in a row that raise it. Default: 1
clear_after = 3         # nowcasts in a row that clear it. Default: 1
unknown_after = 30      # minutes for which the rule cannot be judged until that is told; by default it is not
max_data_age = 20       # minutes; of the feed: its newest frame is older
status = ["unavailable"]  # of the feed: it has one of these
severity = "severe"     # minor, moderate (default), severe or extreme
channels = ["https://duty.example.org/rain", "mailtos://${MAIL_USER}:${MAIL_PASSWORD}@example.org"]
quiet_hours = "22:00-06:00"  # in which no messages are sent
time_zone = "Europe/Amsterdam"  # of the quiet hours, and of the times in messages. Default: UTC
min_interval = 30       # minutes between two messages that say that it is raised
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, model_validator

from model.core.errors import InputError
from model.core.warning_condition import WarningCondition
from service.feeds.alerts.quiet_hours import QuietHours

Watched = Literal["point", "area", "feed"]
Statistic = Literal["mean", "highest"]
Severity = Literal["minor", "moderate", "severe", "extreme"]
"""As in the Common Alerting Protocol 1.2."""

MAX_CHANNELS: Final = 10
MAX_MINUTES: Final = 24 * 60
OF_AREAS: Final = ("statistic", "min_coverage")
OF_PLACES: Final = (
    "rain_rate",
    "probability",
    "threshold",
    "within",
    "clear_rain_rate",
    "clear_probability",
    "cost_loss",
)
OF_FEEDS: Final = ("max_data_age", "status")
NOT_DECISIVE: Final = frozenset(
    {"severity", "channels", "quiet_hours", "time_zone", "min_interval", "unknown_after", "cost_loss"}
)
"""Keys that change nothing of when an alert is raised."""
LIMITS_OF_PROBABILITY: Final = frozenset({"name", "probability", "clear_probability", "raise_after", "clear_after"})
"""Keys that change nothing of what a nowcast says of a rule."""


class BadRule(InputError):
    """A rule of an alert cannot be used."""

    code = "bad-feed"


class AlertRule(BaseModel):
    """One rule; the fields are the keys of the TOML table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")
    lon: float | None = Field(None, ge=-180, le=180, allow_inf_nan=False)
    lat: float | None = Field(None, ge=-90, le=90, allow_inf_nan=False)
    area: Path | None = None
    statistic: Statistic = "mean"
    min_coverage: float = Field(0.9, gt=0, le=1)
    rain_rate: float | None = Field(None, gt=0, allow_inf_nan=False)
    probability: float | None = Field(None, gt=0, le=1)
    threshold: float | None = Field(None, gt=0, allow_inf_nan=False)
    either: bool = False
    cost_loss: float | None = Field(None, gt=0, lt=1)
    within: float | None = Field(None, gt=0, le=MAX_MINUTES, allow_inf_nan=False)
    clear_rain_rate: float | None = Field(None, gt=0, allow_inf_nan=False)
    clear_probability: float | None = Field(None, gt=0, le=1)
    raise_after: int = Field(1, ge=1, le=100)
    clear_after: int = Field(1, ge=1, le=100)
    unknown_after: float | None = Field(None, ge=0, le=MAX_MINUTES, allow_inf_nan=False)
    max_data_age: float | None = Field(None, gt=0, le=MAX_MINUTES, allow_inf_nan=False)
    status: tuple[Literal["delayed", "partial", "unavailable"], ...] = ()
    severity: Severity = "moderate"
    channels: tuple[str, ...] = Field((), max_length=MAX_CHANNELS)
    quiet_hours: str | None = None
    time_zone: str = "UTC"
    min_interval: float = Field(0.0, ge=0, le=7 * MAX_MINUTES, allow_inf_nan=False)

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse what contradicts itself."""
        self._check_watched()
        if self.watches == "feed":
            self._check_feed()
        else:
            self._check_rain()
        for channel in self.channels:
            if not re.match(r"[a-z][a-z0-9+.-]*://.", channel):
                raise self.bad("channels", "one of them is no address", "Write https://... or a URL of Apprise")
        try:
            _ = self.zone
        except (ValueError, OSError, LookupError):
            hint = "Write a name of the time zone database, such as Europe/Amsterdam"
            raise self.bad("time_zone", f"{self.time_zone!r} is not known", hint) from None
        try:
            _ = self.quiet
        except ValueError as error:
            raise self.bad("quiet_hours", str(error), 'Write such as "22:00-06:00"') from None
        return self

    def _check_watched(self) -> None:
        place, area = self.lon is not None or self.lat is not None, self.area is not None
        feed = self.max_data_age is not None or bool(self.status)
        if (self.lon is None) != (self.lat is None):
            raise self.bad("lat" if self.lat is None else "lon", "this key is missing", "A place is lon and lat")
        if place + area + feed != 1:
            what = "it watches several things" if place + area + feed else "it watches nothing"
            raise self.bad("", what, "Give lon and lat, or area, or max_data_age and status, in a rule of its own")
        for key in OF_AREAS:
            if key in self.model_fields_set and not area:
                raise self.bad(key, "this key belongs to rules on areas", "Give area, or leave it out")

    def _check_feed(self) -> None:
        for key in (*OF_PLACES, "either", "raise_after", "clear_after", "unknown_after"):
            if key in self.model_fields_set:
                raise self.bad(key, "this key belongs to rules on places and areas", "Make it a rule of its own")

    def _check_rain(self) -> None:
        if self.rain_rate is None and self.probability is None:
            raise self.bad("rain_rate", "there is no condition", "Give rain_rate, or probability and threshold")
        if self.within is None:
            raise self.bad("within", "this key is missing", "Give the minutes from now that it watches")
        if (self.probability is None) != (self.threshold is None):
            key = "threshold" if self.threshold is None else "probability"
            hint = "A probability is that of at least a threshold, in mm/h"
            raise self.bad(key, "this key is missing", hint)
        if self.cost_loss is not None and self.probability is None:
            hint = "It is what a suggested limit of probability is best for: give probability and threshold, too"
            raise self.bad("cost_loss", "the rule has no probability", hint)
        for key, clear, limit in (
            ("clear_rain_rate", self.clear_rain_rate, self.rain_rate),
            ("clear_probability", self.clear_probability, self.probability),
        ):
            if clear is not None and (limit is None or clear > limit):
                hint = f"Give {key.removeprefix('clear_')}, and the lower limit to clear"
                raise self.bad(key, "it is not below the limit that raises", hint)

    def check_feed_gives(self, thresholds_mm_h: tuple[float, ...], *, reach_minutes: float | None) -> None:
        """Check that the feed's nowcasts have what the rule asks for.

        Parameters
        ----------
        thresholds_mm_h
            Thresholds of the feed's probabilities (mm h-1).
        reach_minutes
            How far they reach from now on, where that is known.

        Raises
        ------
        BadRule
            They do not.
        """
        if self.threshold is not None and not any(math.isclose(self.threshold, one) for one in thresholds_mm_h):
            known = ", ".join(f"{one:g}" for one in thresholds_mm_h) or "none"
            hint = f"Add it to the feed's probabilities ({known}), or choose one of them"
            raise self.bad("threshold", f"the feed has no probability of {self.threshold:g} mm/h", hint)
        if self.within is not None and reach_minutes is not None and self.within > reach_minutes:
            what = f"the feed's nowcasts reach {max(0.0, reach_minutes):g} min from now"
            raise self.bad("within", what, "Give fewer minutes, or a larger lead_time of the feed")

    def bad(self, key: str, what: str, hint: str) -> BadRule:
        """Return the error for a key of this rule."""
        return BadRule(what, where=f"alert {self.name!r}, {key}" if key else f"alert {self.name!r}", hint=hint)

    @property
    def watches(self) -> Watched:
        """What the rule is about."""
        return "area" if self.area is not None else "feed" if self.lon is None else "point"

    def relative_to(self, folder: Path) -> Self:
        """Return the rule with the path of its area from a folder on."""
        if self.area is None:
            return self
        return self.model_copy(update={"area": folder / self.area.expanduser()})

    def condition(self, *, raised: bool) -> WarningCondition:
        """Return the condition that raises the alert of a place or an area; if `raised`, that by which it stays so."""
        rate, probability = self.rain_rate, self.probability
        if raised:
            rate = rate if self.clear_rain_rate is None else self.clear_rain_rate
            probability = probability if self.clear_probability is None else self.clear_probability
        return WarningCondition(
            within_minutes=self.within or 0.0, rain_rate_mm_h=rate, probability=probability, either=self.either
        )

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of quiet hours and messages."""
        return ZoneInfo(self.time_zone)

    @property
    def quiet(self) -> QuietHours | None:
        """The quiet hours."""
        return None if self.quiet_hours is None else QuietHours.parse(self.quiet_hours, self.zone)

    def digest(self) -> str:
        """Return the digest of what decides when the alert is raised: a rule of another digest begins anew."""
        return self._digest(NOT_DECISIVE)

    def watched(self) -> str:
        """Return the digest of what a nowcast says of the rule: place or area, and condition but for probabilities."""
        return self._digest(NOT_DECISIVE | LIMITS_OF_PROBABILITY)

    def _digest(self, without: frozenset[str]) -> str:
        decisive = self.model_dump(mode="json", exclude={*without, "area"})
        decisive["area"] = None if self.area is None else self.area.name  # the folder may differ from worker to worker
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
