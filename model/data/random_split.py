"""Splits of an archive into days for training, validation and test: drawn at random, or from lists of days."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from model.core.errors import InputError
from model.data.archive import Archive
from model.data.pixel_statistics import PixelCounts, frames_by_block, mean_amount_mm
from model.data.split import PARTS, Block, Day, Days, check_disjoint, read_day_list

TOLERANCE: Final = 1e-6
GAP_MINUTES: Final = 60.0
DRAWS: Final = 32
"""Number of draws of blocks of hours, of which the best is taken."""
MIN_HOURS: Final = 2
"""Shortest block that a hint suggests: with a gap of an hour, shorter ones hold few windows."""


def random_split(
    archive: Archive, fractions: Mapping[str, float], counts: PixelCounts, seed: int, *, gap_minutes: float = 0.0
) -> dict[str, Days]:
    """Draw the days (or blocks of hours) of each part at random, stratified by their mean rain.

    Days are sorted by mean rain and cut into as many equal strata as the part has days; one day is drawn from each.
    `test` is drawn first, then `valid`; the others are `train`.

    Parameters
    ----------
    archive
        The archive, for messages.
    fractions
        Fraction of the days in each part; they add up to 1.
    counts
        Pixel counts by day or by block.
    seed
        The same seed draws the same days.
    gap_minutes
        With blocks: minutes at the begin of a block after one of another part that belong to no part, because
        adjacent frames resemble each other. Of several draws, the one with the fewest such borders is taken.

    Returns
    -------
    dict
        Days of each part, with their mean rain.

    Raises
    ------
    InputError
        The fractions do not add up to 1, or there are fewer days than parts.
    """
    if abs(sum(fractions.values()) - 1) > TOLERANCE:
        given = " + ".join(f"{fractions[part]:g}" for part in PARTS)
        what = f"the fractions add up to {sum(fractions.values()):g}: {given}"
        raise InputError(what, where="--train, --valid, --test", hint="Give three fractions that add up to 1")
    amounts = {day: mean_amount_mm(of_day) for day, of_day in counts.by_day.items()}
    used = [part for part in PARTS if fractions[part] > 0]
    if len(amounts) < len(used):
        unit = "block" if any(isinstance(day, Block) for day in amounts) else "day"
        raise InputError(
            f"it has {len(amounts)} {unit}{'s' if len(amounts) > 1 else ''}, too few for {len(used)} parts",
            where=str(archive.root),
            hint=f"Import more days{_suggest_hours(archive, len(used), unit)}, or leave it without a split: "
            "training then holds out the end. Verify on another archive",
        )
    rng = np.random.default_rng(seed)
    blocks = any(isinstance(day, Block) for day in amounts)
    draws = [_drawn(amounts, fractions, rng) for _ in range(DRAWS if blocks else 1)]
    part_of = min(draws, key=lambda draw: len(_borders(draw)))
    gap = np.timedelta64(math.ceil(gap_minutes), "m")
    drawn: dict[str, dict[Day, str]] = {part: {} for part in PARTS}
    borders = _borders(part_of)
    for day, part in part_of.items():
        shortened = Block(day.begin + gap, day.end) if isinstance(day, Block) and day in borders else day
        drawn[part][shortened] = f"{amounts[day]:.2f}"
    return dict(drawn)


def _drawn(amounts: Mapping[Day, float], fractions: Mapping[str, float], rng: np.random.Generator) -> dict[Day, str]:
    """Draw the part of each day."""
    used = [part for part in PARTS if fractions[part] > 0]
    left = sorted(amounts, key=lambda day: (amounts[day], day))
    days = len(left)
    part_of: dict[Day, str] = {}
    for part, after in (("test", ("valid", "train")), ("valid", ("train",))):
        number = max(1, math.floor(fractions[part] * days + 0.5)) if part in used else 0
        number = min(number, len(left) - sum(each in used for each in after))
        edges = np.linspace(0, len(left), number + 1).round().astype(int)
        part_of |= {left[int(rng.integers(low, high))]: part for low, high in pairwise(edges)}
        left = [day for day in left if day not in part_of]
    return {**part_of, **dict.fromkeys(left, "train")}


def _borders(part_of: Mapping[Day, str]) -> set[Block]:
    """Return the blocks that begin where a block of another part ends."""
    ends = {day.end: part for day, part in part_of.items() if isinstance(day, Block)}
    blocks = [day for day in part_of if isinstance(day, Block)]
    return {block for block in blocks if ends.get(block.begin, part_of[block]) != part_of[block]}


def _suggest_hours(archive: Archive, parts: int, unit: str) -> str:
    """Return the suggestion to split by (fewer) hours, if that gives enough blocks; else ''."""
    length = float((archive.times[-1] - archive.times[0]) / np.timedelta64(1, "h")) if archive.times.size else 0.0
    hours = max(MIN_HOURS, int(length // (2 * parts)))
    enough = len(frames_by_block(archive, hours, GAP_MINUTES)) >= parts
    return f", or split it by {'hours' if unit == 'day' else 'fewer hours'}: --hours {hours}" if enough else ""


def split_from_lists(train: Path, valid: Path, test: Path) -> dict[str, Days]:
    """Return the days of three lists in HKO-7's format.

    Raises
    ------
    InputError
        A list cannot be read, or two lists share days.
    """
    parts = {part: read_day_list(path) for part, path in zip(PARTS, (train, valid, test), strict=True)}
    check_disjoint(parts, "--lists")
    return parts
