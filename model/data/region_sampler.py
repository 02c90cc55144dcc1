"""Random training windows from a region of an archive, drawn by importance.

Most radar pixels are dry, so windows drawn evenly would teach little about rain. As in DGMR (Ravuri et al. 2021,
arXiv 2104.00954, Methods), candidate windows are evenly distributed over start times and places, and each is accepted
with a probability that grows with its rain. A window's weight, one over that probability, makes weighted means over
the drawn windows unbiased means over all windows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, NamedTuple

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
    cut_square,
    eulerian_window,
    lagrangian_window,
    lose_frames,
    quantise,
    rotate_and_flip,
)

ABSENT: Final = -1
"""Index of a missing frame."""
BLOCKS_PER_CROP: Final = 4
MAX_CANDIDATES: Final = 200_000
"""Candidates for one window; if none is accepted, the time step counts as exhausted."""

log = logging.getLogger(__name__)

ReadFields = Callable[[NDArray[np.datetime64], Grid], FloatArray]
"""Returns exogenous fields [t, n, y, x] at valid times (UTC) on a grid."""


class _Draw(NamedTuple):
    """An accepted candidate: indices of its frames, centre (row, column), coarsening, probability and frames.

    `between`: for frames that are means over the time step, the frames in between, as lists like `frames`.
    """

    run: NDArray[np.int32]
    centre: tuple[int, int]
    coarsen: int
    probability: float
    frames: list[NDArray[np.uint8] | None]
    between: Sequence[list[NDArray[np.uint8] | None]] = ()


def find_runs(
    times: NDArray[np.datetime64], step_minutes: float, frames: int, max_missing: int = 0
) -> NDArray[np.int32]:
    """Find runs of frames at a time step, by time stamps alone.

    Parameters
    ----------
    times
        Valid times, ascending.
    step_minutes
        Time step of the runs.
    frames
        Largest number of frames in a run.
    max_missing
        Number of frames in a row that may be missing; a run ends before a longer gap.

    Returns
    -------
    ndarray
        Indices of `times`, [run, position], with one run from each time; `ABSENT` for missing frames and after the
        end of a run.
    """
    seconds = times.astype("datetime64[s]").astype(np.int64)
    runs = np.full((seconds.size, frames), ABSENT, np.int32)
    unbroken = np.ones(seconds.size, np.bool_)
    missing = np.zeros(seconds.size, np.int64)
    for position in range(frames):
        required = seconds + round(position * step_minutes * 60)
        indices = np.minimum(np.searchsorted(seconds, required), seconds.size - 1)
        present = seconds[indices] == required
        missing = np.where(present, 0, missing + 1)
        unbroken &= missing <= max_missing
        runs[:, position] = np.where(unbroken & present, indices, ABSENT)
    return runs


class RegionSampler:
    """Draws training windows from a region of an archive: some of its times, and columns.

    `runs`: by time step, the frames of each window [window, position], as indices of the cache's times, or `ABSENT`.

    Parameters
    ----------
    cache
        Frames of the archive.
    config
        How windows are drawn.
    times
        Valid times of the region; by default all of the cache.
    columns
        First column and end column of the region; by default all columns.
    read_fields
        Reads exogenous fields; None for windows without fields.

    Raises
    ------
    InputError
        Lagrangian windows cannot have exogenous fields, which stay in place while the rain moves, nor missing frames,
        because motion is estimated from all context frames.
    TooFewFrames
        The region has no run of enough frames.
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
            unsupported = "exogenous fields" if read_fields is not None else "missing frames"
            raise InputError(
                f"{unsupported} need windows that stay in place", where="windows", hint="Train with lagrangian=False"
            )
        self.cache = cache
        self.config = config
        self.read_fields = read_fields
        self.columns = columns or (0, cache.grid.shape[1])
        inside = np.arange(cache.times.size) if times is None else np.flatnonzero(np.isin(cache.times, times))
        self._inside = frozenset(inside.tolist())
        self.runs = {step: runs for step in config.step_minutes if len(runs := self._find_runs(inside, step))}
        if not self.runs:
            raise TooFewFrames(
                f"no run of {config.context} + {config.min_leads} frames at any of the steps "
                f"{', '.join(f'{step:g}' for step in config.step_minutes)} min",
                where="archive",
                hint="Import more frames, or choose other time steps",
            )
        self._block = max(1, config.crop // BLOCKS_PER_CROP)
        rain = np.nan_to_num(RAIN_OR_MISSING)
        self._pixel_weights = config.draw_floor + config.draw_gain * -np.expm1(-rain / config.draw_scale_mm_h)
        self._pixel_weights[MISSING_PIXEL] = 0
        self._sampling_weights: dict[int, FloatArray] = {}
        self._exhausted_steps: set[float] = set()
        self._warned = False

    def _find_runs(self, inside: NDArray[np.intp], step: float) -> NDArray[np.int32]:
        """Find the frames of each window at a time step; windows near the end, or before a gap, have fewer leads."""
        config = self.config
        leads = min(config.leads, int(config.horizon_minutes // step))
        found = find_runs(self.cache.times[inside], step, config.context + leads, config.max_missing)
        found = np.where(found == ABSENT, np.int32(ABSENT), inside.astype(np.int32)[found])
        min_frames = config.context + min(config.min_leads, leads)
        # A forecast starts from the newest context frame, so that frame is never a missing one.
        long_enough = (found[:, min_frames - 1 :] != ABSENT).any(axis=1)
        runs: NDArray[np.int32] = found[long_enough & (found[:, config.context - 1] != ABSENT)]
        return runs

    def probability(self, run: NDArray[np.int32], centre: tuple[int, int], coarsen: int) -> float:
        """Return the probability of accepting a candidate, q in DGMR.

        It is min(1, mean of q_min + m (1 - exp(-R / s))) over the pixels of the crop in the newest context frame and,
        unless the context alone decides, in the last frame; pixels without data, and beyond the grid, count 0. Unlike
        DGMR, means over blocks of a quarter of the crop replace pixels: computed once per frame, they make a candidate
        cheap.
        """
        side, block = self.config.crop * coarsen, self._block
        top, left = (middle - side // 2 for middle in centre)
        # Called for some fifty candidates per accepted window; plain integers are faster than numpy here.
        rows = slice(max(0, round(top / block)), max(0, round((top + side) / block)))
        columns = slice(max(0, round(left / block)), max(0, round((left + side) / block)))
        frames = [int(run[self.config.context - 1])]
        if self.config.draw_by == "window":
            frames.append(int(run[run != ABSENT][-1]))
        total = sum(float(self._sampling_weights_of(frame)[rows, columns].sum()) for frame in frames)
        return min(1.0, total / len(frames) * (block / side) ** 2)

    def _sampling_weights_of(self, index: int) -> FloatArray:
        """Return the mean sampling weight of each block of a frame; 0 for a damaged frame."""
        if index not in self._sampling_weights:
            block, (ny, nx) = self._block, self.cache.grid.shape
            padded = np.full((-(-ny // block) * block, -(-nx // block) * block), MISSING_PIXEL, np.uint8)
            first, end = self.columns
            with suppress(DamagedFrame):
                padded[:ny, first:end] = self.cache.frame(index)[:, first:end]
            weights = self._pixel_weights[padded].reshape(padded.shape[0] // block, block, -1, block)
            self._sampling_weights[index] = weights.mean(axis=(1, 3), dtype=np.float32)
        return self._sampling_weights[index]

    def draw(self, rng: np.random.Generator, step: float) -> Window:
        """Draw a window at a random time and place, with random rotation, flip, resolution and intensity.

        Raises
        ------
        NoData
            No candidate was accepted.
        """
        config = self.config
        # Candidates use a generator of their own: what follows does not depend on how many were rejected.
        drawn = self._draw_candidate(rng.spawn(1)[0], step)
        side = (config.crop + 2 * config.margin) * drawn.coarsen
        parts = [
            cut_square(frames, drawn.centre, side, drawn.coarsen, self.columns)
            for frames in (drawn.frames, *drawn.between)
        ]
        rain = parts[0] if len(parts) == 1 else np.asarray(np.mean(parts, axis=0), np.float32)
        if config.exponent_spread:
            rain = np.power(rain, np.float32(np.clip(rng.normal(1, config.exponent_spread), 0.5, 1.5)))
        rain = rain * np.float32(10 ** (rng.normal(0, config.scale_db) / 10))
        if self._happens(rng, config.quantise_chance):
            rain = quantise(rain, rng)
        quarters, mirrored = int(rng.integers(4)), rng.random() < 0.5
        if config.outage_chance and rng.random() < config.outage_chance:
            rain[: config.context] = lose_frames(rain[: config.context], rng)
        fields = None
        if self.read_fields is not None:
            fields = rotate_and_flip(self._read_fields(self.read_fields, drawn, step), quarters, mirrored)
        make_window = lagrangian_window if config.lagrangian else eulerian_window
        window = make_window(rotate_and_flip(rain, quarters, mirrored), step, config)
        return replace(window, fields=fields, weight=1 / drawn.probability)

    def batch(self, rng: np.random.Generator, number: int, steps: Sequence[float]) -> list[Window]:
        """Draw `number` windows of one time step: the first of `steps` that is not exhausted.

        Raises
        ------
        NoData
            All time steps are exhausted.
        """
        *others, last = steps
        for step in others:
            with suppress(NoData):
                return [self.draw(rng, step) for _ in range(number)]
        return [self.draw(rng, last) for _ in range(number)]

    def warn_exhausted(self, error: NoData) -> None:
        """Log, once, that training continues without this region."""
        if not self._warned:
            log.warning("echocast: an archive is left out of the training: %s", error)
        self._warned = True

    def _draw_candidate(self, rng: np.random.Generator, step: float) -> _Draw:
        """Draw candidates until one is accepted and has enough readable frames."""
        candidates = MAX_CANDIDATES if step not in self._exhausted_steps else 0
        for _ in range(candidates):
            run = self.runs[step][rng.integers(len(self.runs[step]))]
            backwards = self._happens(rng, self.config.reverse_chance) and bool((run != ABSENT).all())
            run = run[::-1] if backwards else run
            coarsen = 2 if rng.random() < self.config.coarsen_chance else 1
            centre = self._draw_centre(rng, self.config.crop * coarsen)
            probability = self.probability(run, centre, coarsen)
            if rng.random() >= probability:
                continue
            frames = [self._read_frame(int(index)) for index in run]
            if length := self._usable_length([frame is not None for frame in frames]):
                drawn = _Draw(run[:length], centre, coarsen, probability, frames[:length])
                if self._happens(rng, self.config.accumulate_chance):
                    return drawn._replace(between=self._read_between(drawn.run, step, backwards))
                return drawn
        self._exhausted_steps.add(step)
        damaged = len(self.cache.damaged)
        raise NoData(
            f"none of {MAX_CANDIDATES:,} candidate windows of {step:g} min was accepted: "
            + (f"{damaged} of the frames are damaged" if damaged else "hardly any pixel holds data"),
            where=str(self.cache.archive.root),
            hint="Inspect it with: echocast archive info --check",
        )

    def _happens(self, rng: np.random.Generator, chance: float) -> bool:
        """Draw whether a variation happens; without it nothing is drawn. Exogenous fields do not take part in any."""
        return chance > 0 and self.read_fields is None and rng.random() < chance

    def _read_between(
        self, run: NDArray[np.int32], step: float, backwards: bool
    ) -> Sequence[list[NDArray[np.uint8] | None]]:
        """Read the frames in the time step before each frame of a run; none of them if one is missing."""
        base = self.cache.archive.step_minutes
        seconds = self.cache.times.astype("datetime64[s]").astype(np.int64)
        between: list[list[NDArray[np.uint8] | None]] = []
        for lag in range(1, round(step / base)):
            required = seconds[run] + round(lag * base * 60) * (1 if backwards else -1)
            indices = np.minimum(np.searchsorted(seconds, required), seconds.size - 1)
            if not (seconds[indices] == required).all() or not self._inside.issuperset(indices.tolist()):
                return ()
            frames = [self._read_frame(int(index)) for index in indices]
            if any(frame is None for frame in frames):
                return ()
            between.append(frames)
        return between

    def _draw_centre(self, rng: np.random.Generator, side: int) -> tuple[int, int]:
        """Draw the centre (row, column) of a square of `side` pixels within the region; of a larger one, the middle."""
        row, column = (
            int(rng.integers(first + side // 2, end - side + side // 2 + 1))
            if end - first >= side
            else (first + end) // 2
            for first, end in ((0, self.cache.grid.shape[0]), self.columns)
        )
        return row, column

    def _read_frame(self, index: int) -> NDArray[np.uint8] | None:
        """Read a frame; None if it is missing or damaged."""
        if index == ABSENT:
            return None
        try:
            return self.cache.frame(index)
        except DamagedFrame:
            return None

    def _usable_length(self, present: Sequence[bool]) -> int:
        """Return the number of frames of a run that make a window, 0 if too few; damaged frames count as missing."""
        missing = length = 0
        for position, is_present in enumerate(present):
            missing = 0 if is_present else missing + 1
            if missing > self.config.max_missing:
                break
            length = position + 1 if is_present else length
        min_frames = self.config.context + min(self.config.min_leads, len(present) - self.config.context)
        return length if length >= min_frames and present[self.config.context - 1] else 0

    def _read_fields(self, read_fields: ReadFields, drawn: _Draw, step: float) -> FloatArray:
        """Read fields [context + leads, n, crop, crop] at the pixels of the crop.

        Files of fields need not reach beyond the archive's grid: the values at the edge are repeated there.
        """
        config, grid = self.config, self.cache.grid
        offsets = np.round(np.arange(config.context + config.leads) * step * 60).astype("timedelta64[s]")
        (y, pad_y), (x, pad_x) = (
            _block_centres(centres, middle - config.crop * drawn.coarsen // 2, config.crop, drawn.coarsen)
            for centres, middle in zip((grid.y, grid.x), drawn.centre, strict=True)
        )
        inside = read_fields(self.cache.times[drawn.run[0]] + offsets, Grid(crs=grid.crs, x=x, y=y))
        return np.pad(inside, ((0, 0), (0, 0), pad_y, pad_x), mode="edge")


def sample_batches(
    samplers: Sequence[RegionSampler], weights: Sequence[float], batch: int, rng: np.random.Generator
) -> Iterator[list[Window]]:
    """Yield batches of windows without end, each of one region and one time step, so that windows have equal leads.

    Raises
    ------
    NoData
        All regions are exhausted.
    """
    probabilities = np.asarray(weights, np.float64) / float(np.sum(weights))
    exhausted: set[int] = set()
    while True:
        index = int(rng.choice(len(samplers), p=probabilities))
        sampler = samplers[index]
        try:
            yield sampler.batch(rng, batch, [float(step) for step in rng.permutation(list(sampler.runs))])
        except NoData as error:
            exhausted.add(index)
            if len(exhausted) == len(samplers):
                raise
            sampler.warn_exhausted(error)


def _block_centres(
    centres: NDArray[np.floating], first: int, number: int, coarsen: int
) -> tuple[NDArray[np.floating], tuple[int, int]]:
    """Return the centres, within the grid, of `number` blocks of `coarsen` pixels from index `first` on.

    Also returns the number of blocks before the grid and beyond it.
    """
    positions = first + (coarsen - 1) / 2 + coarsen * np.arange(number)
    inside = (positions >= 0) & (positions <= centres.size - 1)
    spacing = (centres[-1] - centres[0]) / (centres.size - 1)
    before = int((positions < 0).sum())
    return np.asarray(centres[0] + spacing * positions[inside]), (before, number - before - int(inside.sum()))
