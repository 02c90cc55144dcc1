"""Tags and file name of a GeoTIFF: quantity, unit and valid time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np

from model.core.errors import NotARadarFile, UnknownVariable
from model.core.times import utc_text
from model.readers.cf_variables import Quantity, quantity_of
from model.readers.observation_times import observation_time
from model.readers.source import GIVE_OBSERVATIONS

TIME_TAGS: Final = ("observationtime", "observation_time", "validtime", "valid_time", "nominaltime", "time")
CREATED_TAG: Final = "tifftag_datetime"
UNIT_TAGS: Final = ("units", "unit", "unittype")
TEXT_TAGS: Final = ("quantity", "title", "long_name", "standard_name", "tifftag_imagedescription")
TIME: Final = re.compile(
    r"(?<!\d)((?:19|20)\d\d)[-:]?(\d\d)[-:]?(\d\d)[TZ_ -]?(\d\d)(?P<colon>[-:h]?)(\d\d)(?:(?P=colon)(\d\d))?"
    r"(?:\.\d*)?(?=\D|$)"
)
ZONE: Final = re.compile(
    r"[ _]?(?P<half>[ap]m\b)?[ _]?\(?(?:utc|gmt|z)?(?P<offset>[-+](?:0?\d|1[0-4])(?::?(?:00|15|30|45))?)?\)?"
    r"(?![a-z\d])",
    re.IGNORECASE,
)
REFLECTIVITY: Final = re.compile(r"(?<![a-z])dbz|reflectivity|(?<![a-z0-9])TH(?![a-z0-9])", re.IGNORECASE)
RATE: Final = re.compile(
    r"mm *(?:/ *h|h *\^?-1|\*\* *-1)|rain.?(?:fall)?.?(?:rate|intensity)|(?<![a-z])(?:rate|rr)(?![a-z0-9])",
    re.IGNORECASE,
)
ACCUMULATION: Final = re.compile(r"accum|(?<![a-z])acrr(?![a-z])", re.IGNORECASE)
FORECAST: Final = re.compile(r"(?<![a-z])(?:nowcast|forecast|extrapolation)s?(?![a-z])", re.IGNORECASE)
LEAD: Final = re.compile(r"lead.?time|forecast.?(?:period|hour|minute|step)", re.IGNORECASE)
BRACKETED: Final = re.compile(r"[(\[]([^()\[\]]{1,40})[)\]]")
SCALED_UNIT: Final = re.compile(
    r"\d *[*x]? *mm *(?:/| h)|\.\d+ *[*x]? *dbz|(?:mm *(?:/ *hr?|h *\^?-1)|dbz) *[*x] *\d", re.IGNORECASE
)
"""Units other than one mm/h or dBZ in a text without a unit in brackets: too uncertain to use."""
NAME_UNIT: Final = "Write the unit into the tag UNITS or Quantity: dBZ or mm/h"
MAX_TEXT: Final = 1000


def check_observed(tags: Mapping[str, str], name: str) -> None:
    """Refuse a forecast by the tags and the file name.

    Raises
    ------
    NotARadarFile
        A tag or the file name speaks of a forecast.
    """
    leads = [tag for tag, value in tags.items() if LEAD.search(tag) and value.strip("0:. ")]
    texts = [text for text in (name, *(tags.get(tag, "")[:MAX_TEXT] for tag in TEXT_TAGS)) if FORECAST.search(text)]
    if leads or texts:
        raise NotARadarFile(f"this is a forecast ({(leads or texts)[0][:80]})", hint=GIVE_OBSERVATIONS)


def quantity(image: Mapping[str, Any], tags: Mapping[str, str], name: str) -> Quantity:
    """Return the quantity, reflectivity or rain rate, with the factor to dBZ or mm/h.

    The unit decides, else the texts of the tags, else the file name.

    Raises
    ------
    UnknownVariable
        The unit belongs to neither, nothing tells the quantity, or it is an accumulation.
    """
    texts = [text[:MAX_TEXT] for text in (str(image.get("name") or ""), *(tags.get(tag, "") for tag in TEXT_TAGS))]
    units = [unit for unit in (str(image.get("unit") or ""), *(tags.get(tag, "") for tag in UNIT_TAGS)) if unit.strip()]
    units += [tags["quantity"]] if quantity_of(tags.get("quantity", "")) else []
    known = {unit.strip(): quantity_of(unit) for unit in units}
    found = _by_text([*texts, name]) if not known else next(iter(known.values()))
    if found is None or found.kind == "accumulation" or len(set(known.values())) > 1:
        given = "; ".join(known or [text for text in texts if text])[:200]
        what = "the unit is not one of" if known else "the tags and the name do not tell whether this is"
        raise UnknownVariable(f"{what} reflectivity or rain rate ({given!r})", hint=NAME_UNIT)
    amount = next((text for text in (name, *texts) if ACCUMULATION.search(text)), None)
    if found.kind == "rate" and amount is not None:
        raise UnknownVariable(
            f"this is an accumulation ({amount[:80]}), and a GeoTIFF cannot tell the period",
            hint="Give rain rate or reflectivity",
        )
    return found


def _by_text(texts: Sequence[str]) -> Quantity | None:
    """Return the quantity of the first text that names one of the two only; a unit in brackets counts."""
    for text in texts:
        reflectivity, rate = REFLECTIVITY.search(text) is not None, RATE.search(text) is not None
        if reflectivity and rate:
            continue
        units = [unit for unit in map(quantity_of, BRACKETED.findall(text)) if unit and unit.kind != "accumulation"]
        if units or reflectivity or rate:
            unscaled = Quantity(kind="reflectivity" if reflectivity else "rate", factor=1.0)
            return None if SCALED_UNIT.search(text) and not units else next(iter(units), unscaled)
    return None


def valid_time(tags: Mapping[str, str], name: str) -> np.datetime64:
    """Return the valid time from a tag for it, else from DateTime (which may be the creation time), else from the name.

    Raises
    ------
    NotARadarFile
        There is no time, or two times differ.
    """
    found = {tag: time for tag in TIME_TAGS if (time := _tag_time(tags, tag)) is not None}
    if not found and (created := _tag_time(tags, CREATED_TAG)) is not None:
        found = {"DateTime": created}
    named = _times(name, in_name=True)
    found |= {f"name ({number})" if len(named) > 1 else "name": time for number, time in enumerate(named, start=1)}
    if not found:
        raise NotARadarFile(
            "the file has no valid time",
            hint="Name it by the time in UTC (202406010005_dbz.tif), or write the tag DateTime",
        )
    (one, time), *others = found.items()
    if differing := [(other, another) for other, another in others if another != time]:
        which = "tag DateTime" if one == "DateTime" else one
        other, another = differing[0]
        raise NotARadarFile(
            f"the {which} gives {utc_text(time)}, the {other} {utc_text(another)}", hint="Correct the wrong one"
        )
    return time


def _tag_time(tags: Mapping[str, str], tag: str) -> np.datetime64 | None:
    """Return the time in a tag.

    Raises
    ------
    NotARadarFile
        The tag holds two times, or a time zone in an unknown form.
    """
    text = tags.get(tag, "").strip()[:MAX_TEXT]
    times = _times(text)
    if len(times) > 1:
        raise NotARadarFile(f"the tag {tag} holds two times ({text[:80]!r})", hint="Give one valid time")
    if times and (match := TIME.search(text)) is not None:
        zone = ZONE.match(text, match.end())
        if zone is None or text[zone.end() :].strip():
            rest = text[match.end() :].strip()[:40]
            raise NotARadarFile(f"the time in the tag {tag} is followed by {rest!r}", hint="Give the time in UTC")
    return times[0] if times else None


def _times(text: str, *, in_name: bool = False) -> list[np.datetime64]:
    """Return the different times (UTC) in a text: `2020:07:24 12:00:00`, `202007241200`, `2024-06-01T15:00+03:00`.

    In file names a zone needs four digits: `_202406011200-2.tif` is a copy.
    """
    found: dict[np.datetime64, None] = {}
    for match in TIME.finditer(text):
        year, month, day, hour, minute, second = (int(match[group] or 0) for group in (1, 2, 3, 4, 6, 7))
        zone = ZONE.match(text, match.end())
        half, offset = (zone["half"], zone["offset"]) if zone is not None else (None, None)
        if offset and in_name and len(offset) < len("+0300"):
            offset = None
        try:
            if half:
                hour = datetime.strptime(f"{hour} {half}", "%I %p").hour  # noqa: DTZ007  (only the hour)
            moment = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001  (UTC)
        except ValueError:
            continue
        found[observation_time(moment - _zone(offset or "+0"))] = None
    return list(found)


def _zone(offset: str) -> timedelta:
    """Return the offset of `+03:00`, `-0530` or `+3`."""
    digits = offset[1:].replace(":", "")
    hours, minutes = (digits[:-2], digits[-2:]) if len(digits) > 2 else (digits, "0")
    return (-1 if offset[0] == "-" else 1) * timedelta(hours=int(hours), minutes=int(minutes))
