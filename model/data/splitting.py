"""Splits of an archive into days to train on, to choose weights on, and to test on: drawn by lot, or of given lists."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from model.core.errors import InputError
from model.data.archive import Archive
from model.data.days import PARTS, Days, check_apart, read_days
from model.data.statistics import Values, mean_amount_mm

TOLERANCE: Final = 1e-6


def drawn_split(archive: Archive, fractions: Mapping[str, float], values: Values, seed: int) -> dict[str, Days]:
    """Days with frames, drawn by lot so that each part has dry days and wet ones in the same proportion.

    Days are put in order of their mean rain, and that order is cut into as many equal stretches as the part has days;
    of each stretch one day is drawn. `test` draws first, then `valid`; the rest is `train`. Same seed,
    same days.

    Raises:
        InputError: the fractions are not of one whole, or there are fewer days than parts.
    """
    if abs(sum(fractions.values()) - 1) > TOLERANCE:
        given = " + ".join(f"{fractions[part]:g}" for part in PARTS)
        raise InputError(
            f"the parts make {sum(fractions.values()):g}: {given}",
            where="--train, --valid, --test",
            mend="Give three fractions that make 1",
        )
    amounts = {day: mean_amount_mm(counts) for day, counts in values.by_day.items()}
    wanted = [part for part in PARTS if fractions[part] > 0]
    if len(amounts) < len(wanted):
        raise InputError(
            f"it has {len(amounts)} day{'s' if len(amounts) > 1 else ''}, too few for {len(wanted)} parts",
            where=str(archive.root),
            mend="Import more days, or leave it unsplit: training then holds out its end. Verify on another archive",
        )
    rng = np.random.default_rng(seed)
    left = sorted(amounts, key=lambda day: (amounts[day], day))
    days = len(left)
    parts: dict[str, list[np.datetime64]] = {}
    for part, after in (("test", ("valid", "train")), ("valid", ("train",))):
        number = max(1, math.floor(fractions[part] * days + 0.5)) if part in wanted else 0
        number = min(number, len(left) - sum(each in wanted for each in after))
        edges = np.linspace(0, len(left), number + 1).round().astype(int)
        parts[part] = [left[int(rng.integers(low, high))] for low, high in pairwise(edges)]
        left = [day for day in left if day not in set(parts[part])]
    parts["train"] = left
    return {part: {day: f"{amounts[day]:.2f}" for day in parts[part]} for part in PARTS}


def listed_split(train: Path, valid: Path, test: Path) -> dict[str, Days]:
    """The days of three lists in HKO-7's format.

    Raises:
        InputError: a list cannot be read, or two share days.
    """
    parts = {part: read_days(path) for part, path in zip(PARTS, (train, valid, test), strict=True)}
    check_apart(parts, "--lists")
    return parts
