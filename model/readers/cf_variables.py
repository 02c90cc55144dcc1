"""Which variable of a netCDF file is rain, and what turns its values into mm h-1, mm or dBZ."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
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
FACTOR: Final = re.compile(r"([a-z]+)(-?\d+)?")
SPELLINGS: Final = {"hour": "h", "hours": "h", "hr": "h", "sec": "s", "second": "s", "minute": "min", "day": "d"}


def normal_unit(text: str) -> str:
    """`mm/h`, `mm hr**-1`, `mm/hour` -> `mm h-1`; `kg/m^2/s` -> `kg m-2 s-1`; `dBZ` -> `dbz`."""
    words = []
    for word, power, below in _factors(text.strip().lower().replace("**", "").replace("^", "")):
        exponent = -power if below else power
        words.append(f"{SPELLINGS.get(word, word)}{'' if exponent == 1 else exponent}")
    return " ".join(words)


def _factors(text: str) -> Iterator[tuple[str, int, bool]]:
    """Name, power, and whether it stands below a stroke, of each factor of a unit."""
    for index, part in enumerate(text.split("/")):
        for name, power in FACTOR.findall(part):
            yield name, int(power or 1), index > 0


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
        quantity = UNITS.get(_unit(variables[wanted]))
        if quantity is None or not _is_field(variables[wanted]):
            raise UnknownVariable(
                f"{wanted!r} is not a field in a unit of rain or reflectivity", mend=describe(variables)
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
    raise UnknownVariable("no variable holds rain rate, accumulation or reflectivity", mend=describe(variables))


def describe(variables: Mapping[str, Any]) -> str:
    """`It holds temperature (K), wind (m s-1)`."""
    held = [f"{name} ({getattr(v, 'units', 'no units')})" for name, v in variables.items() if _is_field(v)]
    others = [name for name, v in variables.items() if not _is_field(v)]
    return f"It holds {', '.join((held or others)[:30]) or 'no variable'}"


def _quantity(variable: Any) -> Quantity | None:  # noqa: ANN401  (netCDF4 ships no types)
    quantity = UNITS.get(_unit(variable))
    if quantity is None or not _is_field(variable):
        return None
    standard = str(getattr(variable, "standard_name", ""))
    if standard in STANDARD_NAMES:
        return quantity
    if standard or _unit(variable) in AMBIGUOUS_UNITS:
        words = f"{standard} {variable.name} {getattr(variable, 'long_name', '')}".lower()
        return quantity if any(word in words for word in RAINY_WORDS) else None
    return quantity


def _is_field(variable: Any) -> bool:  # noqa: ANN401
    return variable.ndim >= 2 and getattr(variable.dtype, "kind", "O") in "iuf" and min(variable.shape[-2:]) > 1


def _unit(variable: Any) -> str:  # noqa: ANN401
    return normal_unit(str(getattr(variable, "units", "")))
