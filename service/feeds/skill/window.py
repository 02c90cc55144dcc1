"""The counts of a window of time, added up over the cases that all compared models have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np

from model.core.bootstrap import MIN_DAYS
from service.feeds.skill.counts import Array, bins_shape, columns, part, unpack
from service.feeds.skill.tables import FrameScore

LeadOrigin = Literal["reference", "publication"]
"""From when lead times count: the newest frame of the input, or the moment at which users had the nowcast."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """Counts of several models on the same cases.

    Attributes
    ----------
    models : tuple of str
        The compared versions.
    thresholds_mm_h, lead_minutes : tuple of float
        Of the counts.
    blocks : tuple of datetime
        Starts of the hours or days that have cases.
    by_day : bool
        Whether the blocks are days.
    counts : array [block, model, lead, column]
        See `service.feeds.skill.counts`.
    bins : array [model, lead, ...], optional
        Bins of probability of the whole window, where they were asked for.
    frames : int
        Frames with a case.
    newest : datetime, optional
        The newest of them.
    """

    models: tuple[str, ...]
    thresholds_mm_h: tuple[float, ...]
    lead_minutes: tuple[float, ...]
    blocks: tuple[datetime, ...]
    by_day: bool
    counts: Array
    bins: Array | None = None
    frames: int = 0
    newest: datetime | None = None

    def part(self, name: str) -> Array:
        """Return a part of the counts [block, model, lead, *shape of the part]."""
        return part(self.counts, name, len(self.thresholds_mm_h))


def collect(
    frames: Iterable[Sequence[FrameScore]],
    models: Sequence[str],
    *,
    origin: LeadOrigin = "reference",
    bins: bool = False,
) -> Window:
    """Add up the cases that all `models` have: the same start time, valid time and pixels.

    Parameters
    ----------
    frames
        The scores of each frame, the oldest first.
    models
        Versions that are compared.
    origin
        From when leads count. From the publication, they are rounded to the time step of the leads.
    bins
        Whether to add up the bins of probability, too.
    """
    blocks: dict[datetime, dict[float, Array]] = {}
    of_bins: dict[float, Array] = {}
    thresholds: tuple[float, ...] = ()
    used, newest = 0, None
    for scores in frames:
        of_models = {score.model: score for score in scores}
        if any(model not in of_models for model in models):
            continue
        compared = [of_models[model] for model in models]
        own = tuple(compared[0].thresholds_mm_h)
        if any(tuple(score.thresholds_mm_h) != own for score in compared):
            continue
        if own != thresholds:  # the feed's thresholds were changed: what was before cannot be added
            blocks, of_bins, thresholds, used = {}, {}, own, 0
        found = _common_leads(compared, origin)
        if not found:
            continue
        used, newest = used + 1, compared[0].valid_time
        block = blocks.setdefault(newest.replace(minute=0, second=0, microsecond=0), {})
        read = [unpack(score.counts, (len(score.lead_minutes), columns(len(own)))) for score in compared]
        for lead, rows in found:
            added = np.stack([counts[row] for counts, row in zip(read, rows, strict=True)])
            block[lead] = block[lead] + added if lead in block else added
        if bins:
            _add_bins(of_bins, compared, found, len(own))
    by_day = len({hour.date() for hour in blocks}) >= MIN_DAYS
    if by_day:
        blocks = _merged(blocks)
    leads = tuple(sorted({lead for block in blocks.values() for lead in block}))
    counts = np.zeros((len(blocks), len(models), len(leads), columns(len(thresholds))))
    for number, block in enumerate(blocks.values()):
        for lead, values in block.items():
            counts[number, :, leads.index(lead)] = values
    return Window(
        models=tuple(models),
        thresholds_mm_h=thresholds,
        lead_minutes=leads,
        blocks=tuple(blocks),
        by_day=by_day,
        counts=counts,
        bins=np.stack([of_bins[lead] for lead in leads], axis=1) if bins and leads else None,
        frames=used,
        newest=newest,
    )


def _common_leads(compared: Sequence[FrameScore], origin: LeadOrigin) -> list[tuple[float, list[int]]]:
    """Return the leads that all models have at a frame, each with its row in the counts of every model."""
    rows: list[Mapping[float, int]] = [{lead: row for row, lead in enumerate(score.lead_minutes)} for score in compared]
    first = compared[0]
    step = min(np.diff(sorted(first.lead_minutes)), default=first.lead_minutes[0])
    found = []
    for row, lead in enumerate(first.lead_minutes):
        if any(lead not in each for each in rows):
            continue
        if origin == "publication":
            served = first.served_minutes[row]
            if served <= 0:  # it was over before anyone had the nowcast
                continue
            shown = round(round(served / step) * float(step), 3)
        else:
            shown = lead
        found.append((shown, [each[lead] for each in rows]))
    return found


def _add_bins(
    sums: dict[float, Array], compared: Sequence[FrameScore], found: Sequence[tuple[float, list[int]]], thresholds: int
) -> None:
    shape = bins_shape(thresholds)
    none = np.zeros(shape)
    read = [None if score.bins is None else unpack(score.bins, (len(score.lead_minutes), *shape)) for score in compared]
    for lead, rows in found:
        added = np.stack([none if each is None else each[row] for each, row in zip(read, rows, strict=True)])
        sums[lead] = sums[lead] + added if lead in sums else added


def _merged(hours: Mapping[datetime, Mapping[float, Array]]) -> dict[datetime, dict[float, Array]]:
    """Add up the counts of hours to those of days."""
    days: dict[datetime, dict[float, Array]] = {}
    for hour, leads in hours.items():
        day = days.setdefault(hour.replace(hour=0), {})
        for lead, counts in leads.items():
            day[lead] = day[lead] + counts if lead in day else counts
    return days
