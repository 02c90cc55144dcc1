"""Attributes of netCDF4 variables and data sets as plain Python values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from model.core.cf_coordinates import plain_attributes
from model.core.cf_units import unit_text

if TYPE_CHECKING:
    from netCDF4 import Dataset, Variable


def attributes_of(variable: Dataset | Variable[Any]) -> dict[str, Any]:
    """Return the attributes of a variable or data set."""
    return plain_attributes({name: variable.getncattr(name) for name in variable.ncattrs()})


def units_of(variable: Variable[Any]) -> str:
    """Return the unit of a variable as written; '' where there is none."""
    return unit_text(attributes_of(variable))


def is_time(variable: Variable[Any]) -> bool:
    """Whether the unit of a variable counts from a date."""
    return " since " in units_of(variable)
