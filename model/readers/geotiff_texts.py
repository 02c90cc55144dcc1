"""What the tags and the name of a GeoTIFF say: which quantity it holds in which unit, and when it is valid."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np

from model.core.errors import NotARadarFile, UnknownVariable
from model.readers.cf_variables import Quantity, quantity_of
from model.readers.plausible import plausible_time
from model.readers.source import OBSERVATIONS, utc_text

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
"""Other steps than one mm/h or dBZ, where no unit says so: not to be guessed."""
NAME_IT: Final = "Write what it holds into its tag UNITS or Quantity: dBZ or mm/h"
MAX_TEXT: Final = 1000


def check_observed(tags: Mapping[str, str], name: str) -> None:
    """Refuse what calls itself a forecast.

    Raises
    ------
    NotARadarFile
        A tag, its name or its text, or the file's name says so.
    """
    leads = [tag for tag, value in tags.items() if LEAD.search(tag) and value.strip("0:. ")]
    texts = [text for text in (name, *(tags.get(tag, "")[:MAX_TEXT] for tag in TEXT_TAGS)) if FORECAST.search(text)]
    if leads or texts:
        raise NotARadarFile(f"it calls itself a forecast ({(leads or texts)[0][:80]})", hint=OBSERVATIONS)


def quantity(said: Mapping[str, Any], tags: Mapping[str, str], name: str) -> Quantity:
    """Reflectivity or rain rate, and what turns its values into dBZ or mm/h: by the unit, else texts, else the name.

    Raises
    ------
    UnknownVariable
        Its unit is none of the two, or it has none and does not say which it holds; or an amount.
    """
    texts = [text[:MAX_TEXT] for text in (str(said.get("name") or ""), *(tags.get(tag, "") for tag in TEXT_TAGS))]
    units = [unit for unit in (str(said.get("unit") or ""), *(tags.get(tag, "") for tag in UNIT_TAGS)) if unit.strip()]
    units += [tags["quantity"]] if quantity_of(tags.get("quantity", "")) else []
    known = {unit.strip(): quantity_of(unit) for unit in units}
    found = _by_text([*texts, name]) if not known else next(iter(known.values()))
    if found is None or found.kind == "accumulation" or len(set(known.values())) > 1:
        told = "; ".join(known or [text for text in texts if text])
        what = "its unit is none of" if known else "it does not say that it holds"
        raise UnknownVariable(f"{what} reflectivity or rain rate (it says: {told[:200]!r})", hint=NAME_IT)
    amount = next((text for text in (name, *texts) if ACCUMULATION.search(text)), None)
    if found.kind == "rate" and amount is not None:
        raise UnknownVariable(
            f"it calls itself an accumulation ({amount[:80]}), whose period a GeoTIFF cannot tell",
            hint="Give rain rate or reflectivity",
        )
    return found


def _by_text(texts: Sequence[str]) -> Quantity | None:
    """Of the first text that speaks of one of the two only; a unit in brackets counts."""
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
    """Of a tag of such a name, else DateTime (which may be when the file was made), else the file's name.

    Raises
    ------
    NotARadarFile
        There is none, or two that disagree.
    """
    said = {tag: time for tag in TIME_TAGS if (time := _tag_time(tags, tag)) is not None}
    if not said and (created := _tag_time(tags, CREATED_TAG)) is not None:
        said = {"DateTime": created}
    named = _times(name, in_name=True)
    said |= {f"name ({number})" if len(named) > 1 else "name": time for number, time in enumerate(named, start=1)}
    if not said:
        raise NotARadarFile(
            "it has no valid time",
            hint="Name it by its time in UTC (202406010005_dbz.tif), or write the tag DateTime",
        )
    if len(set(said.values())) > 1:
        (one, time), (other, another) = next(
            ((a, b) for a in said.items() for b in said.items() if a[1] != b[1]),
        )
        which = "tag DateTime" if one == "DateTime" else one
        raise NotARadarFile(
            f"its {which} says {utc_text(time)}, its {other} {utc_text(another)}", hint="Correct the wrong one"
        )
    return next(iter(said.values()))


def _tag_time(tags: Mapping[str, str], tag: str) -> np.datetime64 | None:
    """The only time in a tag.

    Raises
    ------
    NotARadarFile
        It holds two, or what follows is no zone that can be read.
    """
    text = tags.get(tag, "").strip()[:MAX_TEXT]
    times = _times(text)
    if len(times) > 1:
        raise NotARadarFile(f"its tag {tag} holds two times ({text[:80]!r})", hint="Give one valid time")
    if times and (match := TIME.search(text)) is not None:
        zone = ZONE.match(text, match.end())
        if zone is None or text[zone.end() :].strip():
            rest = text[match.end() :].strip()[:40]
            raise NotARadarFile(f"the time in its tag {tag} is followed by {rest!r}", hint="Give it in UTC")
    return times[0] if times else None


def _times(text: str, *, in_name: bool = False) -> list[np.datetime64]:
    """The different times in a text (UTC): `2020:07:24 12:00:00`, `202007241200`, `2024-06-01T15:00+03:00`. In names a
    zone has four digits: `_202406011200-2.tif` is a copy."""
    found: dict[np.datetime64, None] = {}
    for match in TIME.finditer(text):
        year, month, day, hour, minute, second = (int(match[group] or 0) for group in (1, 2, 3, 4, 6, 7))
        zone = ZONE.match(text, match.end())
        half, offset = (zone["half"], zone["offset"]) if zone is not None else (None, None)
        if offset and in_name and len(offset) < len("+0300"):
            offset = None
        try:
            if half:
                hour = datetime.strptime(f"{hour} {half}", "%I %p").hour  # noqa: DTZ007
            moment = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001  (UTC)
        except ValueError:
            continue
        found[plausible_time(moment - _zone(offset or "+0"))] = None
    return list(found)


def _zone(offset: str) -> timedelta:
    """`+03:00`, `-0530`, `+3`."""
    digits = offset[1:].replace(":", "")
    hours, minutes = (digits[:-2], digits[-2:]) if len(digits) > 2 else (digits, "0")
    return (-1 if offset[0] == "-" else 1) * timedelta(hours=int(hours), minutes=int(minutes))
