"""Units of netCDF attributes as people write them: words are looked up in pint, the rest is a small grammar.

Files come from strangers, so nothing of a unit is ever evaluated: it is cut into words and whole powers, and pint is
asked for each word alone.
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
RAISED: Final = re.compile(r"(?<=[a-z])(?:\*\*|\^)")
PER: Final = re.compile(rf"\s*(?:/|\bper\b)\s*(?P<number>{NUMBER})?\s*")
TIMES: Final = re.compile(r"\s*[.*]\s*|\s+")
SPELLINGS: Final = ("units", "unit")


@dataclass(frozen=True, kw_only=True)
class Unit:
    """How many SI units (m, kg, s) one of it is, and to which powers; a name where pint has none (dBZ)."""

    factor: float
    metre: int = 0
    kilogram: int = 0
    second: int = 0
    name: str = ""

    @property
    def powers(self) -> tuple[int, int, int]:
        """Of metre, kilogram and second."""
        return self.metre, self.kilogram, self.second


def unit_text(attributes: Mapping[str, Any]) -> str:
    """The attribute `units`, or what people write in its place: `unit`, `Units`."""
    given = {name.lower(): str(value).strip() for name, value in attributes.items() if str(value).strip()}
    return next((given[name] for name in SPELLINGS if name in given), "")


def parse(text: str) -> Unit | None:
    """A unit of lengths, masses and times, or dBZ; None where not all of it is known.

    `mm/h`, `mm hr**-1`, `millimeter per hour`, `kg/m^2/s`, `0.1 mm`, `mm/5min`, `dBZ`. Numbers are read in front, and
    after a stroke (people write `mm/24h` for mm in 24 hours, where UDUNITS would multiply by the hour). Case does not
    count.
    """
    if len(text) > MAX_UNIT:
        return None
    rest = RAISED.sub("", _plain(text).strip(" \t()[]").lower())
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


def _plain(text: str) -> str:
    """`mm·h⁻¹` -> `mm.h-1`."""
    return unicodedata.normalize("NFKC", text.replace("\N{MIDDLE DOT}", ".")).replace("\N{MINUS SIGN}", "-")


def metres(text: str) -> float | None:
    """How many metres one of a unit of length is; None for any other."""
    unit = parse(text)
    return unit.factor if unit is not None and unit.powers == (1, 0, 0) else None


def minutes(number: str, name: str) -> float | None:
    """Minutes of so many units of time; None where it is no unit of time."""
    unit = parse(name)
    return float(number) * unit.factor / 60 if unit is not None and unit.powers == (0, 0, 1) else None


@lru_cache(maxsize=512)
def _word(name: str) -> Unit | None:
    """A unit that is one word, singular or plural, with any prefix."""
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
