"""Selection of the rain variable of a netCDF file, and the factor from its unit to mm h-1, mm or dBZ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from model.core.cf_units import MAX_UNIT, parse_unit
from model.core.errors import NotARadarFile, UnknownVariable
from model.readers.cf_attributes import units_of

if TYPE_CHECKING:
    from netCDF4 import Variable

QuantityKind = Literal["rate", "accumulation", "reflectivity"]
RANK: Final[tuple[QuantityKind, ...]] = ("rate", "accumulation", "reflectivity")


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """What a variable measures; values times `factor` are in mm h-1 (rate), mm (accumulation) or dBZ."""

    kind: QuantityKind
    factor: float


MIN_WIND_FACTOR: Final = 3600.0
"""mm h-1 of one mm s-1: a variable in this unit or a larger one may also be a wind."""
STANDARD_NAMES: Final = (
    *("rainfall_rate", "precipitation_rate", "rainfall_flux", "precipitation_flux", "lwe_precipitation_rate"),
    *("rainfall_amount", "precipitation_amount", "thickness_of_rainfall_amount"),
    *("lwe_thickness_of_precipitation_amount",),
    *("equivalent_reflectivity_factor", "radar_equivalent_reflectivity_factor"),
)
MAX_NAMED: Final = 30
RAINY_WORDS: Final = ("rain", "precip", "accumul", "reflectivity")


def quantity_of(unit: str) -> Quantity | None:
    """Return the quantity of a unit; None where the unit is not one of rain or reflectivity.

    One kg of water on one square metre is 1 mm deep.
    """
    parsed = parse_unit(unit)
    if parsed is None:
        return None
    if parsed.name == "dbz":
        return Quantity(kind="reflectivity", factor=parsed.factor)
    known: dict[tuple[int, int, int], tuple[QuantityKind, float]] = {
        (1, 0, -1): ("rate", 3.6e6),
        (-2, 1, -1): ("rate", 3600.0),
        (1, 0, 0): ("accumulation", 1000.0),
        (-2, 1, 0): ("accumulation", 1.0),
    }
    if parsed.powers not in known:
        return None
    kind, factor = known[parsed.powers]
    return Quantity(kind=kind, factor=float(f"{parsed.factor * factor:.12g}"))


def select_variable(variables: Mapping[str, Any], requested: str | None) -> tuple[Any, Quantity]:
    """Return the netCDF4 variable to read, and its quantity.

    Without a request, rain rates come before accumulations, and these before reflectivity.

    Raises
    ------
    NotARadarFile
        There is no variable at all.
    UnknownVariable
        The requested variable is absent or not in a unit of rain; or no variable is rain, or several are.
    """
    if not variables:
        raise NotARadarFile("the file holds no variable", hint="Give a file with rain in its root group")
    if requested is not None:
        if requested not in variables:
            raise UnknownVariable(f"there is no variable {requested!r}", hint=list_fields(variables))
        quantity = quantity_of(units_of(variables[requested]))
        if quantity is None or not _is_field(variables[requested]):
            unit = units_of(variables[requested])[:MAX_UNIT]
            raise UnknownVariable(
                f"{requested!r} is not a field in a unit of rain or reflectivity (its unit: {unit!r})",
                hint=list_fields(variables),
            )
        return variables[requested], quantity
    found: dict[QuantityKind, list[Any]] = {kind: [] for kind in RANK}
    quantities: dict[str, Quantity] = {}
    for name, variable in variables.items():
        quantity = _quantity(variable)
        if quantity is not None:
            found[quantity.kind].append(variable)
            quantities[name] = quantity
    for kind in RANK:
        if len(found[kind]) > 1:
            names = ", ".join(variable.name for variable in found[kind][:MAX_NAMED])
            raise UnknownVariable(f"there is more than one {kind}: {names}", hint="Name one as variable")
        if found[kind]:
            return found[kind][0], quantities[found[kind][0].name]
    unknown_unit = [
        v for v in variables.values() if _is_field(v) and _has_rain_name(v) and quantity_of(units_of(v)) is None
    ]
    if unknown_unit:
        raise UnknownVariable(
            f"the unit of {unknown_unit[0].name}, {units_of(unknown_unit[0])[:MAX_UNIT]!r}, is not one of rain or "
            "reflectivity",
            hint=f"Give it in mm h-1, mm or dBZ. {list_fields(variables)}",
        )
    raise UnknownVariable("no variable holds rain rate, accumulation or reflectivity", hint=list_fields(variables))


def list_fields(variables: Mapping[str, Any]) -> str:
    """Return the hint `It holds temperature (K), wind (m s-1)`."""
    fields = [f"{name} ({units_of(v)[:MAX_UNIT] or 'no units'})" for name, v in variables.items() if _is_field(v)]
    others = [name for name, v in variables.items() if not _is_field(v)]
    return f"It holds {', '.join((fields or others)[:MAX_NAMED]) or 'no variable'}"


def _quantity(variable: Variable[Any]) -> Quantity | None:
    quantity = quantity_of(units_of(variable))
    if quantity is None or not _is_field(variable):
        return None
    # Winds, heights and snow depths have the same units: rain needs a name that says so.
    ambiguous = quantity.kind == "accumulation" or quantity.factor >= MIN_WIND_FACTOR
    needs_name = getattr(variable, "standard_name", "") or ambiguous
    return quantity if _has_rain_name(variable) or not needs_name else None


def _has_rain_name(variable: Variable[Any]) -> bool:
    """Whether the name, standard name or long name is one of rain or reflectivity."""
    standard = str(getattr(variable, "standard_name", ""))
    words = f"{standard} {variable.name} {getattr(variable, 'long_name', '')}".lower()
    return standard in STANDARD_NAMES or any(word in words for word in RAINY_WORDS)


def _is_field(variable: Variable[Any]) -> bool:
    return variable.ndim >= 2 and getattr(variable.dtype, "kind", "O") in "iuf" and min(variable.shape[-2:]) > 1
