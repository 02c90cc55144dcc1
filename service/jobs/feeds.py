"""Feeds: folders where radar frames arrive, named in a TOML file.

[[feed]]
name = "helsinki"
folder = "/data/radar/helsinki"
pattern = "*.h5"        # which files are frames; their names sort in order of time
model = "auto"
steps = 12
out = "/data/nowcasts"  # folder of the nowcasts; by default the folder of the frames
probabilities = [0.5, 2, 10]  # thresholds (mm/h); by default 0.1, 0.5, 2, 5 and 10; [] for none
field = "expected"      # which field of a model with a distribution is published; by default the model's own
members = 20            # by default none
frames = 8              # how many files are read for one nowcast; by default as many as the model needs
max_age = 30            # minutes that a frame may be behind the newest one and still be forecast
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from model.core.catalog import AUTO
from model.core.errors import InputError
from model.core.forecast_output import DEFAULT_THRESHOLDS_MM_H, FIELDS, ForecastField, ForecastOutput, parse_thresholds
from model.core.manifest import MAX_LEAD_STEPS
from model.core.model_info import ANY_TIME_STEP
from service.jobs.job import Problem, problem_of

NOWCAST_SUFFIX: Final = ".nowcast.nc"
"""Appended to the name of the newest frame to name its nowcast. Files with this suffix are never frames."""


class BadFeed(InputError):
    """The file of feeds, or one feed, cannot be used."""

    code = "bad-feed"


class Feed(BaseModel):
    """One folder to watch; the fields are the keys of the TOML table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")
    folder: Path
    pattern: str = Field("*", min_length=1)
    model: str = AUTO
    steps: int = Field(12, ge=1, le=MAX_LEAD_STEPS)
    out: Path | None = None
    frames: int | None = Field(None, ge=1, le=1000)
    variable: str | None = None
    zr: str | None = None
    field: ForecastField | None = None
    probabilities: tuple[float, ...] = DEFAULT_THRESHOLDS_MM_H
    members: int = 0
    max_age: float = Field(30.0, ge=0, allow_inf_nan=False)

    @field_validator("probabilities", mode="before")
    @classmethod
    def _parse_probabilities(cls, value: object) -> object:
        """Parse a list that is written as in the form of an upload, such as "0.5,2" or "default"."""
        return parse_thresholds(value) if isinstance(value, str) else value

    @property
    def forecast_output(self) -> ForecastOutput:
        """What its nowcasts hold. The members of each start time differ from those of the others."""
        return ForecastOutput(field=self.field, thresholds_mm_h=self.probabilities, members=self.members)

    @property
    def output_folder(self) -> Path:
        """The folder of the nowcasts."""
        return self.folder if self.out is None else self.out

    @property
    def max_behind(self) -> int:
        """Number of newer frames that make a frame older than `max_age`, even at the shortest time step."""
        return math.floor(self.max_age / ANY_TIME_STEP.min_minutes)

    def output(self, frame: str) -> Path:
        """Return the file of the nowcast that starts from the frame of that name."""
        return self.output_folder / f"{frame}{NOWCAST_SUFFIX}"


@dataclass
class Feeds:
    """The valid feeds, and the problems of the others."""

    feeds: list[Feed] = dataclass_field(default_factory=list)
    problems: list[Problem] = dataclass_field(default_factory=list)

    def find(self, name: str) -> Feed | None:
        """Return the feed of that name, if there is one."""
        return next((feed for feed in self.feeds if feed.name == name), None)


def read_feeds(path: Path) -> Feeds:
    """Read the feeds of a TOML file, if it exists. A bad feed becomes a problem and does not stop the others."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Feeds()
    except (OSError, UnicodeDecodeError) as error:
        return _only(BadFeed(f"it cannot be read ({error})", where=str(path), hint="Make it a readable file"))
    except tomllib.TOMLDecodeError as error:
        return _only(BadFeed(f"it is not TOML: {error}", where=str(path), hint="Correct that line"))
    unknown = (f"unknown key {key!r}" for key in document.keys() - {"feed"})
    hint = "Feeds are tables [[feed]]"
    found = Feeds(problems=[problem_of(BadFeed(what, where=str(path), hint=hint)) for what in unknown])
    tables = document.get("feed", [])
    if not isinstance(tables, list):
        return _only(BadFeed("feed is not a list of tables", where=str(path), hint="Write [[feed]], not [feed]"))
    for number, table in enumerate(tables, start=1):
        try:
            feed = _feed(table, number, path)
            if any(feed.name == other.name for other in found.feeds):
                raise BadFeed(
                    f"two feeds are called {feed.name!r}", where=f"{path}: feed.name", hint="Give each its own name"
                )
        except BadFeed as error:
            found.problems.append(problem_of(error))
        else:
            found.feeds.append(feed)
    return found


def _feed(table: Any, number: int, path: Path) -> Feed:  # noqa: ANN401 - parsed TOML
    label = repr(table["name"]) if isinstance(table, dict) and "name" in table else str(number)
    where = f"{path}: feed {label}"
    try:
        feed = Feed.model_validate(table)
        _ = feed.forecast_output
    except InputError as error:
        raise BadFeed(error.what, where=f"{where}, {error.where}", hint=error.hint) from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise _bad_value(first["type"], first["msg"], f"{where}, {key}" if key else where) from None
    base = path.absolute().parent
    feed = feed.model_copy(
        update={
            "folder": base / feed.folder.expanduser(),
            "out": None if feed.out is None else base / feed.out.expanduser(),
        }
    )
    for key, folder in (("folder", feed.folder), ("out", feed.output_folder)):
        if not folder.is_dir():
            raise BadFeed(
                f"{folder} is not a folder", where=f"{where}, {key}", hint="Make the folder, or correct its path"
            )
    return feed


def _bad_value(kind: str, message: str, where: str) -> BadFeed:
    if kind == "extra_forbidden":
        return BadFeed("unknown key", where=where, hint=f"The keys are {', '.join(Feed.model_fields)}")
    if kind == "missing":
        return BadFeed("this key is missing", where=where, hint="Each feed needs a name and a folder")
    if where.endswith(", field"):
        return BadFeed(message, where=where, hint=f"Choose one of {', '.join(FIELDS)}, or leave it out")
    return BadFeed(message, where=where, hint="Correct the value")


def _only(error: BadFeed) -> Feeds:
    return Feeds(problems=[problem_of(error)])
