"""Attributes of netCDF variables as plain Python values."""

from __future__ import annotations

from typing import Any

import numpy as np

from model.readers.cf_units import unit_text


def attributes_of(variable: Any) -> dict[str, Any]:  # noqa: ANN401  (netCDF4 ships no types)
    """Attributes of a variable or data set."""
    values = {name: variable.getncattr(name) for name in variable.ncattrs()}
    return {
        name: value.tolist() if isinstance(value, np.ndarray | np.generic) else value for name, value in values.items()
    }


def units_of(variable: Any) -> str:  # noqa: ANN401
    """The unit of a variable as it is written; '' where it has none."""
    return unit_text(attributes_of(variable))


def is_time(variable: Any) -> bool:  # noqa: ANN401
    """Whether it counts since a moment."""
    return " since " in units_of(variable)
