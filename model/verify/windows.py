"""Where forecasts start, found by time stamps: nothing is ever found by an index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.core.errors import IrregularTimeStep, TooFewFrames

Times = NDArray[np.datetime64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """Valid times (UTC, datetime64[s]) of the frames that are read, and of those that are scored.

    Leads up to the newest frame that is read are answers over the input: each the frame after one that was read.
    """

    context: Times
    leads: Times

    @property
    def start(self) -> np.datetime64:
        """Reference time: the newest frame that is read."""
        return np.datetime64(self.context[-1])

    @property
    def lead_minutes(self) -> tuple[float, ...]:
        """Valid time of each lead, less the start; answers over the input are at or below 0."""
        return tuple(round(float(lead / np.timedelta64(1, "s")) / 60, 3) for lead in self.leads - self.start)

    @property
    def steps(self) -> int:
        """How many leads are forecast: those after the start."""
        return int(np.count_nonzero(self.leads > self.start))


class Windows(Protocol):
    """How a protocol chooses start times."""

    def lead_count(self, step_minutes: float) -> int:
        """How many frames are forecast from a start time."""
        ...

    def context(self, wanted: int) -> int:
        """How many frames are read, where models want up to `wanted` of them."""
        ...

    def of(self, times: Times, step_minutes: float, wanted: int) -> Iterator[Window]:
        """Windows over the `times` (in order) of an archive's frames."""
        ...


@dataclass(frozen=True, kw_only=True)
class EveryMinutes:
    """Start times at least `stride_minutes` apart, leads to `horizon_minutes`; a missing frame leaves a start out."""

    horizon_minutes: float
    stride_minutes: float

    def lead_count(self, step_minutes: float) -> int:
        """See Windows.lead_count."""
        return int(self.horizon_minutes // step_minutes)

    def context(self, wanted: int) -> int:
        """See Windows.context."""
        return wanted

    def of(self, times: Times, step_minutes: float, wanted: int) -> Iterator[Window]:
        """See Windows.of."""
        step = np.timedelta64(round(step_minutes * 60), "s")
        known = set(times.tolist())
        due: np.datetime64 | None = None
        for start in times:
            window = Window(
                context=start + step * np.arange(1 - wanted, 1),
                leads=start + step * np.arange(1, self.lead_count(step_minutes) + 1),
            )
            if (due is None or start >= due) and known.issuperset([*window.context.tolist(), *window.leads.tolist()]):
                due = start + np.timedelta64(round(self.stride_minutes * 60), "s")
                yield window


@dataclass(frozen=True, kw_only=True)
class Clips:
    """Clips of `frames_in` + `frames_out` frames, as HKO-7's benchmark walks through an archive.

    `step_minutes`: of the archive, of whose frames a clip takes one in `every`. The walk begins with the first frame.
    A clip counts if no more than `longest_gap` of its frames in a row are missing; the next one then begins `stride` of
    its frames later, whether or not there is a frame at that time. Otherwise the next one to be looked at begins with
    the archive's next frame. It ends with the last frame. `over_input`: answers over the input are leads too.
    """

    frames_in: int
    frames_out: int
    stride: int
    longest_gap: int
    step_minutes: float
    every: int = 1
    over_input: bool = False

    def lead_count(self, step_minutes: float) -> int:
        """See Windows.lead_count.

        Raises
        ------
        IrregularTimeStep
            The archive has another time step.
        """
        if abs(step_minutes - self.step_minutes) > 0.01:
            raise IrregularTimeStep(
                f"its frames are {step_minutes:g} min apart, the protocol is of frames every {self.step_minutes:g} min",
                hint="Verify it under the protocol nowcast-60",
            )
        return self.frames_out

    def context(self, wanted: int) -> int:
        """See Windows.context.

        Raises
        ------
        TooFewFrames
            A model wants more than the protocol gives.
        """
        if wanted > self.frames_in:
            raise TooFewFrames(
                f"the protocol gives {self.frames_in} frames, a model wants {wanted}",
                hint="Leave that model out, or choose the protocol nowcast-60",
            )
        return self.frames_in

    def of(self, times: Times, step_minutes: float, wanted: int) -> Iterator[Window]:
        """See Windows.of."""
        step = np.timedelta64(round(step_minutes * 60), "s") * self.every
        known = set(times.tolist())
        offsets = step * np.arange(self.frames_in + self.frames_out)
        begin = times[0] if times.size else None
        while begin is not None and begin <= times[-1]:
            clip = begin + offsets
            if self._counts([time in known for time in clip.tolist()]):
                yield Window(context=clip[: self.frames_in], leads=clip[1 if self.over_input else self.frames_in :])
                begin = begin + self.stride * step
            else:
                after = int(np.searchsorted(times, begin, side="right"))
                begin = times[after] if after < times.size else None

    def _counts(self, present: list[bool]) -> bool:
        missing = 0
        for there in present:
            missing = 0 if there else missing + 1
            if missing > self.longest_gap:
                return False
        return True
