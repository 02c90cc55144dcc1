"""Select the context of a forecast: the newest frames, at one time step, with the missing ones bridged.

Radars miss frames, send some late, go dark in the middle of rain, or scan at a time step that no model takes. A context
has a frame for each time step; a missing one is a frame without data. What the network needs there is filled in along
the motion of the other frames (`model.runtime.gap_filling`), and never counts as observed. Frames that were sent as dry
during an outage are found in `model.runtime.outages`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.errors import InputError, IrregularTimeStep, NoData, TooFewFrames
from model.core.model_info import ModelInfo
from model.core.sequence import FrameSequence
from model.core.times import Times, utc_text
from model.core.units import DRY_RAIN_RATE_MM_H
from model.runtime.motion import GAP_SHARE
from model.runtime.outages import OUTAGE_PX

Mask = NDArray[np.bool_]

MAX_DEVIATION: Final = 0.2
"""Largest deviation of a frame from the regular time step, as a share of the step: radars alternate scans."""
NOTED_DEVIATION: Final = 0.02
"""Deviations up to this share are rounding of the time stamps, and get no note."""
LARGEST_MISSING_SHARE: Final = 0.5
"""Largest share of missing frames."""
SMALLEST_COVERAGE: Final = 0.5
"""Smallest share of the context with data that a network needs: with less, motion and growth cannot be estimated."""


def select_context(sequence: FrameSequence, info: ModelInfo) -> FrameSequence:
    """Return the newest frames that a model reads, at one time step that it was trained for.

    Frames at a shorter step are thinned. A missing frame becomes a frame without data.

    Parameters
    ----------
    sequence : FrameSequence
        At least two frames, at any time step.
    info : ModelInfo
        The model.

    Returns
    -------
    FrameSequence
        As many frames as the model reads, or fewer where it makes do with fewer. The times are those of the regular
        step; `notes` list the missing, thinned and shifted frames.

    Raises
    ------
    TooFewFrames
        The frames do not reach back far enough.
    IrregularTimeStep
        The frames have no time step that the model takes, or more than half of them are missing.
    NoData
        No pixel of the newest frame holds data.
    InputError
        The model takes another grid, or is no model of rain.
    """
    if info.data != "rain":
        what = f"{info.reference} was trained on {info.data} that are not rain"
        raise InputError(what, where="model", hint="Choose a model of rain")
    if info.grid not in (None, sequence.grid.shape):
        raise InputError(
            "the grid is {} x {} pixels, {} takes {} x {}".format(*sequence.grid.shape, info.reference, *info.grid),
            where="input",
            hint="Give frames of that grid, or choose another model",
        )
    frames, fewest = info.input_frames, info.min_input_frames or info.input_frames
    if len(sequence) < 2:
        raise _too_few(fewest, len(sequence))
    own, *mean = _own_steps(sequence.times)
    steps = list(_steps_within(own, info))
    others = [step for each in mean for step in islice(_steps_within(each, info), 1)]
    # Only the shortest step that fits may have gaps. Otherwise frames every 10 min would count as a context of 5 min
    # in which every second frame is missing.
    attempts = [(step, 0.0) for step in (*steps[:1], *others)]
    attempts += [(step, LARGEST_MISSING_SHARE) for step in steps[:1]] + [(step, 0.0) for step in steps[1:]]
    if attempts:
        return _first_regular(sequence, [(own, *attempt) for attempt in attempts], frames, fewest)
    if len(sequence) < fewest:
        raise _too_few(fewest, len(sequence))
    low, high = info.time_step.min_minutes, info.time_step.max_minutes
    raise IrregularTimeStep(
        f"frames step by {_minutes(own)} min, {info.reference} takes {low:g} to {high:g} min",
        where="input",
        hint=f"Give frames every {low:g} to {high:g} min, or choose the model extrapolation",
    )


def newest_regular(sequence: FrameSequence, frames: int) -> FrameSequence:
    """Return the newest `frames` frames at their own time step, whichever it is.

    Raises
    ------
    TooFewFrames, IrregularTimeStep, NoData
        See `select_context`.
    """
    if len(sequence) < 2:
        raise _too_few(frames, len(sequence))
    attempts = [(own, own, LARGEST_MISSING_SHARE) for own in _own_steps(sequence.times)]
    return _first_regular(sequence, attempts, frames, frames)


def check_coverage(context: FrameSequence, info: ModelInfo) -> tuple[str, ...]:
    """Check how much of the context holds data, and return notes on what is missing.

    Returns
    -------
    tuple of str
        The consequence for the forecast first, then the frames that lack data.

    Raises
    ------
    NoData
        The model is a network, and the older frames hold data in less than `SMALLEST_COVERAGE` of the newest frame's
        coverage, or none of them holds any.
    """
    known = np.isfinite(context.rain_rate)
    newest = known[-1]
    older = np.logical_or.reduce(known[:-1])
    missing = [*(_share_lost(newest, frame) for frame in known[:-1]), _share_lost(older, newest)]
    named = [
        utc_text(time) + ("" if share > 1 - GAP_SHARE else f" ({share:.1%})")
        for time, share in zip(context.times, missing, strict=True)
        if share > GAP_SHARE
    ]
    if not named:
        return ()
    frames_with_data = 1 + sum(share < 1 - GAP_SHARE for share in missing[:-1])
    coverage = 1 - sum(missing[:-1]) / len(missing)
    if info.kind == "network" and (frames_with_data < 2 or coverage < SMALLEST_COVERAGE - GAP_SHARE):
        what = f"the frames before the newest one hold too little data, without data: {', '.join(named)}"
        raise NoData(what, where="input", hint="Give older frames that hold data, or choose the model extrapolation")
    noted = " ".join(context.notes)
    others = [name for name in named if name.split(" ")[0] not in noted]
    notes = [f"without data where other frames have some: {', '.join(others)}"] if others else []
    if frames_with_data < 2:
        return ("no motion is known, and rain stays where it is", *notes)
    if info.kind == "network" and max(missing[:-1]) > GAP_SHARE:
        return ("gaps of older frames were filled along the motion of the others", *notes)
    return tuple(notes)


def _share_lost(area: Mask, known: Mask) -> float:
    """Return the share of an area without data."""
    return int(np.count_nonzero(area & ~known)) / max(int(np.count_nonzero(area)), 1)


def note_repeated_frames(context: FrameSequence) -> tuple[str, ...]:
    """Return a note on wet frames that equal the one before: rain never does, but the output of a hung server does."""
    rain = context.rain_rate
    named = ", ".join(
        utc_text(context.times[index])
        for index in range(1, len(rain))
        if np.array_equal(rain[index], rain[index - 1], equal_nan=True)
        and np.count_nonzero(rain[index] >= DRY_RAIN_RATE_MM_H) >= OUTAGE_PX
    )
    return (f"repeated frames, identical to the one before: {named}",) if named else ()


def _own_steps(times: Times) -> Iterator[np.timedelta64]:
    """Yield the time steps that frames may have, in whole seconds: the median one, then their mean.

    The median is refined by all intervals that are about a multiple of it, so that gaps do not count. The mean serves
    radars that scan alternately after 4 and 6 min.
    """
    intervals = np.diff(times).astype("int64") / 1e9
    median = float(np.sort(intervals)[(intervals.size - 1) // 2])
    counts = np.rint(intervals / median)
    fitting = (counts > 0) & (np.abs(intervals / median - counts) <= MAX_DEVIATION)
    steps = [intervals[fitting].sum() / counts[fitting].sum(), intervals.mean()]
    yield from dict.fromkeys(np.timedelta64(max(1, round(float(step))), "s") for step in steps)


def _steps_within(own: np.timedelta64, info: ModelInfo) -> Iterator[np.timedelta64]:
    """Yield the multiples of a time step that a model was trained for, the shortest first."""
    step = own
    while step / np.timedelta64(1, "s") / 60 <= info.time_step.max_minutes + 1e-6:
        if info.time_step.contains(float(step / np.timedelta64(1, "s")) / 60):
            yield step
        step = step + own


def _first_regular(
    sequence: FrameSequence, attempts: Sequence[tuple[np.timedelta64, np.timedelta64, float]], frames: int, fewest: int
) -> FrameSequence:
    """Return the context of the first attempt (own step, step, largest missing share) that succeeds.

    Raises
    ------
    InputError
        None succeeds; the error is that of the first attempt.
    """
    failures: list[InputError] = []
    for own, step, missing_share in attempts:
        try:
            return _regular(sequence, own, step, frames, fewest, missing_share)
        except InputError as failure:
            failures.append(failure)
    raise failures[0]


def _regular(
    sequence: FrameSequence, own: np.timedelta64, step: np.timedelta64, frames: int, fewest: int, missing_share: float
) -> FrameSequence:
    """Return at least `fewest` and at most `frames` frames that are `step` apart, the newest last.

    `missing_share` is the largest share of frames that may be missing.
    """
    times, slack = sequence.times, MAX_DEVIATION * (step / np.timedelta64(1, "ns"))
    slots = times[-1] - step * np.arange(frames - 1, -1, -1)
    slots = slots[(slots - times[0]).astype("int64") >= -slack]
    if slots.size < fewest:
        raise _too_few(fewest, slots.size, step)
    distance = np.abs((times[:, None] - slots).astype("int64"))
    nearest = distance.argmin(axis=0)
    deviation = distance.min(axis=0)
    missing = deviation > slack
    # Another frame in between shows that the frames have a shorter step: then none is missing, and this step is wrong.
    between = np.count_nonzero(times >= times[nearest[~missing]].min()) > np.count_nonzero(~missing) and step < 2 * own
    if np.count_nonzero(missing) > missing_share * slots.size or (missing.any() and between):
        raise _gap(times, step, slots.size)
    if not np.isfinite(sequence.rain_rate[-1]).any():
        raise NoData(
            f"the newest frame ({utc_text(times[-1])}) is without data",
            where=sequence.attributes.get("frames_without_data", "input").partition(";")[0],
            hint="Omit that frame, or give one that holds data",
        )
    notes = list(sequence.notes)
    if step >= 2 * own:
        notes.append(f"frames {_minutes(step)} min apart were selected from frames every {_minutes(own)} min")
    if missing.any():
        notes.append(f"missing among the frames: {', '.join(map(utc_text, slots[missing]))}")
    worst = deviation[~missing].max()
    if worst > NOTED_DEVIATION * slack / MAX_DEVIATION:
        off = _minutes(np.timedelta64(int(worst), "ns"))
        notes.append(f"frames up to {off} min off a regular time step count as {_minutes(step)} min apart")
    are_newest = np.array_equal(nearest, np.arange(len(times) - slots.size, len(times)))
    rain = sequence.rain_rate[-slots.size :] if are_newest else sequence.rain_rate[nearest]
    if missing.any():
        rain = rain.copy()
        rain[missing] = np.nan
    return replace(sequence, rain_rate=rain, times=slots, notes=tuple(notes))


def _too_few(fewest: int, given: int, step: np.timedelta64 | None = None) -> TooFewFrames:
    apart = "" if step is None else f", {_minutes(step)} min apart"
    what = f"the model needs {fewest} frames, the input has {given}{apart}"
    return TooFewFrames(what, where="input", hint=f"Give at least {fewest} frames at one time step")


def _gap(times: Times, step: np.timedelta64, frames: int) -> IrregularTimeStep:
    """Return an error that names the newest gap or, without a gap, the range of intervals."""
    between = np.diff(times)
    gaps = np.flatnonzero(between > step * (1 + MAX_DEVIATION))
    hint = f"Give {frames} frames in a row at one time step, the newest last"
    if not gaps.size:
        what = f"frames lie {_minutes(between.min())} to {_minutes(between.max())} min apart, at no common time step"
        return IrregularTimeStep(what, where="input", hint=hint)
    before, after = times[gaps[-1]], times[gaps[-1] + 1]
    return IrregularTimeStep(
        f"frames step by {_minutes(step)} min, but {_minutes(after - before)} min lie between {utc_text(before)} and "
        f"{utc_text(after)}",
        where="input",
        hint=hint,
    )


def _minutes(delta: np.timedelta64) -> str:
    return f"{float(delta / np.timedelta64(1, 's')) / 60:.3g}"
