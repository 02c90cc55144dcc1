"""Where training windows are drawn from: runs of an archive's frames, found by their time stamps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.core.errors import InputError, NoData, TooFewFrames
from model.core.grid import Grid
from model.core.units import FloatArray
from model.data.archive import DamagedFrame
from model.data.frame_cache import MISSING_PIXEL, FrameCache
from model.data.windows import (
    RAIN_OR_MISSING,
    Window,
    WindowConfig,
    cut,
    eulerian_window,
    lagrangian_window,
    rotate_and_flip,
)

ABSENT: Final = -1
"""In place of a frame that is missing."""
BLOCKS_PER_CROP: Final = 4
TRIES: Final = 200_000

log = logging.getLogger(__name__)

ReadFields = Callable[[NDArray[np.datetime64], Grid], FloatArray]
"""Exogenous fields [t, n, y, x] at valid times (UTC) on a grid."""


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


class RegionSampler:
    """The part of an archive that windows are drawn from: `times` (of the cache's, default all), columns [x0, x1).

    `runs`: by time step, the frames of each window [window, position]: places in the cache's times, or `ABSENT`.

    Raises
    ------
    InputError
        Exogenous fields, or windows with missing frames, are asked for in Lagrangian windows: fields stay
        in place while the rain is moved, and its motion is estimated from all context frames.
    TooFewFrames
        No window of `config` fits in it.
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
                f"{what} are for windows that stay in place", where="windows", hint="Train with lagrangian=False"
            )
        self.cache = cache
        self.config = config
        self.read_fields = read_fields
        self.columns = columns or (0, cache.grid.shape[1])
        inside = np.arange(cache.times.size) if times is None else np.flatnonzero(np.isin(cache.times, times))
        self.runs = {step: runs for step in config.step_minutes if len(runs := self._runs(inside, step))}
        if not self.runs:
            raise TooFewFrames(
                f"no run of {config.context} + {config.min_leads} frames at any of the steps "
                f"{', '.join(f'{step:g}' for step in config.step_minutes)} min",
                where="archive",
                hint="Import more frames, or choose other time steps",
            )
        self._block = max(1, config.crop // BLOCKS_PER_CROP)
        rain = np.nan_to_num(RAIN_OR_MISSING)
        self._worth_of_pixel = config.draw_floor + config.draw_gain * -np.expm1(-rain / config.draw_scale_mm_h)
        self._worth_of_pixel[MISSING_PIXEL] = 0
        self._worth: dict[int, FloatArray] = {}
        self._barren: set[float] = set()
        self._told = False

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

    def draw(self, rng: np.random.Generator, step: float) -> Window:
        """A window at a random start and place, with random flips, resolution and intensity.

        Windows are come upon evenly, over starts and places, and each is drawn with its `probability`; its weight is
        one over that. Same generator, same window.

        Raises
        ------
        NoData
            No window was drawn in very many.
        """
        config = self.config
        run, centre, coarsen, probability, frames = self._drawn(rng.spawn(1)[0], step)
        side = (config.crop + 2 * config.margin) * coarsen
        rain = cut(frames, centre, side, coarsen, self.columns)
        rain = rain * np.float32(10 ** (rng.normal(0, config.scale_db) / 10))
        quarters, mirrored = int(rng.integers(4)), rng.random() < 0.5
        window = lagrangian_window if config.lagrangian else eulerian_window
        fields = None
        if self.read_fields is not None:
            fields = rotate_and_flip(self._fields(self.read_fields, run, step, centre, coarsen), quarters, mirrored)
        made = window(rotate_and_flip(rain, quarters, mirrored), step, config)
        return replace(made, fields=fields, weight=1 / probability)

    def batch(self, rng: np.random.Generator, number: int, steps: Sequence[float]) -> list[Window]:
        """So many windows of one time step: the first of `steps` at which there are any.

        Raises
        ------
        NoData
            There is none at any of them.
        """
        *others, last = steps
        for step in others:
            with suppress(NoData):
                return [self.draw(rng, step) for _ in range(number)]
        return [self.draw(rng, last) for _ in range(number)]

    def tell_barren(self, error: NoData) -> None:
        """Say, once, that training goes on without it."""
        if not self._told:
            log.warning("echocast: an archive is not trained on: %s", error)
        self._told = True

    def _drawn(
        self, rng: np.random.Generator, step: float
    ) -> tuple[NDArray[np.int32], tuple[int, int], int, float, list[NDArray[np.uint8] | None]]:
        """The run, centre (row, column), coarsening, probability and frames of the next window that is drawn."""
        tries = TRIES if step not in self._barren else 0
        for _ in range(tries):
            run = self.runs[step][rng.integers(len(self.runs[step]))]
            coarsen = 2 if rng.random() < self.config.coarsen_chance else 1
            centre = self._centre(rng, self.config.crop * coarsen)
            probability = self.probability(run, centre, coarsen)
            if rng.random() >= probability:
                continue
            frames = [self._frame_at(int(index)) for index in run]
            if length := self._length([frame is not None for frame in frames]):
                return run[:length], centre, coarsen, probability, frames[:length]
        self._barren.add(step)
        damaged = len(self.cache.damaged)
        raise NoData(
            f"of {TRIES:,} windows of {step:g} min none was drawn: "
            + (f"{damaged} of its frames are damaged" if damaged else "hardly a pixel holds data"),
            where=str(self.cache.archive.root),
            hint="Look at it with: echocast archive info --check",
        )

    def _centre(self, rng: np.random.Generator, side: int) -> tuple[int, int]:
        """A random (row, column) around which a square of `side` pixels lies within the region; where it is larger than
        that, the middle."""
        row, column = (
            int(rng.integers(first + side // 2, end - side + side // 2 + 1))
            if end - first >= side
            else (first + end) // 2
            for first, end in ((0, self.cache.grid.shape[0]), self.columns)
        )
        return row, column

    def _frame_at(self, index: int) -> NDArray[np.uint8] | None:
        """A frame; None where it is missing or damaged."""
        if index == ABSENT:
            return None
        try:
            return self.cache.frame(index)
        except DamagedFrame:
            return None

    def _length(self, there: Sequence[bool]) -> int:
        """How many frames of a run make a window, by which of them are there; 0 where they make none.

        A frame that turns out to be damaged is one more that is missing: it may cut the window short.
        """
        missing = length = 0
        for position, present in enumerate(there):
            missing = 0 if present else missing + 1
            if missing > self.config.max_missing:
                break
            length = position + 1 if present else length
        least = self.config.context + min(self.config.min_leads, len(there) - self.config.context)
        return length if length >= least and there[self.config.context - 1] else 0

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


def batches(
    regions: Sequence[RegionSampler], weights: Sequence[float], batch: int, rng: np.random.Generator
) -> Iterator[list[Window]]:
    """Endless batches of windows, each of one region and one time step, so that all have the same leads at most.

    Raises
    ------
    NoData
        There is none in any of the regions.
    """
    chances = np.asarray(weights, np.float64) / float(np.sum(weights))
    barren: set[int] = set()
    while True:
        chosen = int(rng.choice(len(regions), p=chances))
        region = regions[chosen]
        try:
            yield region.batch(rng, batch, [float(step) for step in rng.permutation(list(region.runs))])
        except NoData as error:
            barren.add(chosen)
            if len(barren) == len(regions):
                raise
            region.tell_barren(error)
