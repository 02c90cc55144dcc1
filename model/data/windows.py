"""Training windows: context frames and target frames at one time step.

Those of a radar archive are runs of frames found by their time stamps. They are warped along the motion of the context
frames to the time of the newest one, so that what is left to predict is growth and decay (Ritvanen et al. 2023,
L-CNN, doi 10.1109/JSTARS.2022.3233119); or, with `lagrangian=False`, left where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.core.errors import InputError, NoData, TooFewFrames
from model.core.grid import Grid
from model.core.units import FloatArray, hko7_fraction
from model.data.archive import RAIN_OF_PIXEL as RAIN_OF_VALUE
from model.data.archive import DamagedFrame
from model.data.frames import MISSING_PIXEL, FrameCache
from model.runtime.motion import advect, estimate_motion, to_newest, trajectories

ABSENT: Final = -1
"""In place of a frame that is missing."""
BLOCKS_PER_CROP: Final = 4
TRIES: Final = 200_000
RAIN_OF_PIXEL: Final = np.where(np.arange(256) == MISSING_PIXEL, np.float32(np.nan), RAIN_OF_VALUE)

Scalar = TypeVar("Scalar", bound=np.generic)
ReadFields = Callable[[NDArray[np.datetime64], Grid], FloatArray]
"""Exogenous fields [t, n, y, x] at valid times (UTC) on a grid."""


@dataclass(frozen=True, kw_only=True)
class WindowConfig:
    """`context` frames in, up to `leads` out within `horizon_minutes`, `crop` pixels wide, cut from a window that is
    wider by `margin` on each side. `coarsen_chance`: how often a window is averaged over 2 x 2 pixels.
    `scale_db`: standard deviation of a random factor on rain rate, in dB. `lagrangian`: frames are warped along the
    motion of the context; False leaves them as they are. `max_missing`: how many frames in a row may be missing in a
    window, and are then without data (HKO-7's benchmark: 2); never the newest context frame.

    `draw_floor`, `draw_gain`, `draw_scale_mm_h`: with what probability a window is drawn, see `Region.probability`
    (q_min, m and s of DGMR's importance sampling; Ravuri et al. 2021, arXiv 2104.00954)."""

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


@dataclass(frozen=True, eq=False)
class Window:
    """Frames in [0, 1] with NaN = no data: `context` [t, c, y, x] and `target` [lead, c, y, x] (fewer leads than asked
    for: NaN frames), and exogenous `fields` [t + lead, n, y, x]. Rain is in HKO-7 fractions.

    `weight`: one over the probability with which the window was drawn among those of its archive and time step. Means
    over windows that are weighted by it are those over all windows there are, the dry ones too.
    """

    context: FloatArray
    target: FloatArray
    step_minutes: float
    fields: FloatArray | None = None
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a model is trained on: SHA-256 (hex) of the data, the days in it, and where it is from, licence included.

    `held_out_days`: days of their own that weights were chosen on; none where parts of `days` were held out.
    """

    digest: str
    days: tuple[str, ...]
    sources: tuple[str, ...]
    held_out_days: tuple[str, ...] = ()


def find_runs(
    times: NDArray[np.datetime64], step_minutes: float, frames: int, max_missing: int = 0
) -> NDArray[np.int32]:
    """Runs of up to `frames` frames that follow each other at a time step: [run, position], one run from each time.

    Places in `times` (which are in order), `ABSENT` where a frame is missing: at most `max_missing` in a row, and all
    that follow where more are missing. Found by time stamps alone.
    """
    seconds = times.astype("datetime64[s]").astype(np.int64)
    runs = np.full((seconds.size, frames), ABSENT, np.int32)
    alive = np.ones(seconds.size, np.bool_)
    missing = np.zeros(seconds.size, np.int64)
    for position in range(frames):
        wanted = seconds + round(position * step_minutes * 60)
        places = np.minimum(np.searchsorted(seconds, wanted), seconds.size - 1)
        there = seconds[places] == wanted
        missing = np.where(there, 0, missing + 1)
        alive &= missing <= max_missing
        runs[:, position] = np.where(alive & there, places, ABSENT)
    return runs


class Region:
    """The part of an archive that windows are drawn from: `times` (of the cache's, default all), columns [x0, x1).

    `runs`: by time step, the frames of each window [window, position]: places in the cache's times, or `ABSENT`.

    Raises:
        InputError: exogenous fields, or windows with missing frames, are asked for in Lagrangian windows: fields stay
            in place while the rain is moved, and its motion is estimated from all context frames.
        TooFewFrames: no window of `config` fits in it.
    """

    def __init__(
        self,
        cache: FrameCache,
        config: WindowConfig,
        *,
        times: NDArray[np.datetime64] | None = None,
        columns: tuple[int, int] | None = None,
        read_fields: ReadFields | None = None,
    ) -> None:
        if config.lagrangian and (read_fields is not None or config.max_missing):
            what = "exogenous fields" if read_fields is not None else "missing frames"
            raise InputError(
                f"{what} are for windows that stay in place", where="windows", mend="Train with lagrangian=False"
            )
        self.cache = cache
        self.config = config
        self.read_fields = read_fields
        self.columns = columns or (0, cache.grid.shape[1])
        inside = np.arange(cache.times.size) if times is None else np.flatnonzero(np.isin(cache.times, times))
        self.runs = {step: runs for step in config.step_minutes if len(runs := self._runs(inside, step))}
        if not self.runs:
            raise TooFewFrames(
                f"no run of {config.context} + {config.min_leads} frames at any of the steps {config.step_minutes} min",
                where="archive",
                mend="Import more frames, or choose other time steps",
            )
        self._block = max(1, config.crop // BLOCKS_PER_CROP)
        rain = np.nan_to_num(RAIN_OF_PIXEL)
        self._worth_of_pixel = config.draw_floor + config.draw_gain * -np.expm1(-rain / config.draw_scale_mm_h)
        self._worth_of_pixel[MISSING_PIXEL] = 0
        self._worth: dict[int, FloatArray] = {}

    def _runs(self, inside: NDArray[np.intp], step: float) -> NDArray[np.int32]:
        """Frames of each window at this step; windows near the end, or before a gap, have fewer leads."""
        config = self.config
        leads = min(config.leads, int(config.horizon_minutes // step))
        found = find_runs(self.cache.times[inside], step, config.context + leads, config.max_missing)
        found = np.where(found == ABSENT, np.int32(ABSENT), inside.astype(np.int32)[found])
        least = config.context + min(config.min_leads, leads)
        # The newest context frame is what a forecast starts from, so it is never a missing one.
        long_enough = (found[:, least - 1 :] != ABSENT).any(axis=1)
        runs: NDArray[np.int32] = found[long_enough & (found[:, config.context - 1] != ABSENT)]
        return runs

    def probability(self, run: NDArray[np.int32], centre: tuple[int, int], coarsen: int) -> float:
        """With what probability a window that is come upon is drawn: q of DGMR's importance sampling.

        min(1, mean of floor + gain (1 - exp(-R / scale))) over the pixels of the crop, by blocks of a quarter of it, of
        the newest context frame and the last frame; pixels without data and beyond the grid count 0.
        """
        side, block = self.config.crop * coarsen, self._block
        top, left = (middle - side // 2 for middle in centre)
        # This runs for every window that is come upon, some fifty for each that is drawn: plain integers are fast.
        rows = slice(max(0, round(top / block)), max(0, round((top + side) / block)))
        columns = slice(max(0, round(left / block)), max(0, round((left + side) / block)))
        frames = (int(run[self.config.context - 1]), int(run[run != ABSENT][-1]))
        total = sum(float(self._worth_of(frame)[rows, columns].sum()) for frame in frames)
        return min(1.0, total / len(frames) * (block / side) ** 2)

    def _worth_of(self, index: int) -> FloatArray:
        """Means over blocks of a frame of what a pixel adds to the probability; 0 in all of a damaged frame."""
        if index not in self._worth:
            block, (ny, nx) = self._block, self.cache.grid.shape
            padded = np.full((-(-ny // block) * block, -(-nx // block) * block), MISSING_PIXEL, np.uint8)
            first, end = self.columns
            with suppress(DamagedFrame):
                padded[:ny, first:end] = self.cache.frame(index)[:, first:end]
            worth = self._worth_of_pixel[padded].reshape(padded.shape[0] // block, block, -1, block)
            self._worth[index] = worth.mean(axis=(1, 3), dtype=np.float32)
        return self._worth[index]

    def draw(self, rng: np.random.Generator, step: float | None = None) -> Window:
        """A window at a random step, start and place, with random flips, resolution and intensity.

        Windows are come upon evenly, over starts and places, and each is drawn with its `probability`; its weight is
        one over that. Same generator, same window.

        Raises:
            NoData: no window was drawn in very many.
        """
        config = self.config
        step = step or float(rng.choice(list(self.runs)))
        run, centre, coarsen, probability, frames = self._drawn(rng, self.runs[step])
        side = (config.crop + 2 * config.margin) * coarsen
        rain = cut(frames, centre, side, coarsen, self.columns)
        rain = rain * np.float32(10 ** (rng.normal(0, config.scale_db) / 10))
        quarters, mirrored = int(rng.integers(4)), rng.random() < 0.5
        window = lagrangian_window if config.lagrangian else eulerian_window
        fields = None
        if self.read_fields is not None:
            fields = turned(self._fields(self.read_fields, run, step, centre, coarsen), quarters, mirrored)
        made = window(turned(rain, quarters, mirrored), step, config)
        return replace(made, fields=fields, weight=1 / probability)

    def _drawn(
        self, rng: np.random.Generator, runs: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], tuple[int, int], int, float, list[NDArray[np.uint8] | None]]:
        """The run, centre (row, column), coarsening, probability and frames of the next window that is drawn."""
        for _ in range(TRIES):
            run = runs[rng.integers(len(runs))]
            centre = int(rng.integers(self.cache.grid.shape[0])), int(rng.integers(*self.columns))
            coarsen = 2 if rng.random() < self.config.coarsen_chance else 1
            probability = self.probability(run, centre, coarsen)
            if rng.random() >= probability:
                continue
            run = run[: np.flatnonzero(run != ABSENT)[-1] + 1]
            try:
                frames = [None if index == ABSENT else self.cache.frame(int(index)) for index in run]
            except DamagedFrame:
                continue  # a gap, which breaks a window
            return run, centre, coarsen, probability, frames
        raise NoData(
            f"of {TRIES:,} windows none was drawn: hardly a pixel holds data",
            where=str(self.cache.archive.root),
            mend="Look at it with: echocast archive info",
        )

    def _fields(
        self, read_fields: ReadFields, run: NDArray[np.int32], step: float, centre: tuple[int, int], coarsen: int
    ) -> FloatArray:
        """Fields [context + leads, n, crop, crop] where `cut` takes the rain of the crop.

        Files of fields need not reach beyond the archive's grid: there, the values of its edge are repeated.
        """
        config, grid = self.config, self.cache.grid
        lapse = np.round(np.arange(config.context + config.leads) * step * 60).astype("timedelta64[s]")
        (y, beyond_y), (x, beyond_x) = (
            _centres(centres, middle - config.crop * coarsen // 2, config.crop, coarsen)
            for centres, middle in zip((grid.y, grid.x), centre, strict=True)
        )
        inside = read_fields(self.cache.times[run[0]] + lapse, Grid(crs=grid.crs, x=x, y=y))
        return np.pad(inside, ((0, 0), (0, 0), beyond_y, beyond_x), mode="edge")


def _centres(
    centres: NDArray[np.floating], first: int, number: int, coarsen: int
) -> tuple[NDArray[np.floating], tuple[int, int]]:
    """Centres of `number` blocks of `coarsen` pixels from index `first`, those in the grid; and how many lie before
    it and beyond it."""
    at = first + (coarsen - 1) / 2 + coarsen * np.arange(number)
    inside = (at >= 0) & (at <= centres.size - 1)
    spacing = (centres[-1] - centres[0]) / (centres.size - 1)
    before = int((at < 0).sum())
    return np.asarray(centres[0] + spacing * at[inside]), (before, number - before - int(inside.sum()))


def turned(frames: NDArray[Scalar], quarters: int, mirrored: bool) -> NDArray[Scalar]:
    """Frames [..., y, x] turned by `quarters` of a circle, and then perhaps mirrored along x."""
    frames = np.rot90(frames, quarters, axes=(-2, -1))
    return np.ascontiguousarray(frames[..., ::-1] if mirrored else frames)


def cut(
    frames: Sequence[NDArray[np.uint8] | None],
    centre: tuple[int, int],
    side: int,
    coarsen: int,
    bounds: tuple[int, int],
) -> FloatArray:
    """Rain rate (mm h-1) of a square of `side` pixels around `centre` (row, column) of frames [y, x], None = missing.

    NaN outside the grid and outside the columns `bounds`: what is held out is not seen from across the border.
    """
    ny = next(frame.shape[0] for frame in frames if frame is not None)
    top, left = centre[0] - side // 2, centre[1] - side // 2
    rows = slice(max(0, top), min(ny, top + side))
    columns = slice(max(bounds[0], min(left, bounds[1])), max(bounds[0], min(left + side, bounds[1])))
    rain = np.full((len(frames), side, side), np.nan, np.float32)
    inside = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    for position, frame in enumerate(frames):
        if frame is not None:
            rain[(position, *inside)] = RAIN_OF_PIXEL[frame[rows, columns]]
    if coarsen == 1:
        return rain
    parts = [rain[:, row::coarsen, column::coarsen] for row in range(coarsen) for column in range(coarsen)]
    return np.asarray(sum(parts) / np.float32(coarsen**2), np.float32)


def lagrangian_window(rain: FloatArray, step_minutes: float, config: WindowConfig) -> Window:
    """Frames [time, y, x] (mm h-1) as fractions in the newest context frame's coordinates, cropped."""
    context, future = rain[: config.context], rain[config.context :]
    motion = estimate_motion(context)
    goals = trajectories(-motion, len(future))
    targets = [advect(frame, goal) for frame, goal in zip(future, goals, strict=True)]
    return _cropped(to_newest(context, motion), targets, step_minutes, config)


def eulerian_window(rain: FloatArray, step_minutes: float, config: WindowConfig) -> Window:
    """Frames [time, y, x] (mm h-1) as fractions where they are, cropped."""
    return _cropped(rain[: config.context], rain[config.context :], step_minutes, config)


def _cropped(
    seen: Sequence[FloatArray] | FloatArray,
    future: Sequence[FloatArray] | FloatArray,
    step_minutes: float,
    config: WindowConfig,
) -> Window:
    """Frames [y, x] (mm h-1) without their margin, as fractions with a channel axis; leads beyond `future` are NaN."""
    inner = slice(config.margin, config.margin + config.crop)
    target = np.full((config.leads, 1, config.crop, config.crop), np.nan, np.float32)
    for lead, frame in enumerate(future):
        target[lead, 0] = hko7_fraction(frame[inner, inner])
    context = np.stack([hko7_fraction(frame[inner, inner])[None] for frame in seen])
    return Window(context=context, target=target, step_minutes=step_minutes)


def batches(
    regions: Sequence[Region], weights: Sequence[float], batch: int, rng: np.random.Generator
) -> Iterator[list[Window]]:
    """Endless batches of windows, each of one region and one time step, so that all have the same leads at most."""
    chances = np.asarray(weights, np.float64) / float(np.sum(weights))
    while True:
        region = regions[int(rng.choice(len(regions), p=chances))]
        step = float(rng.choice(list(region.runs)))
        yield [region.draw(rng, step) for _ in range(batch)]
