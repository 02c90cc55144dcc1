"""Which variable of a netCDF file is rain, and what turns its values into mm h-1, mm or dBZ."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from model.core.errors import NotARadarFile, UnknownVariable

Kind = Literal["rate", "accumulation", "reflectivity"]
RANK: Final[tuple[Kind, ...]] = ("rate", "accumulation", "reflectivity")


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """What a variable measures; its values times `factor` are mm h-1 (rate), mm (accumulation) or dBZ."""

    kind: Kind
    factor: float


UNITS: Final[Mapping[str, Quantity]] = {
    "mm h-1": Quantity(kind="rate", factor=1.0),
    "mm s-1": Quantity(kind="rate", factor=3600.0),
    "mm min-1": Quantity(kind="rate", factor=60.0),
    "mm d-1": Quantity(kind="rate", factor=1.0 / 24.0),
    "m s-1": Quantity(kind="rate", factor=3.6e6),
    "kg m-2 s-1": Quantity(kind="rate", factor=3600.0),
    "kg m-2 h-1": Quantity(kind="rate", factor=1.0),
    "mm": Quantity(kind="accumulation", factor=1.0),
    "cm": Quantity(kind="accumulation", factor=10.0),
    "m": Quantity(kind="accumulation", factor=1000.0),
    "kg m-2": Quantity(kind="accumulation", factor=1.0),
    "dbz": Quantity(kind="reflectivity", factor=1.0),
}
UNREADABLE: Final = ("", math.nan)
MAX_UNIT: Final = 80
"""By unit, as `normal_unit` writes it. One kg of water on one square metre is 1 mm deep."""

AMBIGUOUS_UNITS: Final = ("m s-1", "m", "kg m-2", "kg m-2 s-1", "mm", "cm")
"""Units of much else: winds, heights, snow packs. Rain only where a name says so."""
STANDARD_NAMES: Final = (
    "rainfall_rate",
    "precipitation_rate",
    "rainfall_flux",
    "precipitation_flux",
    "lwe_precipitation_rate",
    "rainfall_amount",
    "precipitation_amount",
    "thickness_of_rainfall_amount",
    "lwe_thickness_of_precipitation_amount",
    "equivalent_reflectivity_factor",
    "radar_equivalent_reflectivity_factor",
)
RAINY_WORDS: Final = ("rain", "precip", "accumul", "reflectivity")
NUMBER: Final = r"\d+(?:\.\d*)?(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?"
SCALE: Final = re.compile(rf"(?P<number>{NUMBER})(?:\s+|\s*[.*]\s*|(?=[a-z]))")
FACTOR: Final = re.compile(r"(?P<name>[a-z]+)(?P<power>[-+]?\d+)?")
PER: Final = re.compile(rf"\s*(?:/|\bper\b)\s*(?P<number>{NUMBER})?\s*")
TIMES: Final = re.compile(r"\s*[.*]\s*|\s+")
SPELLINGS: Final = {
    "s": ("sec", "secs", "second", "seconds"),
    "min": ("mins", "minute", "minutes"),
    "h": ("hr", "hrs", "hour", "hours"),
    "d": ("day", "days"),
}
SHORT: Final = {spelling: short for short, spellings in SPELLINGS.items() for spelling in spellings}


def normal_unit(text: str) -> tuple[str, float]:
    """A unit spelled as in `UNITS`, and how many of it one of `text` is; ('', nan) where it cannot be read.

    `mm/h`, `mm hr**-1`, `mm/hour` -> `mm h-1`; `kg/m^2/s` -> `kg m-2 s-1`; `dBZ` -> `dbz`; `0.1 mm` -> `mm`, 0.1;
    `mm/5min` -> `mm min-1`, 0.2. Numbers are read in front, and after a stroke (people write `mm/24h` for mm in
    24 hours, where UDUNITS would multiply by the hour). Whatever else is in it makes the whole unreadable.
    """
    rest = text.strip().lower().replace("**", "").replace("^", "")
    if len(rest) > MAX_UNIT:
        return UNREADABLE
    scale = 1.0
    if match := SCALE.match(rest):
        scale, rest = float(match["number"]), rest[match.end() :]
    words: list[str] = []
    below = False
    while rest:
        if words:
            if match := PER.match(rest):
                below = True
                scale /= float(match["number"] or 1) or math.nan
            elif not (match := TIMES.match(rest)):
                return UNREADABLE
            rest = rest[match.end() :]
        if not (match := FACTOR.match(rest)):
            return UNREADABLE
        rest = rest[match.end() :]
        power = int(match["power"] or 1) * (-1 if below else 1)
        words.append(f"{SHORT.get(match['name'], match['name'])}{'' if power == 1 else power}")
    return (" ".join(words), scale) if 0 < scale < math.inf else UNREADABLE


def quantity_of(unit: str) -> Quantity | None:
    """What a variable in that unit measures; None where the unit is not one of rain or reflectivity."""
    name, scale = normal_unit(unit)
    known = UNITS.get(name)
    return Quantity(kind=known.kind, factor=known.factor * scale) if known else None


def choose(variables: Mapping[str, Any], wanted: str | None) -> tuple[Any, Quantity]:
    """The variable to read (a netCDF4 variable), and its quantity.

    Raises:
        NotARadarFile: there is no variable at all.
        UnknownVariable: `wanted` is absent or in no unit of rain; or there is none, or several of a kind.
    """
    if not variables:
        raise NotARadarFile("it holds no variable", mend="Give a file with rain in its root group")
    if wanted is not None:
        if wanted not in variables:
            raise UnknownVariable(f"it has no variable {wanted!r}", mend=describe(variables))
        quantity = quantity_of(_unit(variables[wanted]))
        if quantity is None or not _is_field(variables[wanted]):
            unit = _unit(variables[wanted])[:MAX_UNIT]
            raise UnknownVariable(
                f"{wanted!r} is not a field in a unit of rain or reflectivity (its unit: {unit!r})",
                mend=describe(variables),
            )
        return variables[wanted], quantity
    found: dict[Kind, list[Any]] = {kind: [] for kind in RANK}
    quantities: dict[str, Quantity] = {}
    for name, variable in variables.items():
        quantity = _quantity(variable)
        if quantity is not None:
            found[quantity.kind].append(variable)
            quantities[name] = quantity
    for kind in RANK:
        if len(found[kind]) > 1:
            names = ", ".join(variable.name for variable in found[kind])
            raise UnknownVariable(f"it has more than one {kind}: {names}", mend="Name one as variable")
        if found[kind]:
            return found[kind][0], quantities[found[kind][0].name]
    odd = [v for v in variables.values() if _is_field(v) and _is_rainy(v) and quantity_of(_unit(v)) is None]
    if odd:
        raise UnknownVariable(
            f"the unit of {odd[0].name}, {_unit(odd[0])[:MAX_UNIT]!r}, is not one of rain or reflectivity",
            mend=f"Give it in mm h-1, mm or dBZ. {describe(variables)}",
        )
    raise UnknownVariable("no variable holds rain rate, accumulation or reflectivity", mend=describe(variables))


def describe(variables: Mapping[str, Any]) -> str:
    """`It holds temperature (K), wind (m s-1)`."""
    held = [f"{name} ({_unit(v)[:MAX_UNIT] or 'no units'})" for name, v in variables.items() if _is_field(v)]
    others = [name for name, v in variables.items() if not _is_field(v)]
    return f"It holds {', '.join((held or others)[:30]) or 'no variable'}"


def _quantity(variable: Any) -> Quantity | None:  # noqa: ANN401  (netCDF4 ships no types)
    quantity = quantity_of(_unit(variable))
    if quantity is None or not _is_field(variable):
        return None
    told = getattr(variable, "standard_name", "") or normal_unit(_unit(variable))[0] in AMBIGUOUS_UNITS
    return quantity if _is_rainy(variable) or not told else None


def _is_rainy(variable: Any) -> bool:  # noqa: ANN401
    """Whether a name says that it is rain."""
    standard = str(getattr(variable, "standard_name", ""))
    words = f"{standard} {variable.name} {getattr(variable, 'long_name', '')}".lower()
    return standard in STANDARD_NAMES or any(word in words for word in RAINY_WORDS)


def _is_field(variable: Any) -> bool:  # noqa: ANN401
    return variable.ndim >= 2 and getattr(variable.dtype, "kind", "O") in "iuf" and min(variable.shape[-2:]) > 1


def _unit(variable: Any) -> str:  # noqa: ANN401
    return str(getattr(variable, "units", ""))
