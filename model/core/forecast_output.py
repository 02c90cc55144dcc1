"""What a forecast is asked to hold: which field, which probabilities, how many members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, get_args

from model.core.errors import InputError
from model.core.units import DRY_RAIN_RATE_MM_H

ForecastField = Literal["expected", "median", "sharp"]
"""`expected`: the mean, for accumulations; it has the smallest squared error. `median`: the smallest absolute error.
`sharp`: regions of exceedance whose CSI is the highest, for maps and warnings."""
FIELDS: Final[tuple[ForecastField, ...]] = get_args(ForecastField)
DETERMINISTIC: Final = "deterministic"
"""The field of a model without a distribution: its own single forecast."""

ProbabilityMethod = Literal["distribution", "neighbourhood-calibrated", "neighbourhood"]
"""Where probabilities come from: the network's distribution; or the share of a neighbourhood's pixels that exceed a
threshold, calibrated on an archive (isotonic regression by threshold and lead) or not."""

DEFAULT_THRESHOLDS_MM_H: Final = (0.1, 0.5, 2.0, 5.0, 10.0)
MAX_THRESHOLDS: Final = 16
MAX_THRESHOLD_MM_H: Final = 200.0
MAX_MEMBERS: Final = 50


@dataclass(frozen=True, kw_only=True)
class ForecastOutput:
    """What a forecast is asked to hold beside its header.

    Attributes
    ----------
    field : {"expected", "median", "sharp"}, optional
        Which field `rainfall_rate` is; None: the model's default.
    thresholds_mm_h : tuple of float
        Thresholds (mm h-1) of `probability_of_exceedance`, ascending; empty: no probabilities.
    members : int
        Number of realizations; 0: none.
    seed : int
        Seed of the members: the same seed and input give the same members.
    """

    field: ForecastField | None = None
    thresholds_mm_h: tuple[float, ...] = ()
    members: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        check_thresholds(self.thresholds_mm_h)
        if not 0 <= self.members <= MAX_MEMBERS or self.members == 1:
            raise InputError(
                f"members is {self.members}", where="members", hint=f"Ask for 2 to {MAX_MEMBERS} members, or for none"
            )
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed is {self.seed}", where="seed", hint="Choose a seed from 0 to 4294967295")


def check_thresholds(thresholds_mm_h: Sequence[float]) -> None:
    """Check thresholds of probabilities.

    Raises
    ------
    InputError
        There are too many, or one is out of range, or they do not ascend.
    """
    hint = f"Name up to {MAX_THRESHOLDS} ascending rain rates of 0.1 to {MAX_THRESHOLD_MM_H:g} mm/h, e.g. 0.5,2,5"
    listed = ", ".join(f"{threshold:g}" for threshold in thresholds_mm_h)
    if len(thresholds_mm_h) > MAX_THRESHOLDS:
        raise InputError(f"{len(thresholds_mm_h)} thresholds", where="probabilities", hint=hint)
    if not all(DRY_RAIN_RATE_MM_H <= threshold <= MAX_THRESHOLD_MM_H for threshold in thresholds_mm_h):
        raise InputError(f"a threshold of {listed} mm/h is out of range", where="probabilities", hint=hint)
    if any(above <= below for below, above in pairwise(thresholds_mm_h)):
        raise InputError(f"the thresholds {listed} mm/h do not ascend", where="probabilities", hint=hint)


def parse_thresholds(text: str) -> tuple[float, ...]:
    """Return the thresholds of `0.5,2,5` (mm h-1); `default` stands for the usual ones.

    Raises
    ------
    InputError
        The text holds something else than numbers, or thresholds that `check_thresholds` refuses.
    """
    if text.strip() == "default":
        return DEFAULT_THRESHOLDS_MM_H
    try:
        thresholds = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"{text!r} is no list of rain rates", where="probabilities", hint="Write 0.5,2,5 or default"
        ) from None
    check_thresholds(thresholds)
    return thresholds


DETERMINISTIC_OUTPUT: Final = ForecastOutput()
"""The default: one field, no probabilities, no members."""
