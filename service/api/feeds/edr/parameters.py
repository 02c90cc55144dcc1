"""The parameters of a nowcast by their names in EDR, and where their values stand in the file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from model.core.forecast_variables import PROBABILITY, RAIN_RATE
from model.core.rain_scale import UNIT
from service.api.errors import InvalidParameter
from service.render.forecast_reader import RainFile

MEMBERS: Final = "rainfall_rate_member"
STANDARD_NAME: Final = "http://vocab.nerc.ac.uk/standard_name/rainfall_rate/"
UCUM: Final = "http://www.opengis.net/def/uom/UCUM/"
UCUM_UNITS: Final = {UNIT: "mm/h", "1": "1"}


@dataclass(frozen=True, kw_only=True)
class EdrParameter:
    """A parameter: its name, the variable of the file, which of its indices, and what it is.

    `index`: of the threshold. `kind`: the field, a probability, or the rain rate of the members, each of which is a
    coverage of its own.
    """

    name: str
    variable: str
    kind: Literal["field", "probability", "members"]
    label: str
    unit: str
    index: int = 0


def parameters_of(file: RainFile) -> dict[str, EdrParameter]:
    """Return the parameters of a forecast by name."""
    field = f" ({file.field})" if file.field else ""
    found = [EdrParameter(name=RAIN_RATE, variable=file.variable, kind="field", label=f"Rain rate{field}", unit=UNIT)]
    found += [
        EdrParameter(
            name=f"{PROBABILITY}_{threshold:g}",
            variable=PROBABILITY,
            kind="probability",
            label=f"Probability of at least {threshold:g} {UNIT}",
            unit="1",
            index=index,
        )
        for index, threshold in enumerate(file.thresholds_mm_h)
    ]
    if file.members:
        label = f"Rain rate of each of {file.members} members"
        found.append(EdrParameter(name=MEMBERS, variable=RAIN_RATE, kind="members", label=label, unit=UNIT))
    return {parameter.name: parameter for parameter in found}


def chosen_parameters(file: RainFile, names: str | None) -> list[EdrParameter]:
    """Return the parameters that `parameter-name` lists, separated by commas; without it all.

    Raises
    ------
    InvalidParameter
        The forecast has no parameter of a name.
    """
    known = parameters_of(file)
    if names is None:
        return list(known.values())
    asked = [name for name in re.split(r"\s*,\s*", names.strip()) if name]
    for name in asked or [""]:
        if name not in known:
            raise InvalidParameter(
                f"there is no parameter {name[:100]!r}", where="parameter-name", hint=f"It has {', '.join(known)}"
            )
    return [known[name] for name in dict.fromkeys(asked)]
