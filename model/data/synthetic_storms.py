"""Synthetic radar rain: storms that move, grow and decay, the same for the same seed.

Rain is a product of two parts. The *envelope* is the mean rain rate: convective cells with a life cycle of
birth, growth and decay, in frontal weather within a band of stratiform rain. The *texture* is a cascade of
Gaussian levels, one per octave of scale, each an autoregressive process in the moving frame; small levels
decorrelate faster (Seed, 2003, "A dynamic and spatial scaling approach to advection forecasting"; Bowler et
al., 2006, "STEPS"). One motion field carries both: a slowly veering steering wind, plus a divergence-free
perturbation that shears.

This module does not import torch: tests, the bundled sample and `echocast archive synth` use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from model.core.errors import InputError
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.core.units import DRY_RAIN_RATE_MM_H, FloatArray
from model.core.zr import MARSHALL_PALMER

DEFAULT_START: Final = np.datetime64("2026-06-15T12:00", "ns")
SPIN_UP_MINUTES: Final = 90.0
MAX_RAIN_RATE_MM_H: Final = 150.0


@dataclass(frozen=True, kw_only=True)
class Weather:
    """Parameters of a kind of weather: speeds in m s-1, lengths in km, times in minutes, rates in mm h-1."""

    steering_speed: float = 11.0
    steering_towards_deg: float = 70.0
    """Direction that storms move towards, degrees clockwise from north."""
    veering_deg_per_hour: float = 4.0
    shear: float = 0.25
    """Speed of the perturbation divided by the speed of the steering wind."""
    cells_per_hour_per_10000_km2: float = 10.0
    cell_radius: tuple[float, float] = (3.0, 8.0)
    cell_life: tuple[float, float] = (35.0, 110.0)
    cell_peak: tuple[float, float] = (6.0, 45.0)
    band_rain_rate: float = 0.0
    """Mean rain rate at the centre line of the frontal band; 0 for no band."""
    band_width: float = 36.0
    band_angle_deg: float = 20.0
    """Direction of the band, degrees clockwise from north."""
    texture_db: float = 5.0
    """Standard deviation of the texture, in dB of rain rate."""
    texture_slope: float = 0.7
    """The amplitude of a level is that of the next smaller level times 2 to this power."""
    texture_life: float = 3.0
    """Correlation time of the smallest level; it doubles with the scale."""


def frontal() -> Weather:
    """Return a band of stratiform rain with embedded convection that crosses the area."""
    return Weather(band_rain_rate=1.1, cells_per_hour_per_10000_km2=16.0, cell_radius=(3.0, 9.0), cell_peak=(3.0, 28.0))


def convective() -> Weather:
    """Return scattered showers and thunderstorms."""
    return Weather(steering_speed=9.0, shear=0.35, cells_per_hour_per_10000_km2=5.0, cell_peak=(4.0, 50.0))


def stratiform() -> Weather:
    """Return widespread, uniform, light rain."""
    return Weather(
        steering_speed=13.0,
        cells_per_hour_per_10000_km2=1.5,
        cell_peak=(2.0, 9.0),
        band_rain_rate=1.2,
        band_width=150.0,
        texture_db=4.0,
    )


WEATHERS: Final = {"frontal": frontal, "convective": convective, "stratiform": stratiform}


def synthesise(
    *,
    frames: int,
    shape: tuple[int, int],
    step_minutes: float,
    seed: int,
    pixel_size_m: float = 1000.0,
    weather: Weather | None = None,
    start: np.datetime64 = DEFAULT_START,
    no_data_sectors: int = 0,
) -> FrameSequence:
    """Return synthetic rain on a Lambert grid, like an 8-bit radar product: steps of 0.5 dBZ (Marshall-Palmer).

    Parameters
    ----------
    frames
        Number of frames.
    shape
        Rows and columns, at least 16 each.
    step_minutes
        Time step.
    seed
        The same seed gives the same rain.
    pixel_size_m
        Side of a pixel in metres.
    weather
        Kind of weather; by default frontal.
    start
        Valid time (UTC) of the first frame.
    no_data_sectors
        Number of wedges around the centre without data (NaN); if positive, pixels beyond the radar's range have no
        data either.

    Raises
    ------
    InputError
        A number is out of range.
    """
    if frames < 1:
        raise InputError(f"{frames} frames requested", where="frames", hint="Request at least 1")
    grid = synthetic_grid(shape, pixel_size_m)
    rain = list(islice(storms(grid, step_minutes=step_minutes, seed=seed, weather=weather or frontal()), frames))
    rain_rate = np.stack(rain)
    if no_data_sectors:
        rain_rate[:, blind_pixels(grid, no_data_sectors, seed)] = np.nan
    step = np.timedelta64(round(step_minutes * 60), "s")
    return FrameSequence(
        rain_rate=rain_rate,
        times=start.astype("datetime64[ns]") + np.arange(frames) * step,
        grid=grid,
        attributes={"source": f"Echocast synthetic storms, seed {seed}", "zr_relation": MARSHALL_PALMER.name},
    )


def synthetic_grid(shape: tuple[int, int], pixel_size_m: float) -> Grid:
    """Return a north-up Lambert azimuthal equal-area grid of `shape` (rows, columns) around 52 N 5 E.

    Raises
    ------
    InputError
        A side is below 16 pixels, or the pixel size is not positive.
    """
    if min(shape) < 16 or pixel_size_m <= 0:
        what = f"a grid of {shape[0]} x {shape[1]} pixels of {pixel_size_m:g} m"
        raise InputError(what, where="shape", hint="Take sides of at least 16 pixels, and a positive pixel size")
    crs = CRS.from_proj4("+proj=laea +lat_0=52 +lon_0=5 +datum=WGS84 +units=m")
    crs = CRS.from_json_dict({**crs.to_json_dict(), "name": "Lambert azimuthal equal-area at 52 N 5 E"})
    return Grid.regular(crs, shape=shape, pixel_size=pixel_size_m, centre=(0.0, 0.0))


def storms(grid: Grid, *, step_minutes: float, seed: int, weather: Weather) -> Iterator[FloatArray]:
    """Yield rain rates (mm h-1, float32 [y, x]) on a grid every `step_minutes`, without end, in bounded memory.

    Raises
    ------
    InputError
        The step is not positive.
    """
    if step_minutes <= 0:
        raise InputError(f"a step of {step_minutes:g} min", where="step", hint="Take a positive step")
    sky = _Sky(grid, step_minutes, np.random.default_rng(seed), weather)
    while True:
        yield sky.rain_rate_mm_h()
        sky.advance()


def blind_pixels(grid: Grid, sectors: int, seed: int) -> NDArray[np.bool_]:
    """Return the pixels [y, x] without coverage by a radar at the centre: beyond its range, and in `sectors` wedges."""
    rng = np.random.default_rng([seed, 1])
    dx, dy = grid.x - grid.x.mean(), grid.y - grid.y.mean()
    azimuth = np.rad2deg(np.arctan2(dx[None, :], dy[:, None])) % 360
    distance = np.hypot(dx[None, :], dy[:, None])
    blind: NDArray[np.bool_] = distance > 0.54 * (min(np.ptp(dx), np.ptp(dy)) + abs(dx[1] - dx[0]))
    near = 0.05 * distance.max()
    for _ in range(sectors):
        middle, half_width = rng.uniform(0, 360), rng.uniform(3, 8)
        offset = np.abs((azimuth - middle + 180) % 360 - 180)
        blind |= (offset < half_width) & (distance > near)
    return blind


def as_radar_product(rain_rate_mm_h: FloatArray) -> FloatArray:
    """Round rain rates (mm h-1) to steps of 0.5 dBZ (Marshall-Palmer), as in an 8-bit product; 0 below 0.1 mm h-1."""
    dbz = np.round(MARSHALL_PALMER.reflectivity_dbz(np.maximum(rain_rate_mm_h, 1e-6)) * 2) / 2
    rain = MARSHALL_PALMER.rain_rate_mm_h(dbz)
    return np.where(rain < DRY_RAIN_RATE_MM_H, np.float32(0), rain)


@dataclass(frozen=True)
class _Cells:
    """Convective cells, one row each: position and radii in pixels, age and life in minutes, peak in mm h-1."""

    row: NDArray[np.float64]
    column: NDArray[np.float64]
    radius: NDArray[np.float64]
    stretch: NDArray[np.float64]
    tilt: NDArray[np.float64]
    age: NDArray[np.float64]
    life: NDArray[np.float64]
    peak: NDArray[np.float64]

    def where(self, keep: NDArray[np.bool_]) -> _Cells:
        return _Cells(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))

    def concatenate(self, others: _Cells) -> _Cells:
        pairs = ((getattr(self, name), getattr(others, name)) for name in self.__dataclass_fields__)
        return _Cells(*(np.concatenate(pair) for pair in pairs))


class _Sky:
    """The state of the weather on a periodic canvas that is a quarter larger than the grid at its centre."""

    def __init__(self, grid: Grid, step_minutes: float, rng: np.random.Generator, weather: Weather) -> None:
        self.rng = rng
        self.weather = weather
        self.step_minutes = step_minutes
        self.pixel_km = float(np.mean(grid.pixel_size_m)) / 1000
        self.shape = (_canvas_side(grid.shape[0]), _canvas_side(grid.shape[1]))
        self.crop = tuple(slice((c - g) // 2, (c - g) // 2 + g) for c, g in zip(self.shape, grid.shape, strict=True))
        self.minutes = 0.0
        self.rows, self.columns = np.meshgrid(*map(np.arange, self.shape), indexing="ij", sparse=True)
        self.perturbation = self._perturbation()
        self._prepare_cascade()
        self.band_offset_km = 0.0
        self.cells = self._new_cells(0.0)
        while self.minutes < SPIN_UP_MINUTES:
            self._advance_cells()
            self.minutes += step_minutes
        self.minutes = 0.0

    def rain_rate_mm_h(self) -> FloatArray:
        texture = sum(a * level for a, level in zip(self.amplitudes, self.levels, strict=True))
        # A lognormal factor of mean 1: the texture redistributes the rain of the envelope and adds none.
        spread = self.weather.texture_db * np.log(10) / 10
        rain = self._envelope() * np.exp(spread * texture - spread**2 / 2)
        rain = rain / (1 + rain / MAX_RAIN_RATE_MM_H)
        return as_radar_product(np.ascontiguousarray(rain[self.crop], np.float32))

    def advance(self) -> None:
        self.minutes += self.step_minutes
        self._advance_cascade()
        self._advance_cells()
        towards = np.deg2rad(self.weather.band_angle_deg + 90)
        column, row = self._steering()
        self.band_offset_km += (column * np.sin(towards) - row * np.cos(towards)) * self.pixel_km

    def _steering(self) -> tuple[float, float]:
        """Return the steering wind in columns and rows per step."""
        weather = self.weather
        towards = np.deg2rad(weather.steering_towards_deg + weather.veering_deg_per_hour * self.minutes / 60)
        pixels = weather.steering_speed * 60 * self.step_minutes / 1000 / self.pixel_km
        return float(pixels * np.sin(towards)), float(-pixels * np.cos(towards))

    def _perturbation(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return a periodic, divergence-free (u, v) [y, x] of unit root mean square speed on the canvas."""
        ny, nx = self.shape
        y, x = 2 * np.pi * self.rows / ny, 2 * np.pi * self.columns / nx
        u, v = np.zeros(self.shape), np.zeros(self.shape)
        for ky, kx in ((0, 1), (1, 0), (1, 1), (1, -1), (1, 2), (2, 1), (2, -1)):
            amplitude = self.rng.normal() / np.hypot(ky, kx)
            slope = amplitude * np.cos(ky * y + kx * x + self.rng.uniform(0, 2 * np.pi))
            u += ky / ny * slope
            v -= kx / nx * slope
        scale = np.sqrt(np.mean(u**2 + v**2))
        return u / scale, v / scale

    def _motion(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the motion in columns and rows per step, [y, x] on the canvas."""
        column, row = self._steering()
        shear = self.weather.shear * np.hypot(column, row)
        return column + shear * self.perturbation[0], row + shear * self.perturbation[1]

    def _prepare_cascade(self) -> None:
        ny, nx = self.shape
        frequency = np.hypot(np.fft.fftfreq(ny)[:, None], np.fft.rfftfreq(nx)[None, :])
        count = max(2, int(np.log2(min(ny, nx) / 4)))
        octave = np.log2(np.maximum(frequency, 1e-9) * 4)  # 0 at a wavelength of 4 pixels, -1 at 8, ...
        # One Gaussian bump an octave wide around each wavelength 4, 8, 16, ... pixels.
        self.filters = [np.exp(-0.5 * ((octave + k) / 0.45) ** 2) * (frequency > 0) for k in range(count)]
        # Beyond 64 km the envelope dominates, and the amplitudes of the texture stay constant.
        largest = np.log2(max(64 / self.pixel_km / 4, 1))
        amplitudes = 2 ** (self.weather.texture_slope * np.minimum(np.arange(count), largest))
        self.amplitudes = amplitudes / np.sqrt(np.sum(amplitudes**2))
        self.lives = self.weather.texture_life * self.pixel_km * 2.0 ** np.arange(count)
        self.levels = self._noise()

    def _noise(self) -> list[FloatArray]:
        """Return a new random field of unit variance per level."""
        spectrum = np.fft.rfft2(self.rng.standard_normal(self.shape))
        fields = (np.fft.irfft2(spectrum * band, self.shape) for band in self.filters)
        return [_unit_variance(field) for field in fields]

    def _advance_cascade(self) -> None:
        u, v = self._motion()
        source_x = (self.columns - u).astype(np.float32)
        source_y = (self.rows - v).astype(np.float32)
        memory = np.exp(-self.step_minutes / self.lives)
        for k, (level, noise, phi) in enumerate(zip(self.levels, self._noise(), memory, strict=True)):
            moved = cv2.remap(level, source_x, source_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)
            self.levels[k] = _unit_variance(phi * moved + np.sqrt(1 - phi**2) * noise)

    def _band(self) -> NDArray[np.float64]:
        """Return the relative rain rate of the frontal band [y, x]; after passing, the band returns from upstream."""
        along = np.deg2rad(self.weather.band_angle_deg)
        middle = (np.array(self.shape) - 1) / 2
        x, y = (self.columns - middle[1]) * self.pixel_km, -(self.rows - middle[0]) * self.pixel_km
        across = x * np.cos(along) - y * np.sin(along) - self.band_offset_km
        # Real fronts are not straight: the band bends over the length of the canvas.
        length = x * np.sin(along) + y * np.cos(along)
        bend = np.sin(2 * np.pi * length / (1.3 * np.ptp(length)) + 0.6)
        across = across + 0.35 * self.weather.band_width * bend
        period = np.hypot(*self.shape) * self.pixel_km + 6 * self.weather.band_width
        across = (across + period / 2) % period - period / 2
        # Sharper at the leading edge than at the rear.
        width = self.weather.band_width * np.where(across > 0, 0.55, 1.0)
        return np.asarray(np.exp(-0.5 * (across / width) ** 2))

    def _envelope(self) -> NDArray[np.float64]:
        band = self.weather.band_rain_rate
        rain = band * self._band() if band else np.zeros(self.shape)
        cells = self.cells
        grown = np.sin(np.pi * np.clip(cells.age / cells.life, 0, 1)) ** 1.5
        for k in range(cells.row.size):
            size = cells.radius[k] * (0.6 + 0.4 * grown[k])
            reach = int(np.ceil(3.2 * size * cells.stretch[k]))
            r, c = int(cells.row[k]), int(cells.column[k])
            window = (slice(max(r - reach, 0), r + reach + 1), slice(max(c - reach, 0), c + reach + 1))
            dy, dx = self.rows[window[0]] - cells.row[k], self.columns[:, window[1]] - cells.column[k]
            cos, sin = np.cos(cells.tilt[k]), np.sin(cells.tilt[k])
            along, across = (dx * cos + dy * sin) / (size * cells.stretch[k]), (dy * cos - dx * sin) / size
            rain[window] += cells.peak[k] * grown[k] * np.exp(-0.5 * (along**2 + across**2))
        return rain

    def _new_cells(self, minutes: float) -> _Cells:
        """Return the cells that form within `minutes`: mostly in the band if there is one, else anywhere."""
        weather, rng = self.weather, self.rng
        area = np.prod(self.shape) * self.pixel_km**2 / 10_000
        count = int(rng.poisson(weather.cells_per_hour_per_10000_km2 * area * minutes / 60))
        row, column = (rng.uniform(0, side, count) for side in self.shape)
        if weather.band_rain_rate and count:
            chance = self._band()[row.astype(int), column.astype(int)]
            keep = rng.uniform(size=count) < 0.04 + 0.96 * chance**2
            row, column = row[keep], column[keep]
            count = row.size
        low, high = np.log(weather.cell_peak)
        # Few cells are strong, and strong ones are larger and live longer (a lognormal tail).
        strength = rng.beta(1.3, 2.4, count)
        radius_km = weather.cell_radius[0] + np.ptp(weather.cell_radius) * strength * rng.uniform(0.5, 1, count)
        return _Cells(
            row=row,
            column=column,
            radius=radius_km / self.pixel_km,
            stretch=rng.uniform(1.0, 2.2, count),
            tilt=rng.uniform(0, np.pi, count),
            age=np.zeros(count),
            life=weather.cell_life[0] + np.ptp(weather.cell_life) * strength * rng.uniform(0.6, 1, count),
            peak=np.exp(low + (high - low) * strength),
        )

    def _advance_cells(self) -> None:
        u, v = self._motion()
        cells = self.cells
        at = cells.row.astype(int), cells.column.astype(int)
        moved = replace(cells, row=cells.row + v[at], column=cells.column + u[at], age=cells.age + self.step_minutes)
        ny, nx = self.shape
        inside = (moved.row >= 0) & (moved.row < ny) & (moved.column >= 0) & (moved.column < nx)
        self.cells = moved.where(inside & (moved.age < moved.life)).concatenate(self._new_cells(self.step_minutes))


def _canvas_side(side: int) -> int:
    """Return a side a quarter longer than `side`, rounded up to a size with a fast Fourier transform."""
    return int(cv2.getOptimalDFTSize(round(side * 1.25)))


def _unit_variance(field: NDArray[np.floating]) -> FloatArray:
    return np.asarray((field - field.mean()) / field.std(), np.float32)
