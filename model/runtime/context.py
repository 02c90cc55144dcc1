"""The context of a forecast: the newest frames, at one time step, and what is missing among them.

Radars miss frames, send some late, go dark in the middle of rain, or scan at a step that no model wants. A context
has a frame for each time step; one that is missing is there as a frame without data. What a network should know of it
is filled in along the motion of the others (`model.runtime.filling`), and never counts as observed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

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
LEAST_KNOWN: Final = 0.5
"""A network needs this part of its context: of less, neither motion nor growth can be told."""

SUDDEN_WET_PX, SUDDEN_WET_SHARE = 100, 0.001
"""Rain area, in pixels and as a part of the known ones, that neither comes nor goes within a time step."""
SUDDEN_DRY_SHARE: Final = 0.02
"""A frame with less than this part of the rain area of another one does not show the same weather."""
OUTAGE_SHARE: Final = 0.1
"""Where only a part of the domain is suddenly dry: the part of the rain area that is farther from any rain of the next
older frame than rain moves. Of 400 real contexts of six radars, two have more: cells that all came at once."""
MAX_SPEED_M_S: Final = 28.0
"""How fast rain moves at most."""
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
    found: list[FrameSequence] = []
    failures: list[InputError] = []
    for own in _own_steps(sequence.times):
        for multiple, step in enumerate(_steps_within(own, info)):
            try:
                # Gaps are bridged at the shortest step that fits: a longer one must do without.
                found.append(_regular(sequence, own, step, wanted, least, bridged=not multiple))
                break
            except InputError as failure:
                failures.append(failure)
    if found:
        return min(found, key=lambda each: sum("missing" in note for note in each.notes))
    if failures:
        raise failures[0]
    if len(sequence) < least:
        raise _too_few(least, len(sequence))
    own, (low, high) = next(_own_steps(sequence.times)), (info.time_step.min_minutes, info.time_step.max_minutes)
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
            return _regular(sequence, own, own, frames, frames)
        except InputError as failure:
            failures.append(failure)
    raise failures[0]


def without_outages(context: FrameSequence) -> FrameSequence:
    """The context without the data of frames that are suddenly dry, in whole or in part, while it rains in the others.

    No rain area of any size comes or goes within one time step: a radar that was off, or sent before it was ready,
    is told from dry weather by that. `notes` name the frames.

    Raises:
        NoData: it is the newest frame that is suddenly dry.
    """
    rain = context.rain_rate
    wet = [np.asarray(frame >= DRY_RAIN_RATE_MM_H) for frame in rain]
    area = np.array([np.count_nonzero(each) for each in wet])
    known = np.array([np.count_nonzero(np.isfinite(frame)) for frame in rain])
    wettest = int(area.argmax())
    if area[wettest] < max(SUDDEN_WET_PX, SUDDEN_WET_SHARE * known.max()):
        return context
    dry = (known > 0) & (area < SUDDEN_DRY_SHARE * area[wettest])
    if dry[-1]:
        raise NoData(
            f"the newest frame ({_utc(context.times[-1])}) is suddenly dry: it rained on {area[wettest]:,} pixels at "
            f"{_utc(context.times[wettest])}",
            where="input",
            mend="Leave that frame out, or give one that holds data",
        )
    lost: dict[int, Mask] = {}
    expected = wet[-1]
    for index in range(len(rain) - 2, -1, -1):
        if dry[index]:
            lost[index] = np.isfinite(rain[index])
            continue
        gone = _suddenly_dry(wet[index], expected & np.isfinite(rain[index]), _reach_px(context))
        if gone is not None:
            lost[index] = gone
        expected = wet[index] if gone is None else wet[index] | (expected & gone)
    if not lost:
        return context
    mended = rain.copy()
    for index, where in lost.items():
        mended[index][where] = np.nan
    named = ", ".join(_utc(context.times[index]) + ("" if dry[index] else " in part") for index in sorted(lost))
    note = f"suddenly dry inside a wet sequence, and so taken as frames without data: {named}"
    return replace(context, rain_rate=mended, notes=(*context.notes, note))


def check_known(context: FrameSequence, info: ModelInfo) -> tuple[str, ...]:
    """Notes on what is missing in a context, of the area that its newest frame knows.

    Raises:
        NoData: `info` is a network, and less than `LEAST_KNOWN` of its context is known, or only one frame.
    """
    newest = np.isfinite(context.rain_rate[-1])
    shares = np.array([np.count_nonzero(np.isfinite(frame) & newest) for frame in context.rain_rate[:-1]])
    missing = 1 - np.append(shares / np.count_nonzero(newest), 1.0)
    named = ", ".join(
        _utc(time) + ("" if share > 1 - GAP_SHARE else f" ({share:.1%})")
        for time, share in zip(context.times, missing, strict=True)
        if share > GAP_SHARE
    )
    if not named:
        return ()
    lacking = f"without data where the newest frame has some: {named}"
    held = int(np.count_nonzero(missing < 1 - GAP_SHARE))
    if info.kind == "network":
        if held < 2 or 1 - missing.mean() < LEAST_KNOWN:
            raise NoData(
                f"too little is known before the newest frame ({lacking})",
                where="input",
                mend="Give older frames that hold data, or choose the model extrapolation",
            )
        return (f"{lacking}; filled along the motion of the other frames",)
    if held < 2:
        return (f"{lacking}; no motion is known, and rain stays where it is",)
    return (lacking,)


def repeats(context: FrameSequence) -> tuple[str, ...]:
    """A note on wet frames that are identical to the one before: rain never is, but what a hung server hands out is."""
    rain = context.rain_rate
    named = ", ".join(
        _utc(context.times[index])
        for index in range(1, len(rain))
        if np.array_equal(rain[index], rain[index - 1], equal_nan=True)
        and np.count_nonzero(rain[index] >= DRY_RAIN_RATE_MM_H) >= SUDDEN_WET_PX
    )
    return (f"identical to the frame before, as of a radar that hangs: {named}",) if named else ()


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
    sequence: FrameSequence, own: np.timedelta64, step: np.timedelta64, wanted: int, least: int, *, bridged: bool = True
) -> FrameSequence:
    """At least `least` and at most `wanted` frames that lie `step` apart, the newest last."""
    times, slack = sequence.times, MAX_DEVIATION * (step / np.timedelta64(1, "ns"))
    slots = times[-1] - step * np.arange(wanted - 1, -1, -1)
    slots = slots[(slots - times[0]).astype("int64") >= -slack]
    if slots.size < least:
        raise _too_few(least, slots.size, step if step > own else None)
    away = np.abs((times[:, None] - slots).astype("int64"))
    nearest = away.argmin(axis=0)
    deviation = away.min(axis=0)
    missing = deviation > slack
    if 2 * np.count_nonzero(missing) > (slots.size if bridged else 0):
        raise _gap(times, step, slots.size)
    if not np.isfinite(sequence.rain_rate[-1]).any():
        raise NoData(
            f"the newest frame ({_utc(times[-1])}) is without data",
            where=sequence.attributes.get("frames_without_data", "input").partition(";")[0],
            mend="Leave that frame out, or give one that holds data",
        )
    notes = list(sequence.notes)
    if step > own:
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


def _suddenly_dry(wet: Mask, expected: Mask, reach_px: float) -> Mask | None:
    """Pixels [y, x] that are dry though rain is `expected` there and none is within reach; None: too small a part."""
    cell = max(4, int(reach_px / 4))
    reach = 2 * math.ceil(reach_px / cell) + 1
    area, near = _by_cells(expected, cell), _dilated(_by_cells(wet, cell) > 0, reach)
    gone = (area > 0) & ~near
    if area[gone].sum() < max(OUTAGE_SHARE * area.sum(), SUDDEN_WET_PX):
        return None
    around = _dilated(gone, reach + 2)
    around = np.repeat(np.repeat(around, cell, axis=0), cell, axis=1)[: wet.shape[0], : wet.shape[1]]
    return around & ~_dilated(wet, EDGE_PX)


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
    apart = "" if step is None else f" {_minutes(step)} min apart"
    return TooFewFrames(
        f"the model wants {least} frames{apart}, the input has {given}",
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
