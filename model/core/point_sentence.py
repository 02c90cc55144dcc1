"""The forecast for one place as a sentence, in the languages of `model/core/sentences/`, a file for each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import cache
from importlib.resources import files
from typing import Final

from model.core.point_outlook import PointOutlook
from model.core.probability_summary import LIKELY

DEFAULT_LANGUAGE: Final = "en"
LANGUAGES: Final = (DEFAULT_LANGUAGE, "de")
MOST_PERCENT: Final = 99
"""A stored probability of 1 is no certainty."""


@dataclass(frozen=True, kw_only=True)
class SentenceStyle:
    """How a sentence is written.

    Attributes
    ----------
    language : str
        One of `LANGUAGES`.
    zone : tzinfo, optional
        Times are told as clock times of this zone; None: as minutes from now.
    start_in_minutes : bool
        Whether the start is told in minutes all the same: "in 10 to 15 min" is what one can act on, while "now" is now.
    """

    language: str = DEFAULT_LANGUAGE
    zone: tzinfo | None = None
    start_in_minutes: bool = True


def sentence(outlook: PointOutlook, now: datetime, style: SentenceStyle | None = None) -> str:
    """Return what is to be told of a place, such as "light rain in 10 to 15 min, likely over by 15:05; 85 % sure".

    Parameters
    ----------
    outlook
        What is to be told.
    now
        The time from which minutes are counted.
    style
        How; by default in English, in minutes.
    """
    return _Writer(outlook, now, style or SentenceStyle()).sentence()


def no_coverage(language: str = DEFAULT_LANGUAGE) -> str:
    """Return the sentence for a place outside of the radar's area."""
    return messages(language)["noCoverage"]


@cache
def messages(language: str) -> Mapping[str, str]:
    """Return the messages of a language by key."""
    text = files("model.core").joinpath("sentences", f"{language}.json").read_text(encoding="utf-8")
    found: dict[str, str] = json.loads(text)
    return found


class _Writer:
    """Writes one sentence: a clause for each thing that is known."""

    def __init__(self, outlook: PointOutlook, now: datetime, style: SentenceStyle) -> None:
        self._outlook = outlook
        self._now = now
        self._zone = style.zone
        self._start_in_minutes = style.start_in_minutes or style.zone is None
        self._messages = messages(style.language)
        self._noun = self._messages[outlook.precipitation]

    def sentence(self) -> str:
        outlook = self._outlook
        if outlook.state == "no-forecast":
            return self._text("noForecast")
        if outlook.state == "no-data":
            return self._text("noData", noun=self._noun)
        if outlook.state in ("dry", "dry-where-known"):
            return self._dry()
        what = self._what(outlook.intensity)
        if outlook.may_reach is not None:
            what += self._text("mayReach", intensity=self._text(f"intensity.{outlook.may_reach}"))
        clauses = [self._start(what), self._heaviest(), self._end(), self._again(), self._later(), self._chance()]
        return "".join(clauses)

    def _dry(self) -> str:
        outlook = self._outlook
        if outlook.state == "dry-where-known":
            known = outlook.frames - outlook.frames_without_data
            return self._text("dry.someKnown", noun=self._noun, known=known, frames=outlook.frames)
        dry = self._text("dry", noun=self._noun, until=self._time("until", outlook.until))
        if outlook.probability is None:
            return dry + self._not_sure()
        if outlook.basis == "members":
            return dry + self._sure(1 - outlook.probability)
        return dry + self._text("dry.atMost", percent=max(1, round(100 * outlook.probability)))

    def _start(self, what: str) -> str:
        """Return that it falls now, or from when on: a range, as the start lies between two frames at the least."""
        outlook = self._outlook
        if outlook.state == "raining":
            return self._text("raining", what=what)
        if outlook.state == "possible" and outlook.basis == "probabilities":
            return self._text("possible.at", what=what, at=self._time("at", outlook.likeliest))
        kind, first, last = outlook.state, outlook.starts_from, outlook.starts_by
        if last is None:
            return self._text("possible", what=what)
        if first is None:
            return self._text("coming.by", what=what, by=self._time("by", last))
        if not self._start_in_minutes:
            return self._text(f"{kind}.between", what=what, **{"from": self._clock(first), "to": self._clock(last)})
        earliest, latest = self._minutes(first), max(1, self._minutes(last))
        if 0 < earliest < latest:
            return self._text(f"{kind}.range", what=what, **{"from": earliest, "to": latest})
        return self._text(f"{kind}.within", what=what, to=latest)

    def _heaviest(self) -> str:
        time = self._outlook.heaviest
        return "" if time is None else self._text("heaviest", at=self._time("at", time))

    def _end(self) -> str:
        outlook = self._outlook
        if outlook.end is None:
            return ""
        if outlook.end == "unknown":
            return self._text("end.unknown")
        if outlook.over_by is not None:
            key = "end.over" if outlook.basis == "field" else "end.overLikely"
            return self._text(key, by=self._time("by", outlook.over_by))
        key = "end.mayLast" if outlook.end == "may-last" else "end.lasts"
        return self._text(key, last=self._time("last", outlook.until))

    def _again(self) -> str:
        """Return when the next spell is, where what comes later does not tell it."""
        outlook = self._outlook
        if outlook.again is None or (outlook.later_time is not None and outlook.later_time <= outlook.again):
            return ""
        key = "again" if outlook.basis == "field" else "again.likely"
        return self._text(key, at=self._time("at", outlook.again))

    def _later(self) -> str:
        outlook = self._outlook
        if outlook.later is None:
            return ""
        return self._text("later", what=self._what(outlook.later), at=self._time("at", outlook.later_time))

    def _chance(self) -> str:
        outlook = self._outlook
        if outlook.probability is None:
            return "" if outlook.state == "raining" else self._not_sure()
        if outlook.state in ("raining", "coming") or outlook.probability >= LIKELY:
            return self._sure(outlook.probability)
        percent = round(100 * outlook.probability)
        if outlook.basis == "members":
            return self._text("chance.share", percent=percent) if percent else self._unlikely()
        return self._text("chance.then", percent=max(1, percent))

    def _not_sure(self) -> str:
        """Return what is known instead of how sure it is: a probability of more than any rain, or nothing."""
        threshold, probability = self._outlook.threshold_mm_h, self._outlook.threshold_probability
        if threshold is None or probability is None:
            return self._text("sure.notKnown")
        percent = max(1, round(100 * probability))
        return self._text("chance.ofThreshold", percent=percent, threshold=self._number(threshold))

    def _number(self, value: float) -> str:
        return f"{value:g}".replace(".", self._messages["decimal"])

    def _sure(self, probability: float) -> str:
        """Return how sure it is. All of the members are no certainty, and a likeliest time is a lower bound."""
        outlook = self._outlook
        if outlook.basis != "members":
            return self._text("sure.atLeast", percent=min(MOST_PERCENT, round(100 * probability)))
        if probability >= 1:
            return self._text("sure.moreThan", percent=100 - self._resolution())
        return self._text("sure.share", percent=min(MOST_PERCENT, round(100 * probability)))

    def _unlikely(self) -> str:
        return self._text("chance.unlikely", percent=self._resolution())

    def _resolution(self) -> int:
        """Return what one member is of all, in percent."""
        return max(1, round(100 / max(1, self._outlook.members)))

    def _what(self, intensity: str | None) -> str:
        return self._noun if intensity is None else self._text(f"{self._outlook.precipitation}.{intensity}")

    def _time(self, key: str, time: datetime | None) -> str:
        """Return a time as the message of that key has it: a clock time, or minutes from now."""
        if time is None:
            return ""
        if self._zone is not None:
            return self._text(f"{key}.clock", time=self._clock(time))
        return self._text(f"{key}.minutes", minutes=max(1, self._minutes(time)))

    def _clock(self, time: datetime) -> str:
        local = time.astimezone(self._zone)
        return f"{local.hour:02}:{local.minute:02}"

    def _minutes(self, time: datetime) -> int:
        return round((time - self._now).total_seconds() / 60)

    def _text(self, key: str, **values: object) -> str:
        return self._messages[key].format_map(values)
