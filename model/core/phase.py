"""Whether precipitation is rain or snow: radar alone does not tell, some sources and some operators do."""

from __future__ import annotations

from typing import Final, Literal, cast, get_args

Precipitation = Literal["precipitation", "rain", "snow"]

PHASE: Final = "phase"
"""Attribute of frames, by which their source tells `rain` or `snow`."""


def precipitation_of(phase: str | None) -> Precipitation:
    """Return what falls by the phase that the source of the frames tells: `precipitation` where it tells none."""
    return cast(Precipitation, phase) if phase in get_args(Precipitation) else "precipitation"
