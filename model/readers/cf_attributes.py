"""Attributes of netCDF4 variables and data sets as plain Python values."""

from __future__ import annotations

from typing import Any

from model.core.cf_coordinates import plain_attributes
from model.core.cf_units import unit_text


def attributes_of(variable: Any) -> dict[str, Any]:  # noqa: ANN401  (netCDF4 ships no types)
    """Return the attributes of a variable or data set."""
    return plain_attributes({name: variable.getncattr(name) for name in variable.ncattrs()})


def units_of(variable: Any) -> str:  # noqa: ANN401
    """Return the unit of a variable as written; '' where there is none."""
    return unit_text(attributes_of(variable))


def is_time(variable: Any) -> bool:  # noqa: ANN401
    """Whether the unit of a variable counts from a date."""
    return " since " in units_of(variable)
