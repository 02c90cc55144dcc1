"""Forecast cases: the frames that a forecast starts from and those that score it, selected by their time stamps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from model.core.errors import IrregularTimeStep, TooFewFrames
from model.core.times import Times


@dataclass(frozen=True, kw_only=True, eq=False)
class ForecastCase:
    """One start time of a verification.

    Attributes
    ----------
    context_times : array of datetime64[s]
        Valid times (UTC) of the input frames.
    valid_times : array of datetime64[s]
        Valid times (UTC) of the scored frames, one for each lead. A valid time up to the start time stands for the
        one-step output that a model gives for the frame after one of its input frames.
    """

    context_times: Times
    valid_times: Times

    @property
    def start(self) -> np.datetime64:
        """Return the reference time: the valid time of the newest input frame."""
        return np.datetime64(self.context_times[-1])

    @property
    def lead_minutes(self) -> tuple[float, ...]:
        """Return the lead times in minutes; 0 and below for outputs over the input."""
        return tuple(round(float(lead / np.timedelta64(1, "s")) / 60, 3) for lead in self.valid_times - self.start)

    @property
    def steps(self) -> int:
        """Return the number of forecast steps: the leads after the start time."""
        return int(np.count_nonzero(self.valid_times > self.start))


class CaseSelection(Protocol):
    """How a protocol selects forecast cases."""

    def lead_count(self, step_minutes: float) -> int:
        """Return the number of forecast steps of a case, for frames that are `step_minutes` apart."""
        ...

    def context_length(self, required: int) -> int:
        """Return the number of input frames of a case, for models that require up to `required`."""
        ...

    def cases(self, times: Times, step_minutes: float, required: int) -> Iterator[ForecastCase]:
        """Yield the cases of an archive whose frames have the valid times `times`, in ascending order."""
        ...


@dataclass(frozen=True, kw_only=True)
class RegularStarts:
    """Start times at least `stride_minutes` apart, with leads up to `horizon_minutes`.

    A start time counts only if the archive has all of its frames.
    """

    horizon_minutes: float
    stride_minutes: float

    def lead_count(self, step_minutes: float) -> int:
        """See `CaseSelection.lead_count`."""
        return int(self.horizon_minutes // step_minutes)

    def context_length(self, required: int) -> int:
        """See `CaseSelection.context_length`."""
        return required

    def cases(self, times: Times, step_minutes: float, required: int) -> Iterator[ForecastCase]:
        """See `CaseSelection.cases`."""
        step = np.timedelta64(round(step_minutes * 60), "s")
        available = set(times.tolist())
        earliest: np.datetime64 | None = None
        for start in times:
            case = ForecastCase(
                context_times=start + step * np.arange(1 - required, 1),
                valid_times=start + step * np.arange(1, self.lead_count(step_minutes) + 1),
            )
            frames = [*case.context_times.tolist(), *case.valid_times.tolist()]
            if (earliest is None or start >= earliest) and available.issuperset(frames):
                earliest = start + np.timedelta64(round(self.stride_minutes * 60), "s")
                yield case


@dataclass(frozen=True, kw_only=True)
class Clips:
    """Clips of consecutive frames, selected as the HKO-7 benchmark walks through an archive (Shi et al. 2017).

    The walk starts with the archive's first frame. A clip with at most `max_gap_frames` consecutive frames missing is a
    case, and the next clip starts `stride_frames` clip frames later, whether or not the archive has that frame. After
    any other clip, the next candidate starts with the next frame of the archive. The walk stops at the last frame.

    Attributes
    ----------
    context_frames, lead_frames : int
        Input frames and forecast frames of a clip.
    stride_frames : int
        Clip frames from the start of a clip to the start of the next.
    max_gap_frames : int
        Consecutive frames of a clip that may be missing.
    archive_step_minutes : float
        Time step that the archive must have.
    frame_interval : int
        Archive frames from one frame of a clip to the next.
    scores_input : bool
        Whether outputs over the input are leads too.
    """

    context_frames: int
    lead_frames: int
    stride_frames: int
    max_gap_frames: int
    archive_step_minutes: float
    frame_interval: int = 1
    scores_input: bool = False

    def lead_count(self, step_minutes: float) -> int:
        """See `CaseSelection.lead_count`.

        Raises
        ------
        IrregularTimeStep
            The archive has another time step than the protocol.
        """
        if abs(step_minutes - self.archive_step_minutes) > 0.01:
            raise IrregularTimeStep(
                f"the frames are {step_minutes:g} min apart, the protocol requires frames every "
                f"{self.archive_step_minutes:g} min",
                hint="Verify under the protocol nowcast-60",
            )
        return self.lead_frames

    def context_length(self, required: int) -> int:
        """See `CaseSelection.context_length`.

        Raises
        ------
        TooFewFrames
            A model requires more input frames than the protocol provides.
        """
        if required > self.context_frames:
            raise TooFewFrames(
                f"the protocol provides {self.context_frames} input frames, a model requires {required}",
                hint="Leave that model out, or choose the protocol nowcast-60",
            )
        return self.context_frames

    def cases(self, times: Times, step_minutes: float, required: int) -> Iterator[ForecastCase]:
        """See `CaseSelection.cases`."""
        step = np.timedelta64(round(step_minutes * 60), "s") * self.frame_interval
        available = set(times.tolist())
        offsets = step * np.arange(self.context_frames + self.lead_frames)
        first_lead = 1 if self.scores_input else self.context_frames
        first = times[0] if times.size else None
        while first is not None and first <= times[-1]:
            clip = first + offsets
            if self._longest_gap([time in available for time in clip.tolist()]) <= self.max_gap_frames:
                yield ForecastCase(context_times=clip[: self.context_frames], valid_times=clip[first_lead:])
                first = first + self.stride_frames * step
            else:
                after = int(np.searchsorted(times, first, side="right"))
                first = times[after] if after < times.size else None

    @staticmethod
    def _longest_gap(present: list[bool]) -> int:
        longest = missing = 0
        for is_present in present:
            missing = 0 if is_present else missing + 1
            longest = max(longest, missing)
        return longest
