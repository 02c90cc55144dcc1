"""Which variable of a netCDF file is rain, and what turns its values into mm h-1, mm or dBZ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from model.core.errors import NotARadarFile, UnknownVariable
from model.readers.cf_attributes import units_of
from model.readers.cf_units import MAX_UNIT, parse

Kind = Literal["rate", "accumulation", "reflectivity"]
RANK: Final[tuple[Kind, ...]] = ("rate", "accumulation", "reflectivity")


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """What a variable measures; its values times `factor` are mm h-1 (rate), mm (accumulation) or dBZ."""

    kind: Kind
    factor: float


LEAST_OF_WINDS: Final = 3600.0
"""mm h-1 of one mm s-1: what is measured in larger units may be a wind as well."""
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


def quantity_of(unit: str) -> Quantity | None:
    """What a variable in that unit measures; None where the unit is not one of rain or reflectivity.

    One kg of water on one square metre is 1 mm deep.
    """
    found = parse(unit)
    if found is None:
        return None
    if found.name == "dbz":
        return Quantity(kind="reflectivity", factor=found.factor)
    known: dict[tuple[int, int, int], tuple[Kind, float]] = {
        (1, 0, -1): ("rate", 3.6e6),
        (-2, 1, -1): ("rate", 3600.0),
        (1, 0, 0): ("accumulation", 1000.0),
        (-2, 1, 0): ("accumulation", 1.0),
    }
    if found.powers not in known:
        return None
    kind, factor = known[found.powers]
    return Quantity(kind=kind, factor=float(f"{found.factor * factor:.12g}"))


def choose(variables: Mapping[str, Any], wanted: str | None) -> tuple[Any, Quantity]:
    """The variable to read (a netCDF4 variable), and its quantity.

    Raises
    ------
    NotARadarFile
        There is no variable at all.
    UnknownVariable
        `wanted` is absent or in no unit of rain; or there is none, or several of a kind.
    """
    if not variables:
        raise NotARadarFile("it holds no variable", hint="Give a file with rain in its root group")
    if wanted is not None:
        if wanted not in variables:
            raise UnknownVariable(f"it has no variable {wanted!r}", hint=describe(variables))
        quantity = quantity_of(units_of(variables[wanted]))
        if quantity is None or not _is_field(variables[wanted]):
            unit = units_of(variables[wanted])[:MAX_UNIT]
            raise UnknownVariable(
                f"{wanted!r} is not a field in a unit of rain or reflectivity (its unit: {unit!r})",
                hint=describe(variables),
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
            raise UnknownVariable(f"it has more than one {kind}: {names}", hint="Name one as variable")
        if found[kind]:
            return found[kind][0], quantities[found[kind][0].name]
    odd = [v for v in variables.values() if _is_field(v) and _is_rainy(v) and quantity_of(units_of(v)) is None]
    if odd:
        raise UnknownVariable(
            f"the unit of {odd[0].name}, {units_of(odd[0])[:MAX_UNIT]!r}, is not one of rain or reflectivity",
            hint=f"Give it in mm h-1, mm or dBZ. {describe(variables)}",
        )
    raise UnknownVariable("no variable holds rain rate, accumulation or reflectivity", hint=describe(variables))


def describe(variables: Mapping[str, Any]) -> str:
    """`It holds temperature (K), wind (m s-1)`."""
    held = [f"{name} ({units_of(v)[:MAX_UNIT] or 'no units'})" for name, v in variables.items() if _is_field(v)]
    others = [name for name, v in variables.items() if not _is_field(v)]
    return f"It holds {', '.join((held or others)[:30]) or 'no variable'}"


def _quantity(variable: Any) -> Quantity | None:  # noqa: ANN401  (netCDF4 ships no types)
    quantity = quantity_of(units_of(variable))
    if quantity is None or not _is_field(variable):
        return None
    # Units of much else: winds, heights, snow packs. Rain only where a name says so.
    ambiguous = quantity.kind == "accumulation" or quantity.factor >= LEAST_OF_WINDS
    told = getattr(variable, "standard_name", "") or ambiguous
    return quantity if _is_rainy(variable) or not told else None


def _is_rainy(variable: Any) -> bool:  # noqa: ANN401
    """Whether a name says that it is rain."""
    standard = str(getattr(variable, "standard_name", ""))
    words = f"{standard} {variable.name} {getattr(variable, 'long_name', '')}".lower()
    return standard in STANDARD_NAMES or any(word in words for word in RAINY_WORDS)


def _is_field(variable: Any) -> bool:  # noqa: ANN401
    return variable.ndim >= 2 and getattr(variable.dtype, "kind", "O") in "iuf" and min(variable.shape[-2:]) > 1
