"""The configuration of a feed, a live radar: a table of a TOML file.

[[feed]]
name = "helsinki"
folder = "/data/radar/helsinki"  # where the frames arrive; or one of:
url = "s3://radar/helsinki/%Y/%m/%d"  # prefix in an object store, with the time (UTC) by which objects are filed
push = true             # files are sent to POST /v1/feeds/helsinki/frames
pattern = "*.h5"        # which files of a folder or an object store are frames
crop = [24, 59.5, 26, 61]  # west, south, east, north (degrees): the part of the frames that is kept and forecast
radar_product = "column maximum"  # what the radar makes its frames of, where the files do not tell
phase = "rain"          # what falls here, rain or snow, where that is known; by default answers say "precipitation"
interval = 5            # minutes between frames; by default that of the newest frames
delay = 4               # minutes that a frame may take from its valid time to its arrival
model = "auto"
lead_time = 60          # minutes of forecast from now on; or `steps`, of the frames' interval from the newest frame on
out = "/data/nowcasts"  # folder of the nowcasts as files; by default they are in the store only
probabilities = [0.5, 2, 10]  # thresholds (mm/h); by default 0.1, 0.5, 2, 5 and 10; [] for none
field = "expected"      # which field of a model with a distribution is published; by default the model's own
members = 20            # by default none
frames = 8              # how many frames a nowcast may read; by default three times as many as its model needs
max_age = 30            # minutes that a frame may be behind the newest one and still be forecast
products = ["cog", "accumulations", "png", "zarr"]  # what is made of each nowcast; by default nothing
retention = 7           # days for which frames and products are kept
locations = { town = [24.9, 60.2] }  # places by name, longitude and latitude, for OGC API - EDR
archive = "/data/archives/helsinki"  # folder of an archive for training, to which each day is added once it is complete
challengers = ["extrapolation", "persistence"]  # models that run in shadow, to compare their skill; by default none
recalibrate = true      # whether probabilities are recalibrated on the feed's own past, once there is enough of it
fall_back = "skill"     # run the best challenger by live skill in the place of the model; by default never
gauges = "/data/gauges.csv"  # rain gauges, which are the truth of alerts near them; by default the radar is
clock = "replay"        # what is now: by default the time; "replay": the time that `echocast feeds replay` replays;
                        # "frames": that of the newest frame
[[feed.alert]]          # a rule of an alert: service/feeds/alerts/rule.py
[feed.mqtt]             # in place of folder, url and push: notifications that announce files (see mqtt_config.py)
[feed.wis2]             # where published nowcasts are announced
[feed.edr]              # where they are announced as instances of OGC API - EDR
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from model.core.catalog import AUTO
from model.core.cropping import Box
from model.core.forecast_output import DEFAULT_THRESHOLDS_MM_H, ForecastField, ForecastOutput, parse_thresholds
from model.core.manifest import MAX_LEAD_STEPS
from model.core.model_info import ANY_TIME_STEP
from service.feeds.alerts.rule import AlertRule
from service.feeds.clock import ReplayClock, read_clock
from service.feeds.mqtt_config import EdrChannel, MqttSource, Wis2Topic
from service.feeds.products import Product

DEFAULT_STEPS: Final = 12

ARCHIVE_RETENTION_DAYS: Final = 2
"""A day is archived once it is over, in the course of the next one."""

STORE_SCHEMES: Final = ("s3", "gs", "az", "file")
TIME_DIRECTIVES: Final = ("Y", "m", "d", "j", "H")
"""Of `time.strftime`: those that may stand in the prefix of an object store."""

EVENTS_NAME: Final = "events"
"""The name that no feed may have."""

NOWCAST_SUFFIX: Final = ".nowcast.nc"
"""Appended to the name of the newest frame to name its nowcast. Files with this suffix are never frames."""


class Feed(BaseModel):
    """One live radar; the fields are the keys of the TOML table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")
    folder: Path | None = None
    url: str | None = None
    push: bool = False
    mqtt: MqttSource | None = None
    pattern: str = Field("*", min_length=1)
    crop: Box | None = None
    radar_product: str = Field("", max_length=64)
    phase: Literal["rain", "snow"] | None = None
    interval: float | None = Field(None, gt=0, le=24 * 60, allow_inf_nan=False)
    delay: float = Field(5.0, ge=0, le=24 * 60, allow_inf_nan=False)
    model: str = AUTO
    steps: int | None = Field(None, ge=1, le=MAX_LEAD_STEPS)
    lead_time: float | None = Field(None, gt=0, le=24 * 60, allow_inf_nan=False)
    out: Path | None = None
    frames: int | None = Field(None, ge=1, le=1000)
    variable: str | None = None
    zr: str | None = None
    field: ForecastField | None = None
    probabilities: tuple[float, ...] = DEFAULT_THRESHOLDS_MM_H
    members: int = 0
    products: tuple[Product, ...] = ()
    max_age: float = Field(30.0, ge=0, allow_inf_nan=False)
    retention: float = Field(7.0, gt=0, le=36500, allow_inf_nan=False)
    locations: dict[str, tuple[float, float]] = {}
    archive: Path | None = None
    challengers: tuple[str, ...] = ()
    recalibrate: bool = False
    fall_back: Literal["skill"] | None = None
    gauges: Path | None = None
    clock: Literal["system", "frames", "replay"] = "system"
    alert: tuple[AlertRule, ...] = ()
    wis2: Wis2Topic | None = None
    edr: EdrChannel | None = None

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        """Refuse a name whose address is that of something else."""
        if name == EVENTS_NAME:
            raise ValueError("/v1/feeds/events is the address of the events of all feeds")
        return name

    @field_validator("locations")
    @classmethod
    def _check_locations(cls, locations: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        """Refuse names that are no part of an address, and places that are not on earth."""
        for name, (lon, lat) in locations.items():
            if re.fullmatch(r"[\w.-]{1,64}", name) is None:
                raise ValueError(f"{name[:64]!r} is no name of letters, digits, '_', '.' and '-', at most 64")
            if not (-180 <= lon <= 180 and -90 <= lat <= 90):
                raise ValueError(f"{name} is not a longitude and a latitude in degrees")
        return locations

    @field_validator("probabilities", mode="before")
    @classmethod
    def _parse_probabilities(cls, value: object) -> object:
        """Parse a list that is written as in the form of an upload, such as "0.5,2" or "default"."""
        return parse_thresholds(value) if isinstance(value, str) else value

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        """Refuse what is no address of an object store, and times that are not those of prefixes."""
        if url is not None and urlsplit(url).scheme not in STORE_SCHEMES:
            raise ValueError(
                f"it is no address of an object store: {', '.join(f'{name}://' for name in STORE_SCHEMES)}"
            )
        if url is not None and set(re.findall(r"%(.?)", url)) - set(TIME_DIRECTIVES):
            raise ValueError(f"of times it may have {', '.join(f'%{name}' for name in TIME_DIRECTIVES)}")
        return url

    @field_validator("crop")
    @classmethod
    def _check_crop(cls, box: Box | None) -> Box | None:
        """Refuse what is no box on earth."""
        if box is not None:
            west, south, east, north = box
            if not (-360 <= west < east <= 360 and east - west <= 360 and -90 <= south < north <= 90):
                raise ValueError("it is no box of west, south, east, north in degrees")
        return box

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        """Refuse a feed that has no source, or several."""
        if sum([self.folder is not None, self.url is not None, self.push, self.mqtt is not None]) != 1:
            raise ValueError("it has one source: folder, url, push or mqtt")
        if self.clock == "replay" and self.folder is None:
            raise ValueError("frames are replayed into a folder: the clock replay needs one as source")
        return self

    @model_validator(mode="after")
    def _check_lead(self) -> Self:
        """Refuse a lead that is given twice."""
        if self.steps is not None and self.lead_time is not None:
            raise ValueError("steps and lead_time are two ways to say how far a nowcast reaches")
        if self.retention * 24 * 60 < self.max_age:
            raise ValueError("retention is shorter than max_age, and frames would go before their nowcasts")
        if self.archive is not None and self.retention < ARCHIVE_RETENTION_DAYS:
            raise ValueError("retention is shorter than 2 days, and frames would go before they are archived")
        return self

    @model_validator(mode="after")
    def _check_alerts(self) -> Self:
        """Refuse rules of one name, and those that the feed's nowcasts cannot answer."""
        names = [rule.name for rule in self.alert]
        for rule in self.alert:
            if names.count(rule.name) > 1:
                raise rule.bad("", f"two rules are called {rule.name!r}", "Give each its own name")
            rule.check_feed_gives(self.probabilities, reach_minutes=self._reach_minutes())
        return self

    def _reach_minutes(self) -> float | None:
        """Return how far nowcasts reach from now on, if their frames are in time; None where that is not known."""
        if self.lead_time is not None:
            return self.lead_time
        late = 0.0 if self.clock == "frames" else self.delay
        return None if self.interval is None else (self.steps or DEFAULT_STEPS) * self.interval - late

    @property
    def source(self) -> str:
        """Where its files arrive, as text: a folder, the address of an object store, `push`, or a topic."""
        return str(self.folder or self.url or ("push" if self.mqtt is None else f"mqtt {self.mqtt.topic}"))

    @property
    def is_received(self) -> bool:
        """Whether the service gets its files one by one, and stores them until they are read."""
        return self.push or self.mqtt is not None

    @property
    def forecast_output(self) -> ForecastOutput:
        """What its nowcasts hold. The members of each start time differ from those of the others."""
        return ForecastOutput(field=self.field, thresholds_mm_h=self.probabilities, members=self.members)

    @property
    def max_behind(self) -> int:
        """Number of newer frames that make a frame older than `max_age`, even at the shortest time step."""
        return math.floor(self.max_age / ANY_TIME_STEP.min_minutes)

    def now(self, newest: datetime) -> datetime:
        """Return the time from which leads count, by the feed's `clock`; `newest` is the time of its newest frame."""
        if self.clock == "system":
            return datetime.now(UTC)
        clock = self.replay_clock
        return newest if clock is None else clock.now()

    @property
    def replay_clock(self) -> ReplayClock | None:
        """The clock of the time that is replayed; None where nothing is, or its folder is not seen from here."""
        return read_clock(self.folder) if self.clock == "replay" and self.folder is not None else None

    def lead_steps(self, interval_minutes: float, reference_time: datetime) -> int:
        """Return the lead steps of a run: those that are asked for, or as many as `lead_time` takes from now on.

        Frames are minutes old when they arrive, so the age of the newest one is added, up to `max_age`.
        """
        if self.lead_time is None:
            return self.steps or DEFAULT_STEPS
        age = (self.now(reference_time) - reference_time).total_seconds() / 60
        minutes = self.lead_time + min(max(age, 0.0), self.max_age)
        return min(MAX_LEAD_STEPS, math.ceil(round(minutes / interval_minutes, 6)))

    def output(self, file: str) -> Path | None:
        """Return the path of the nowcast that starts from a file's newest frame; None where only the store has it."""
        return None if self.out is None else self.out / f"{PurePosixPath(file).name}{NOWCAST_SUFFIX}"
