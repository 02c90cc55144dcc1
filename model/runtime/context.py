"""The context of a forecast: the newest frames, at one time step, and what is missing among them.

Radars miss frames, send some late, go dark in the middle of rain, or scan at a step that no model wants. A context
has a frame for each time step; one that is missing is there as a frame without data. What a network should know of it
is filled in along the motion of the others (`model.runtime.filling`), and never counts as observed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.catalog import ModelInfo
from model.core.errors import InputError, IrregularTimeStep, NoData, TooFewFrames
from model.core.sequence import FrameSequence
from model.core.units import DRY_RAIN_RATE_MM_H, FloatArray
from model.runtime.motion import GAP_SHARE

Times = NDArray[np.datetime64]
Mask = NDArray[np.bool_]

MAX_DEVIATION: Final = 0.2
"""A frame stands for a time that it misses by this part of a time step at most: volume scans take turns."""
NOTED_DEVIATION: Final = 0.02
MOST_MISSING: Final = 0.5
"""So many of the frames may be missing, as a part."""
LEAST_KNOWN: Final = 0.5
"""A network needs this part of its context: of less, neither motion nor growth can be told."""

RAINING_MM_H, TRACE_MM_H = 0.2, 0.02
"""Rain of the first rate does not fall below the second one within a time step, nor come out of less."""
MAX_SPEED_M_S: Final = 28.0
"""How fast rain moves at most."""
OUTAGE_PX, OUTAGE_OF_KNOWN = 100, 0.001
"""Of how many pixels, and of what part of the known ones, rain must be missing at least for an outage."""
OUTAGE_SHARE, OUTAGE_SHARE_OF_NEWEST = 0.1, 0.25
"""And of what part of the rain that must be there. More of the newest frame: what is taken from it is not forecast."""
WHOLE_SHARE, WHOLLY_DRY = 0.8, 0.02
"""A frame is dry as a whole where so much of that rain is missing, and less than the second part of it is there."""
EDGE_PX: Final = 3


def context_of(sequence: FrameSequence, info: ModelInfo) -> FrameSequence:
    """The newest frames that `info` reads, at one time step that it was trained for; missing ones hold no data.

    Frames that follow each other faster are thinned. Times are those of the regular step; `notes` say what was done.

    Raises:
        TooFewFrames: they do not reach back far enough.
        IrregularTimeStep: no time step of theirs fits, or more than half of the frames are missing.
        NoData: no pixel of the newest frame holds data.
    """
    wanted, least = info.input_frames, info.fewest_input_frames or info.input_frames
    if len(sequence) < 2:
        raise _too_few(least, len(sequence))
    own, *mean = _own_steps(sequence.times)
    steps = list(_steps_within(own, info))
    others = [step for each in mean for step in islice(_steps_within(each, info), 1)]
    # Frames are bridged at the shortest step that fits and no other: no step is made up to have gaps.
    attempts = [(step, 0.0) for step in (*steps[:1], *others)]
    attempts += [(step, MOST_MISSING) for step in steps[:1]] + [(step, 0.0) for step in steps[1:]]
    failures: list[InputError] = []
    for step, most_missing in attempts:
        try:
            return _regular(sequence, own, step, wanted, least, most_missing)
        except InputError as failure:
            failures.append(failure)
    if failures:
        raise failures[0]
    if len(sequence) < least:
        raise _too_few(least, len(sequence))
    low, high = info.time_step.min_minutes, info.time_step.max_minutes
    raise IrregularTimeStep(
        f"frames step by {_minutes(own)} min, {info.reference} takes {low:g} to {high:g} min",
        where="input",
        mend=f"Give frames every {low:g} to {high:g} min, or choose the model extrapolation",
    )


def newest_regular(sequence: FrameSequence, frames: int) -> FrameSequence:
    """The newest `frames` frames at their own time step, whatever it is.

    Raises:
        TooFewFrames, IrregularTimeStep, NoData: see `context_of`.
    """
    if len(sequence) < 2:
        raise _too_few(frames, len(sequence))
    failures: list[InputError] = []
    for own in _own_steps(sequence.times):
        try:
            return _regular(sequence, own, own, frames, frames, MOST_MISSING)
        except InputError as failure:
            failures.append(failure)
    raise failures[0]


def without_outages(context: FrameSequence) -> FrameSequence:
    """The context without the data of frames that are suddenly dry, in whole or in part, while it rains in the others.

    Rain that is farther from the edge of what a frame knows than rain moves in a time step neither comes nor goes
    within one: a radar that was off, or sent before it was ready, is told from dry weather by that. Each frame is held
    against the next newer one; the newest against the one before, where the one before that shows the same rain, so
    that a frame full of interference condemns no other. `notes` name the frames.

    Raises:
        NoData: all of the newest frame is suddenly dry.
    """
    rain, reach = context.rain_rate, _reach_px(context)
    known, raining, trace = np.isfinite(rain), rain >= RAINING_MM_H, rain >= TRACE_MM_H
    least = max(OUTAGE_PX, OUTAGE_OF_KNOWN * max(np.count_nonzero(each) for each in known))
    if max(np.count_nonzero(each) for each in raining) < least:
        return context
    newest = len(rain) - 1
    lost: dict[int, Mask] = {}
    expected = raining[newest - 1] & _near(trace[newest - 2], reach) if newest > 1 else raining[newest - 1]
    outage = _outage(trace[newest], known[newest], expected, reach)
    if outage.pixels >= least and outage.share >= OUTAGE_SHARE_OF_NEWEST:
        if outage.whole:
            raise NoData(
                f"the newest frame ({_utc(context.times[newest])}) is suddenly dry: it rained on "
                f"{np.count_nonzero(raining[newest - 1]):,} pixels at {_utc(context.times[newest - 1])}",
                where="input",
                mend="Leave that frame out, or give one that holds data",
            )
        lost[newest] = outage.where
    expected = raining[newest]
    for index in range(newest - 1, -1, -1):
        outage = _outage(trace[index], known[index], expected, reach)
        found = outage.pixels >= least and outage.share >= OUTAGE_SHARE
        if found:
            lost[index] = outage.where
        gone = expected & outage.where if found else np.zeros_like(expected)
        expected = (raining[index] & _near(trace[index + 1], reach)) | gone
    if not lost:
        return context
    mended = rain.copy()
    for index, where in lost.items():
        mended[index][where] = np.nan
    named = ", ".join(_utc(context.times[index]) for index in sorted(lost))
    note = f"suddenly dry while it rains in the other frames, and taken as without data there: {named}"
    return replace(context, rain_rate=mended, notes=(*context.notes, note))


def check_known(context: FrameSequence, info: ModelInfo) -> tuple[str, ...]:
    """Notes on what is missing in a context, what comes of it first.

    Raises:
        NoData: `info` is a network, and of the area that the newest frame knows less than `LEAST_KNOWN` of its context
            is known, or only one frame.
    """
    known = np.isfinite(context.rain_rate)
    newest = known[-1]
    older = np.logical_or.reduce(known[:-1])
    missing = [*(_share_lost(newest, frame) for frame in known[:-1]), _share_lost(older, newest)]
    named = [
        _utc(time) + ("" if share > 1 - GAP_SHARE else f" ({share:.1%})")
        for time, share in zip(context.times, missing, strict=True)
        if share > GAP_SHARE
    ]
    if not named:
        return ()
    held = 1 + sum(share < 1 - GAP_SHARE for share in missing[:-1])
    if info.kind == "network" and (held < 2 or 1 - sum(missing[:-1]) / len(missing) < LEAST_KNOWN):
        raise NoData(
            f"too little is known before the newest frame, without data: {', '.join(named)}",
            where="input",
            mend="Give older frames that hold data, or choose the model extrapolation",
        )
    said = " ".join(context.notes)
    unsaid = [name for name in named if name.split(" ")[0] not in said]
    notes = [f"without data where other frames have some: {', '.join(unsaid)}"] if unsaid else []
    if held < 2:
        return ("no motion is known, and rain stays where it is", *notes)
    if info.kind == "network" and max(missing[:-1]) > GAP_SHARE:
        return ("what older frames lack was filled in along the motion of the others", *notes)
    return tuple(notes)


def _share_lost(area: Mask, known: Mask) -> float:
    """What part of an area is not known."""
    return int(np.count_nonzero(area & ~known)) / max(int(np.count_nonzero(area)), 1)


def repeats(context: FrameSequence) -> tuple[str, ...]:
    """A note on wet frames that are identical to the one before: rain never is, but what a hung server hands out is."""
    rain = context.rain_rate
    named = ", ".join(
        _utc(context.times[index])
        for index in range(1, len(rain))
        if np.array_equal(rain[index], rain[index - 1], equal_nan=True)
        and np.count_nonzero(rain[index] >= DRY_RAIN_RATE_MM_H) >= OUTAGE_PX
    )
    return (f"repeated frames, identical to the one before: {named}",) if named else ()


def _own_steps(times: Times) -> Iterator[np.timedelta64]:
    """Time steps at which frames may follow each other: the usual one, else their mean; whole seconds."""
    between = np.diff(times).astype("int64") / 1e9
    usual = float(np.sort(between)[(between.size - 1) // 2])
    counts = np.rint(between / usual)
    fitting = (counts > 0) & (np.abs(between / usual - counts) <= MAX_DEVIATION)
    steps = [between[fitting].sum() / counts[fitting].sum(), between.mean()]
    yield from dict.fromkeys(np.timedelta64(max(1, round(float(step))), "s") for step in steps)


def _steps_within(own: np.timedelta64, info: ModelInfo) -> Iterator[np.timedelta64]:
    """The multiples of a time step that a model was trained for, the shortest first."""
    step = own
    while step / np.timedelta64(1, "s") / 60 <= info.time_step.max_minutes + 1e-6:
        if info.time_step.holds(float(step / np.timedelta64(1, "s")) / 60):
            yield step
        step = step + own


def _regular(
    sequence: FrameSequence, own: np.timedelta64, step: np.timedelta64, wanted: int, least: int, most_missing: float
) -> FrameSequence:
    """At least `least` and at most `wanted` frames that lie `step` apart, the newest last; `most_missing`: a part."""
    times, slack = sequence.times, MAX_DEVIATION * (step / np.timedelta64(1, "ns"))
    slots = times[-1] - step * np.arange(wanted - 1, -1, -1)
    slots = slots[(slots - times[0]).astype("int64") >= -slack]
    if slots.size < least:
        raise _too_few(least, slots.size, step)
    away = np.abs((times[:, None] - slots).astype("int64"))
    nearest = away.argmin(axis=0)
    deviation = away.min(axis=0)
    missing = deviation > slack
    if np.count_nonzero(missing) > most_missing * slots.size:
        raise _gap(times, step, slots.size)
    if not np.isfinite(sequence.rain_rate[-1]).any():
        raise NoData(
            f"the newest frame ({_utc(times[-1])}) is without data",
            where=sequence.attributes.get("frames_without_data", "input").partition(";")[0],
            mend="Leave that frame out, or give one that holds data",
        )
    notes = list(sequence.notes)
    if step >= 2 * own:
        notes.append(f"frames {_minutes(step)} min apart were taken of those every {_minutes(own)} min")
    if missing.any():
        notes.append(f"missing among the frames: {', '.join(map(_utc, slots[missing]))}")
    worst = deviation[~missing].max()
    if worst > NOTED_DEVIATION * slack / MAX_DEVIATION:
        off = _minutes(np.timedelta64(int(worst), "ns"))
        notes.append(f"frames up to {off} min off a regular time step were taken as {_minutes(step)} min apart")
    if np.array_equal(nearest, np.arange(len(times) - slots.size, len(times))):
        rain = sequence.rain_rate[-slots.size :]
    else:
        rain = sequence.rain_rate[nearest]
    if missing.any():
        rain = rain.copy()
        rain[missing] = np.nan
    return replace(sequence, rain_rate=rain, times=slots, notes=tuple(notes))


def _reach_px(context: FrameSequence) -> float:
    """How many pixels rain moves within a time step at most."""
    return MAX_SPEED_M_S * 60 * context.time_step_minutes() / min(context.grid.pixel_size_m)


class _Outage(NamedTuple):
    """Pixels [y, x] that are suddenly dry; how many pixels of rain are missing, and what part of the rain that must be
    there; and whether the frame is dry as a whole."""

    where: Mask
    pixels: float
    share: float
    whole: bool


def _outage(trace: Mask, known: Mask, expected: Mask, reach_px: float) -> _Outage:
    """Where a frame has no `trace` of rain within reach of what is `expected`, and farther than that from the edge of
    what is `known` of it, beyond which rain may have come from, or gone to."""
    cell = max(4, int(reach_px / 4))
    reach = 2 * math.ceil(reach_px / cell) + 1
    inside = ~_dilated(np.pad(_by_cells(~known, cell) > 0, 1, constant_values=True), reach)[1:-1, 1:-1]
    area = _by_cells(expected & known, cell) * inside
    gone = (area > 0) & ~_dilated(_by_cells(trace, cell) > 0, reach)
    pixels = float(area[gone].sum())
    around = _dilated(gone, 3 * reach)  # up to the edge, where rain alone tells nothing
    around = np.repeat(np.repeat(around, cell, axis=0), cell, axis=1)[: trace.shape[0], : trace.shape[1]]
    share = pixels / max(float(area.sum()), 1.0)
    whole = share >= WHOLE_SHARE and bool(np.count_nonzero(trace) < WHOLLY_DRY * np.count_nonzero(expected))
    where = known if whole else known & around & ~_dilated(trace, EDGE_PX)
    return _Outage(where, pixels, share, whole)


def _near(mask: Mask, reach_px: float) -> Mask:
    """True within reach of what is true."""
    cell = max(4, int(reach_px / 4))
    near = _dilated(_by_cells(mask, cell) > 0, 2 * math.ceil(reach_px / cell) + 1)
    return np.repeat(np.repeat(near, cell, axis=0), cell, axis=1)[: mask.shape[0], : mask.shape[1]]


def _by_cells(wet: Mask, cell: int) -> FloatArray:
    """Wet pixels by square cells of that side."""
    ny, nx = (-(-side // cell) for side in wet.shape)
    padded = np.zeros((ny * cell, nx * cell), np.float32)
    padded[: wet.shape[0], : wet.shape[1]] = wet
    return np.asarray(cv2.resize(padded, (nx, ny), interpolation=cv2.INTER_AREA) * cell**2, np.float32)


def _dilated(mask: Mask, side: int) -> Mask:
    """True within a square of that side around what is True."""
    return np.asarray(cv2.dilate(mask.view(np.uint8), np.ones((side, side), np.uint8)) > 0)


def _too_few(least: int, given: int, step: np.timedelta64 | None = None) -> TooFewFrames:
    apart = "" if step is None else f", {_minutes(step)} min apart"
    return TooFewFrames(
        f"the model wants {least} frames, the input has {given}{apart}",
        where="input",
        mend=f"Give at least {least} frames at one time step",
    )


def _gap(times: Times, step: np.timedelta64, frames: int) -> IrregularTimeStep:
    """Names the newest gap."""
    after = int(np.flatnonzero(np.diff(times) > step * (1 + MAX_DEVIATION))[-1]) if len(times) > 1 else 0
    return IrregularTimeStep(
        f"frames step by {_minutes(step)} min, but {_minutes(times[after + 1] - times[after])} min lie between "
        f"{_utc(times[after])} and {_utc(times[after + 1])}",
        where="input",
        mend=f"Give {frames} frames in a row at one time step, the newest last",
    )


def _minutes(delta: np.timedelta64) -> str:
    return f"{float(delta / np.timedelta64(1, 's')) / 60:.3g}"


def _utc(time: np.datetime64) -> str:
    return f"{np.datetime_as_string(time, unit='s')}Z"
