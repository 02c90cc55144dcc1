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
from model.data.pixel_statistics import PixelCounts, frames_by_block, mean_amount_mm
from model.data.split import PARTS, Block, Day, Days, check_disjoint, read_day_list

TOLERANCE: Final = 1e-6
GAP_MINUTES: Final = 60.0
DRAWS: Final = 32
"""Of blocks of hours: the best of so many."""
LEAST_HOURS: Final = 2
"""Of a block that is offered: shorter ones hold few windows, with a gap of an hour between them."""


def random_split(
    archive: Archive, fractions: Mapping[str, float], values: PixelCounts, seed: int, *, gap_minutes: float = 0.0
) -> dict[str, Days]:
    """Days (or blocks of hours) with frames, drawn by lot so that each part has dry and wet ones in one proportion.

    Days are put in order of their mean rain, and that order is cut into as many equal stretches as the part has days;
    of each stretch one day is drawn. `test` draws first, then `valid`; the rest is `train`. Same seed,
    same days. Of a block that follows one of another part the first `gap_minutes` are left out, in no part: what is
    trained on is so far from what is tested on. Of several draws of blocks the one with the fewest such borders is
    taken.

    Raises
    ------
    InputError
        The fractions are not of one whole, or there are fewer days than parts.
    """
    if abs(sum(fractions.values()) - 1) > TOLERANCE:
        given = " + ".join(f"{fractions[part]:g}" for part in PARTS)
        raise InputError(
            f"the parts make {sum(fractions.values()):g}: {given}",
            where="--train, --valid, --test",
            hint="Give three fractions that make 1",
        )
    amounts = {day: mean_amount_mm(counts) for day, counts in values.by_day.items()}
    wanted = [part for part in PARTS if fractions[part] > 0]
    if len(amounts) < len(wanted):
        what = "block" if any(isinstance(day, Block) for day in amounts) else "day"
        raise InputError(
            f"it has {len(amounts)} {what}{'s' if len(amounts) > 1 else ''}, too few for {len(wanted)} parts",
            where=str(archive.root),
            hint=f"Import more days{_hours_offered(archive, len(wanted), what)}, or leave it unsplit: training then "
            "holds out its end. Verify on another archive",
        )
    rng = np.random.default_rng(seed)
    blocks = any(isinstance(day, Block) for day in amounts)
    draws = [_drawn(amounts, fractions, rng) for _ in range(DRAWS if blocks else 1)]
    part_of = min(draws, key=lambda draw: len(_borders(draw)))
    gap = np.timedelta64(math.ceil(gap_minutes), "m")
    drawn: dict[str, dict[Day, str]] = {part: {} for part in PARTS}
    borders = _borders(part_of)
    for day, part in part_of.items():
        kept = Block(day.begin + gap, day.end) if isinstance(day, Block) and day in borders else day
        drawn[part][kept] = f"{amounts[day]:.2f}"
    return dict(drawn)


def _drawn(amounts: Mapping[Day, float], fractions: Mapping[str, float], rng: np.random.Generator) -> dict[Day, str]:
    """The part of each day."""
    wanted = [part for part in PARTS if fractions[part] > 0]
    left = sorted(amounts, key=lambda day: (amounts[day], day))
    days = len(left)
    part_of: dict[Day, str] = {}
    for part, after in (("test", ("valid", "train")), ("valid", ("train",))):
        number = max(1, math.floor(fractions[part] * days + 0.5)) if part in wanted else 0
        number = min(number, len(left) - sum(each in wanted for each in after))
        edges = np.linspace(0, len(left), number + 1).round().astype(int)
        part_of |= {left[int(rng.integers(low, high))]: part for low, high in pairwise(edges)}
        left = [day for day in left if day not in part_of]
    return {**part_of, **dict.fromkeys(left, "train")}


def _borders(part_of: Mapping[Day, str]) -> set[Block]:
    """Blocks that begin where one of another part ends."""
    ends = {day.end: part for day, part in part_of.items() if isinstance(day, Block)}
    blocks = [day for day in part_of if isinstance(day, Block)]
    return {block for block in blocks if ends.get(block.begin, part_of[block]) != part_of[block]}


def _hours_offered(archive: Archive, parts: int, what: str) -> str:
    """`, or split it by hours` or by fewer of them, where that makes enough blocks."""
    length = float((archive.times[-1] - archive.times[0]) / np.timedelta64(1, "h")) if archive.times.size else 0.0
    hours = max(LEAST_HOURS, int(length // (2 * parts)))
    enough = len(frames_by_block(archive, hours, GAP_MINUTES)) >= parts
    return f", or split it by {'hours' if what == 'day' else 'fewer hours'}: --hours {hours}" if enough else ""


def split_from_lists(train: Path, valid: Path, test: Path) -> dict[str, Days]:
    """The days of three lists in HKO-7's format.

    Raises
    ------
    InputError
        A list cannot be read, or two share days.
    """
    parts = {part: read_day_list(path) for part, path in zip(PARTS, (train, valid, test), strict=True)}
    check_disjoint(parts, "--lists")
    return parts
