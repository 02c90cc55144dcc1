"""Units of CF attributes in the spellings that occur: pint knows the words, a small grammar joins them.

Files come from strangers, so no part of a unit is ever evaluated: pint would compute `9**9**9`. The text is split into
words and whole powers, and pint looks up each word alone.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    import pint

MAX_UNIT: Final = 80
MAX_POWER: Final = 6
NUMBER: Final = r"\d+(?:\.\d*)?(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?"
SCALE: Final = re.compile(rf"(?P<number>{NUMBER})(?:\s+|\s*[.*]\s*|(?=[a-z]))")
FACTOR: Final = re.compile(r"(?P<name>[a-z]+)(?P<power>[-+]?\d+)?")
POWER_SIGN: Final = re.compile(r"(?<=[a-z])(?:\*\*|\^)")
PER: Final = re.compile(rf"\s*(?:/|\bper\b)\s*(?P<number>{NUMBER})?\s*")
TIMES: Final = re.compile(r"\s*[.*]\s*|\s+")
SPELLINGS: Final = ("units", "unit")


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A unit as `factor` times powers of the SI base units m, kg and s; `name` marks dBZ, which pint does not know."""

    factor: float
    metre: int = 0
    kilogram: int = 0
    second: int = 0
    name: str = ""

    @property
    def powers(self) -> tuple[int, int, int]:
        """Powers of metre, kilogram and second."""
        return self.metre, self.kilogram, self.second


def unit_text(attributes: Mapping[str, Any]) -> str:
    """Return the attribute `units`, or `unit` or `Units` in its place; '' where there is none."""
    given = {name.lower(): str(value).strip() for name, value in attributes.items() if str(value).strip()}
    return next((given[name] for name in SPELLINGS if name in given), "")


def parse_unit(text: str) -> Unit | None:
    """Parse a unit of lengths, masses and times, or dBZ.

    `mm/h`, `mm hr**-1`, `millimeter per hour`, `kg/m^2/s`, `0.1 mm`, `mm/5min`, `dBZ`, in upper or lower case. Numbers
    may stand in front and after a stroke: `mm/24h` means mm in 24 hours, where UDUNITS would multiply by the hour.

    Returns
    -------
    Unit or None
        None where any part of the text is unknown.
    """
    if len(text) > MAX_UNIT:
        return None
    # mm·h⁻¹ becomes mm.h-1.
    plain = unicodedata.normalize("NFKC", text.replace("\N{MIDDLE DOT}", ".")).replace("\N{MINUS SIGN}", "-")
    rest = POWER_SIGN.sub("", plain.strip(" \t()[]").lower())
    scale = 1.0
    if match := SCALE.match(rest):
        scale, rest = float(match["number"]), rest[match.end() :]
    if rest == "dbz":
        return Unit(factor=scale, name="dbz") if 0 < scale < math.inf else None
    powers = [0, 0, 0]
    below, first = False, True
    while rest:
        if not first:
            if match := PER.match(rest):
                below = True
                scale /= float(match["number"] or 1) or math.nan
            elif not (match := TIMES.match(rest)):
                return None
            rest = rest[match.end() :]
        if not (match := FACTOR.match(rest)) or (word := _word(match["name"])) is None:
            return None
        rest, first = rest[match.end() :], False
        power = int(match["power"] or 1) * (-1 if below else 1)
        if abs(power) > MAX_POWER:
            return None
        scale *= word.factor**power
        powers = [total + power * own for total, own in zip(powers, word.powers, strict=True)]
    if first or not 0 < scale < math.inf:
        return None
    return Unit(factor=scale, metre=powers[0], kilogram=powers[1], second=powers[2])


def metres(text: str) -> float | None:
    """Return the length of a unit in metres; None of other units."""
    unit = parse_unit(text)
    return unit.factor if unit is not None and unit.powers == (1, 0, 0) else None


def minutes(number: str, unit_name: str) -> float | None:
    """Return a time in minutes; None where the unit is not one of time."""
    unit = parse_unit(unit_name)
    return float(number) * unit.factor / 60 if unit is not None and unit.powers == (0, 0, 1) else None


@lru_cache(maxsize=512)
def _word(name: str) -> Unit | None:
    """Look up one word, singular or plural, with any prefix."""
    import pint

    try:
        quantity = _registry().Quantity(1, _registry().Unit(name)).to_base_units()
    except (pint.PintError, ValueError, TypeError, AttributeError):
        return None
    powers = dict(cast(Mapping[str, float], quantity.dimensionality))
    length, mass, time = (powers.pop(dimension, 0.0) for dimension in ("[length]", "[mass]", "[time]"))
    if powers or any(power % 1 for power in (length, mass, time)) or not (length or mass or time):
        return None
    return Unit(factor=float(quantity.magnitude), metre=int(length), kilogram=int(mass), second=int(time))


@lru_cache(maxsize=1)
def _registry() -> pint.UnitRegistry[float]:
    import pint

    registry: pint.UnitRegistry[float] = pint.UnitRegistry()
    return registry
