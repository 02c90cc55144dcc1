"""Training windows: context frames and target frames at one time step.

Lagrangian windows are warped along the motion of the context frames to the time of the newest one, so that a network
only has to predict growth and decay (Ritvanen et al. 2023, L-CNN, doi 10.1109/JSTARS.2022.3233119). With
`lagrangian=False` frames stay in place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.core.limits import check_limits
from model.core.manifest import TrainingArchive
from model.core.normalisation import hko7_fraction
from model.core.units import FloatArray
from model.data.archive import RAIN_OF_PIXEL
from model.data.frame_cache import MISSING_PIXEL
from model.runtime.gap_filling import context_frames, has_gaps
from model.runtime.motion import advect, estimate_motion, trajectories

RAIN_OR_MISSING: Final = np.where(np.arange(256) == MISSING_PIXEL, np.float32(np.nan), RAIN_OF_PIXEL)
"""Rain rate (mm h-1, NaN = no data) of each pixel value of `FrameCache`."""

MAX_FRAMES: Final = 1000
MAX_PIXELS: Final = 10_000
"""Limits of a window; a larger number is a typing error, which would otherwise exhaust the memory."""

QUANTA_MM_H: Final = (0.05, 0.8)
"""Smallest and largest rain rate to whose multiples a window is rounded: 0.01 mm in 12 min, 0.1 mm in 7.5 min."""

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, kw_only=True)
class WindowConfig:
    """How training windows are drawn.

    `context`, `leads`: frames in, and at most frames out, within `horizon_minutes`; a window has `min_leads` at least.
    `crop`: side of a window in pixels. `margin`: pixels around the crop that Lagrangian warping may need.
    `step_minutes`: time steps. `coarsen_chance`: probability of averaging a window over 2 x 2 pixels. `scale_db`:
    standard deviation of a random factor on rain rate, in dB. `lagrangian`: warp frames along the motion of the
    context. `max_missing`: frames in a row that may be missing (HKO-7's benchmark: 2), never the newest context frame.

    `draw_floor`, `draw_gain`, `draw_scale_mm_h`: q_min, m and s of DGMR's importance sampling, see `RegionSampler`
    (Ravuri et al. 2021, arXiv 2104.00954). `draw_by`: whose rain decides, that of the newest context frame and of the
    last frame ("window", as in DGMR), or of the newest context frame alone ("context"). Probabilities need the latter:
    where the future decides which windows are drawn, rain follows more often than it would.

    `outage_chance`: probability of an outage of the radar in a window's context: one to `context` - 2 frames before the
    newest one, wholly or in half, are without data, and are filled along the motion as in a nowcast.

    Variations beyond those of the events, none in held-out windows: `exponent_spread`, standard deviation of a random
    exponent around 1 on the rain rate (another Z-R relation); `reverse_chance`, probability of running a window
    backwards; `accumulate_chance`, probability that frames are means over the time step where the archive has frames
    in between, as of radars that send accumulations; `quantise_chance`, probability that rain rates are multiples of a
    random rate (`QUANTA_MM_H`), as of products that store tenths or hundredths of a millimetre.
    """

    context: int = 4
    leads: int = 12
    horizon_minutes: float = 60.0
    crop: int = 128
    margin: int = 64
    step_minutes: tuple[float, ...] = (2, 4, 5, 6, 10, 15)
    min_leads: int = 3
    coarsen_chance: float = 0.3
    scale_db: float = 1.5
    lagrangian: bool = True
    max_missing: int = 0
    draw_floor: float = 0.002
    draw_gain: float = 1.0
    draw_scale_mm_h: float = 1.0
    draw_by: Literal["window", "context"] = "window"
    outage_chance: float = 0.0
    exponent_spread: float = 0.0
    reverse_chance: float = 0.0
    accumulate_chance: float = 0.0
    quantise_chance: float = 0.0

    def __post_init__(self) -> None:
        check_limits(self, "context", "leads", "min_leads", ge=1, le=MAX_FRAMES)
        check_limits(self, "crop", ge=1, le=MAX_PIXELS)
        check_limits(self, "margin", ge=0, le=MAX_PIXELS)
        check_limits(self, "max_missing", ge=0, le=MAX_FRAMES)
        check_limits(self, "scale_db", ge=0, le=30)
        check_limits(self, "draw_floor", "draw_gain", ge=0, le=1e6)
        check_limits(self, "draw_scale_mm_h", ge=1e-3, le=1e6)
        check_limits(self, "step_minutes", ge=1 / 60, le=1440)  # times of frames are to the second
        check_limits(self, "horizon_minutes", gt=0, le=MAX_FRAMES * 1440)
        check_limits(self, "coarsen_chance", "outage_chance", "reverse_chance", "accumulate_chance", ge=0, le=1)
        check_limits(self, "quantise_chance", ge=0, le=1)
        check_limits(self, "exponent_spread", ge=0, le=0.5)
        if self.outage_chance and (self.context < 3 or not self.lagrangian):
            raise ValueError("outage_chance needs Lagrangian windows with a context of 3 frames at least")
        if self.horizon_minutes < min(self.step_minutes, default=math.inf):
            raise ValueError(f"horizon_minutes, {self.horizon_minutes:g}, is shorter than each of step_minutes")
        if not self.draw_floor + self.draw_gain:
            raise ValueError("draw_floor and draw_gain are both 0: no window would be drawn")


@dataclass(frozen=True, eq=False)
class Window:
    """Frames in [0, 1], NaN = no data; rain in HKO-7 fractions.

    `context` [t, c, y, x]; `target` [lead, c, y, x], whose missing leads are NaN frames; exogenous `fields`
    [t + lead, n, y, x] or None. `weight`: inverse of the probability with which the window was drawn among those of
    its archive and time step; means over windows weighted by it are unbiased means over all windows, dry ones too.
    """

    context: FloatArray
    target: FloatArray
    step_minutes: float
    fields: FloatArray | None = None
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Provenance of training data.

    `digest`: SHA-256 (hex) of the data. `days`: training days. `sources`: sources with their licences.
    `held_out_days`: days for selecting the checkpoint, empty if parts of `days` were held out. `archives`: the same by
    archive.
    """

    digest: str
    days: tuple[str, ...]
    sources: tuple[str, ...]
    held_out_days: tuple[str, ...] = ()
    archives: tuple[TrainingArchive, ...] = ()


def rotate_and_flip(frames: NDArray[Scalar], quarters: int, mirrored: bool) -> NDArray[Scalar]:
    """Rotate frames [..., y, x] by quarter turns; then flip them along x if `mirrored`."""
    frames = np.rot90(frames, quarters, axes=(-2, -1))
    return np.ascontiguousarray(frames[..., ::-1] if mirrored else frames)


def cut_square(
    frames: Sequence[NDArray[np.uint8] | None],
    centre: tuple[int, int],
    side: int,
    coarsen: int,
    bounds: tuple[int, int],
) -> FloatArray:
    """Cut a square out of frames, as rain rate (mm h-1) [t, side / coarsen, side / coarsen].

    Parameters
    ----------
    frames
        Pixels [y, x] of `FrameCache`; None for a missing frame.
    centre
        Row and column of the centre.
    side
        Side of the square in pixels of the frames.
    coarsen
        Average over this number of pixels squared.
    bounds
        First column and end column that may be read. Pixels beyond them, and beyond the grid, are NaN: training
        windows must not reach into held-out columns.
    """
    ny = next(frame.shape[0] for frame in frames if frame is not None)
    top, left = centre[0] - side // 2, centre[1] - side // 2
    rows = slice(max(0, top), min(ny, top + side))
    columns = slice(max(bounds[0], min(left, bounds[1])), max(bounds[0], min(left + side, bounds[1])))
    rain = np.full((len(frames), side, side), np.nan, np.float32)
    inside = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    for position, frame in enumerate(frames):
        if frame is not None:
            rain[(position, *inside)] = RAIN_OR_MISSING[frame[rows, columns]]
    if coarsen == 1:
        return rain
    parts = [rain[:, row::coarsen, column::coarsen] for row in range(coarsen) for column in range(coarsen)]
    return np.asarray(sum(parts) / np.float32(coarsen**2), np.float32)


def lose_frames(context: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return a context [t, y, x] with an outage: frames before the newest, wholly or in half, without data."""
    length, ny, nx = context.shape
    lost = context.copy()
    count = int(rng.integers(1, length - 1))
    frames = rng.choice(length - 1, count, replace=False)
    part = [(slice(None), slice(None)), (slice(ny // 2), slice(None)), (slice(None), slice(nx // 2))][rng.integers(3)]
    for index in frames:
        lost[(index, *part)] = np.nan
    return lost


def quantise(rain: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Round rain rates (mm h-1) to multiples of a random one, at random to the nearest or down."""
    low, high = np.log(QUANTA_MM_H)
    quantum = np.float32(np.exp(rng.uniform(low, high)))
    return np.asarray(np.floor(rain / quantum + np.float32(rng.choice((0, 0.5)))) * quantum, np.float32)


def lagrangian_window(rain: FloatArray, step_minutes: float, config: WindowConfig) -> Window:
    """Return a window of rain rates [t, y, x] (mm h-1) that is warped to the newest context frame, and cropped."""
    context, future = rain[: config.context], rain[config.context :]
    motion = estimate_motion(context)
    goals = trajectories(-motion, len(future))
    targets = [advect(frame, goal) for frame, goal in zip(future, goals, strict=True)]
    warped = np.empty_like(context)
    for index, frame in context_frames(context, motion, gaps=has_gaps(context), lagrangian=True):
        warped[index] = frame
    return _cropped(warped, targets, step_minutes, config)


def eulerian_window(rain: FloatArray, step_minutes: float, config: WindowConfig) -> Window:
    """Return a window of rain rates [t, y, x] (mm h-1) in place, cropped."""
    return _cropped(rain[: config.context], rain[config.context :], step_minutes, config)


def _cropped(
    context: Sequence[FloatArray] | FloatArray,
    target: Sequence[FloatArray] | FloatArray,
    step_minutes: float,
    config: WindowConfig,
) -> Window:
    """Return a window without its margin, as fractions with a channel axis; missing leads are NaN."""
    inner = slice(config.margin, config.margin + config.crop)
    leads = np.full((config.leads, 1, config.crop, config.crop), np.nan, np.float32)
    for lead, frame in enumerate(target):
        leads[lead, 0] = hko7_fraction(frame[inner, inner])
    frames = np.stack([hko7_fraction(frame[inner, inner])[None] for frame in context])
    return Window(context=frames, target=leads, step_minutes=step_minutes)
