"""Names of the variables of a forecast file, and the rule which of them holds the field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from model.core.forecast_output import ForecastField

FieldName = ForecastField | Literal["deterministic"]
"""The field of a file: one of a distribution, or the single forecast of a model without one."""

RAIN_RATE: Final = "rainfall_rate"
PROBABILITY: Final = "probability_of_exceedance"
THRESHOLD: Final = "threshold"
REALIZATION: Final = "realization"

LIVE_SKILL: Final = "live_skill"
"""Global attribute that tells what the newest forecasts of this model on this feed were worth."""
RECALIBRATION: Final = "probability_recalibration"
"""Global attribute of a file whose probabilities were recalibrated on the past of the feed."""


def name_of_field(field: FieldName, members: int) -> str:
    """Return the name of the variable that holds the field, in a file with that many members."""
    return f"{RAIN_RATE}_{field}" if members else RAIN_RATE


def field_variable(dimensions: Mapping[str, Sequence[str]]) -> str:
    """Return the name of the variable that holds the field (time, y, x), given the dimensions of each variable.

    That is `rainfall_rate`, unless it holds the members: then it is `rainfall_rate_FIELD`, as `rainfall_rate_sharp`.

    Raises
    ------
    LookupError
        The file holds no rain rate, or members without a field.
    """
    if REALIZATION not in dimensions[RAIN_RATE]:
        return RAIN_RATE
    for name in dimensions:
        if name.startswith(f"{RAIN_RATE}_"):
            return name
    raise LookupError(f"{RAIN_RATE} holds members, and there is no {RAIN_RATE}_FIELD beside it")
