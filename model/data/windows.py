"""Training windows: context frames and target frames at one time step.

Those of a radar archive are runs of frames found by their time stamps. They are warped along the motion of the context
frames to the time of the newest one, so that what is left to predict is growth and decay (Ritvanen et al. 2023,
L-CNN, doi 10.1109/JSTARS.2022.3233119); or, with `lagrangian=False`, left where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.errors import TooFewFrames
from model.core.grid import Grid
from model.core.units import FloatArray, hko7_fraction, hko7_rain_rate_mm_h
from model.data.archive import Archive
from model.runtime.motion import advect, estimate_motion, to_newest, trajectories

MISSING_PIXEL = 255
WETNESS_BLOCK = 32
DRY_CHANCE = 0.02
RAIN_OF_PIXEL = hko7_rain_rate_mm_h(np.arange(256, dtype=np.float32) / np.float32(255))
RAIN_OF_PIXEL[MISSING_PIXEL] = np.nan

Scalar = TypeVar("Scalar", bound=np.generic)
ReadFields = Callable[[NDArray[np.datetime64], Grid], FloatArray]
"""Exogenous fields [t, n, y, x] at valid times (UTC) on a grid."""


@dataclass(frozen=True, kw_only=True)
class WindowConfig:
    """`context` frames in, up to `leads` out within `horizon_minutes`, `crop` pixels wide, cut from a window that is
    wider by `margin` on each side. `coarsen_chance`: how often a window is averaged over 2 x 2 pixels.
    `scale_db`: standard deviation of a random factor on rain rate, in dB. `lagrangian`: frames are warped along the
    motion of the context; False leaves them as they are."""

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


@dataclass(frozen=True, eq=False)
class Window:
    """Frames in [0, 1] with NaN = no data: `context` [t, c, y, x] and `target` [lead, c, y, x] (fewer leads than asked
    for: NaN frames), and exogenous `fields` [t + lead, n, y, x]. Rain is in HKO-7 fractions."""

    context: FloatArray
    target: FloatArray
    step_minutes: float
    fields: FloatArray | None = None


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a model is trained on: SHA-256 (hex) of the data, the days in it, and where it is from, licence included."""

    digest: str
    days: tuple[str, ...]
    sources: tuple[str, ...]


class FrameCache:
    """The pixels of an archive, decoded once into a memory-mapped file; 255 = no data."""

    def __init__(self, archive: Archive, folder: Path) -> None:
        self.times = archive.times
        self.grid = archive.grid
        self.minutes = (archive.times - archive.times[0]).astype("timedelta64[s]").astype(np.int64) / 60.0
        ny, nx = archive.grid.shape
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{archive.root.resolve().name}-{archive.digest()[:16]}.npy"
        if not path.exists():
            unfinished = path.with_suffix(".part")
            pixels = np.lib.format.open_memmap(unfinished, "w+", np.uint8, (len(archive.times), ny, nx))
            for index, time in enumerate(archive.times):
                frame, missing = archive.read_pixels(time)
                np.minimum(frame, MISSING_PIXEL - 1, out=frame)
                frame[missing] = MISSING_PIXEL
                pixels[index] = frame
            pixels.flush()
            unfinished.rename(path)
        self.pixels: NDArray[np.uint8] = np.load(path, mmap_mode="r")


class Region:
    """The part of an archive that windows are drawn from: times in [from_minute, to_minute), columns [x0, x1).

    Raises:
        ValueError: exogenous fields are asked for in Lagrangian windows: they stay in place while the rain is moved.
        TooFewFrames: no window of `config` fits in it.
    """

    def __init__(
        self,
        cache: FrameCache,
        config: WindowConfig,
        *,
        minutes: tuple[float, float] = (0.0, float("inf")),
        columns: tuple[int, int] | None = None,
        read_fields: ReadFields | None = None,
    ) -> None:
        if read_fields is not None and config.lagrangian:
            raise ValueError("exogenous fields are for windows with lagrangian=False: they do not move with the rain")
        self.cache = cache
        self.config = config
        self.read_fields = read_fields
        self.columns = columns or (0, cache.pixels.shape[2])
        inside = (cache.minutes >= minutes[0]) & (cache.minutes < minutes[1])
        index_of = {
            round(float(minute) * 60): int(index) for index, minute in enumerate(cache.minutes) if inside[index]
        }
        self.runs = {step: runs for step in config.step_minutes if (runs := self._runs(index_of, step))}
        if not self.runs:
            raise TooFewFrames(
                f"no run of {config.context} + {config.min_leads} frames at any of the steps {config.step_minutes} min",
                where="archive",
                mend="Import more frames, or choose other time steps",
            )
        self.wetness = {index: self._wetness(index) for index in index_of.values()}

    def _runs(self, index_of: dict[int, int], step: float) -> list[tuple[int, ...]]:
        """Index of each frame of each window at this step; windows near the end have fewer leads."""
        config = self.config
        leads = min(config.leads, int(config.horizon_minutes // step))
        runs = []
        for start in index_of:
            run: list[int] = []
            for position in range(config.context + leads):
                index = index_of.get(start + round(position * step * 60))
                if index is None:
                    break
                run.append(index)
            if len(run) >= config.context + min(config.min_leads, leads):
                runs.append(tuple(run))
        return runs

    def _wetness(self, index: int) -> FloatArray:
        """How much a window centred on each block is worth: its mean rain fraction, and a little for any."""
        frame = self.cache.pixels[index]
        missing = frame == MISSING_PIXEL
        rain = np.where(missing | (frame < 60), np.float32(0), frame.astype(np.float32) / 255)
        size = (max(1, frame.shape[1] // WETNESS_BLOCK), max(1, frame.shape[0] // WETNESS_BLOCK))
        worth = cv2.resize(rain, size, interpolation=cv2.INTER_AREA)
        known = 1 - cv2.resize(missing.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        worth = cv2.blur(np.minimum(worth, 0.25), (5, 5), borderType=cv2.BORDER_REPLICATE) + DRY_CHANCE * known * 0.05
        edges = np.linspace(0, frame.shape[1], size[0])
        worth[:, (edges < self.columns[0]) | (edges > self.columns[1])] = 0
        return np.asarray(worth, np.float32)

    def draw(self, rng: np.random.Generator, step: float | None = None) -> Window:
        """A window at a random step, start and place, with random flips, resolution and intensity."""
        config = self.config
        step = step or float(rng.choice(list(self.runs)))
        run = self.runs[step][rng.integers(len(self.runs[step]))]
        worth = self.wetness[run[config.context - 1]]
        place = int(np.searchsorted(np.cumsum(worth), rng.random() * float(worth.sum())))
        row, column = divmod(min(place, worth.size - 1), worth.shape[1])
        ny, nx = self.cache.pixels.shape[1:]
        jitter = rng.random(2) - 0.5
        centre = (
            int((row + 0.5 + jitter[0]) * ny / worth.shape[0]),
            int((column + 0.5 + jitter[1]) * nx / worth.shape[1]),
        )
        coarsen = 2 if rng.random() < config.coarsen_chance else 1
        side = (config.crop + 2 * config.margin) * coarsen
        rain = cut(self.cache.pixels, run, centre, side, coarsen, self.columns)
        rain = rain * np.float32(10 ** (rng.normal(0, config.scale_db) / 10))
        quarters, mirrored = int(rng.integers(4)), rng.random() < 0.5
        window = lagrangian_window if config.lagrangian else eulerian_window
        fields = None
        if self.read_fields is not None:
            fields = turned(self._fields(self.read_fields, run, step, centre, coarsen), quarters, mirrored)
        return replace(window(turned(rain, quarters, mirrored), step, config), fields=fields)

    def _fields(
        self, read_fields: ReadFields, run: Sequence[int], step: float, centre: tuple[int, int], coarsen: int
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
    pixels: NDArray[np.uint8],
    run: Sequence[int],
    centre: tuple[int, int],
    side: int,
    coarsen: int,
    bounds: tuple[int, int],
) -> FloatArray:
    """Rain rate (mm h-1) of a square of `side` pixels around `centre` (row, column).

    NaN outside the grid and outside the columns `bounds`: what is held out is not seen from across the border.
    """
    ny = pixels.shape[1]
    top, left = centre[0] - side // 2, centre[1] - side // 2
    rows = slice(max(0, top), min(ny, top + side))
    columns = slice(max(bounds[0], min(left, bounds[1])), max(bounds[0], min(left + side, bounds[1])))
    rain = np.full((len(run), side, side), np.nan, np.float32)
    inside = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    for position, index in enumerate(run):
        rain[(position, *inside)] = RAIN_OF_PIXEL[pixels[index, rows, columns]]
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
