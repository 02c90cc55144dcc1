"""The start times of a verification, and the blocks of time that its intervals resample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from model.core.bootstrap import MIN_DAYS, time_block
from model.core.errors import TooFewFrames
from model.data.archive import Archive, DamagedFrame
from model.verify.cases import CaseSelection, ForecastCase

ProgressCallback = Callable[[int, int], None]
"""Called after each start time with the number of start times that are done, and the number of all."""


def no_start_time(archive: Archive, context_length: int, lead_count: int) -> TooFewFrames:
    """Return the error for an archive without a start time that has all of its frames."""
    what = f"no start time has {context_length} frames before and {lead_count} after it"
    return TooFewFrames(what, where=str(archive.root), hint="Import more frames without gaps")


@dataclass(frozen=True, kw_only=True, eq=False)
class Schedule:
    """The cases of an archive in time order, and the block of time of each.

    Attributes
    ----------
    archive : Archive
        The archive.
    cases : sequence of ForecastCase
        At least one.
    days : sequence of datetime64
        UTC days of the start times.
    short_blocks : bool
        Whether blocks are intervals of three hours, because there are few days.
    blocks : sequence of datetime64
        The blocks, in order.
    """

    archive: Archive
    cases: Sequence[ForecastCase]
    days: Sequence[np.datetime64]
    short_blocks: bool
    blocks: Sequence[np.datetime64]

    @classmethod
    def of(cls, archive: Archive, selection: CaseSelection, context_length: int, lead_count: int) -> Self:
        """Return the schedule of an archive, for cases of so many input and forecast frames.

        Raises
        ------
        TooFewFrames
            The archive has no start time with all of its frames.
        """
        cases = list(selection.cases(archive.times, archive.step_minutes, context_length))
        if not cases:
            raise no_start_time(archive, context_length, lead_count)
        days = sorted({time_block(case.start, short=False) for case in cases})
        short = len(days) < MIN_DAYS
        blocks = sorted({time_block(case.start, short=short) for case in cases})
        return cls(archive=archive, cases=cases, days=days, short_blocks=short, blocks=blocks)

    @property
    def lead_minutes(self) -> tuple[float, ...]:
        """Return the lead times, which all cases share."""
        return self.cases[0].lead_minutes

    def score(self, score_case: Callable[[int, int], None], progress: ProgressCallback) -> dict[str, str]:
        """Score each case, and return the start times that a damaged frame left out, with its error.

        Parameters
        ----------
        score_case : callable
            Scores a case, given its index and that of its block.
        progress : callable
            See `ProgressCallback`.

        Raises
        ------
        DamagedFrame
            Every start time has a damaged frame.
        """
        damaged: dict[str, str] = {}
        for index, case in enumerate(self.cases):
            try:
                score_case(index, self.blocks.index(time_block(case.start, short=self.short_blocks)))
            except DamagedFrame as error:
                damaged[f"{case.start}Z"] = str(error)
            progress(index + 1, len(self.cases))
        if len(damaged) == len(self.cases):
            raise DamagedFrame(
                "every start time has a damaged frame", where=str(self.archive.root), hint="Import it again"
            )
        return damaged
