"""Gaussian random fields with the spectrum of rain, correlated in time by scale.

The spectrum is the nonparametric filter of pysteps (`pysteps.noise.fftgenerators`, `nonparametric`; Seed, Pierce and
Norman 2013, doi:10.1002/wrcr.20536; Nerini et al. 2017, doi:10.5194/hess-21-2777-2017): white noise takes on the
Fourier amplitudes of the newest radar frame, and with them its texture and its direction. In time each Fourier
coefficient is an autoregressive process of order 2, as in STEPS (Bowler, Pierce and Seed 2006, doi:10.1256/qj.04.100),
whose lifetime grows with the wavelength, as in Seed (2003, doi:10.1175/1520-0450(2003)042<0381:ADASSA>2.0.CO;2) and in
the string of beads of Pegram and Clothier (2001, Journal of Hydrology 241, 26-41).

A field is periodic. Its period is the domain, up to `MAX_PERIOD_PX`; beyond that the field repeats, so that its memory
is bounded on any domain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import cv2
import numpy as np

from model.core.units import DRY_RAIN_RATE_MM_H, FloatArray

MAX_PERIOD_PX: Final = 2048
"""Longest period of a field (pixels). The Fourier coefficients of such a field take 17 MB."""
MIN_PERIOD_PX: Final = 16
"""Shortest one: a field of a few pixels could have no variance halfway between them."""
MIN_WET_PX: Final = 400
"""With fewer wet pixels in the newest frame the spectrum is the climatological one."""
MIN_VARIANCE: Final = 1e-10
"""So it is where the logarithm of rain varies less, beyond what rounding leaves: uniform rain has no texture."""
CLIMATOLOGICAL_SLOPE: Final = 2.6
"""Spectral power of the logarithm of rain falls with this power of the wavenumber."""
OUTER_SCALE_KM: Final = 256.0
"""Wavelength beyond which the climatological spectrum is flat."""
TAPER: Final = 0.2
"""Share of a side over which the Tukey window rises and falls."""


@dataclass(frozen=True)
class Lifetime:
    """Lifetime by wavelength: tau(L) = `minutes_at_1_km` L^`exponent`, with L in km.

    A power law as in Germann and Zawadzki (2002, doi:10.1175/1520-0493(2002)130<2859:SDOTPO>2.0.CO;2) and Seed (2003);
    not of rain, but of what a forecast leaves open.
    """

    minutes_at_1_km: float
    exponent: float

    def decay(self, wavelength_km: FloatArray, step_minutes: float) -> FloatArray:
        """Return exp(-dt / tau), by which Fourier coefficients decay over a time step."""
        lifetime = self.minutes_at_1_km * wavelength_km**self.exponent
        return np.asarray(np.exp(-step_minutes / lifetime), np.float32)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Fourier amplitudes of a periodic random field of unit variance.

    Attributes
    ----------
    amplitude : ndarray
        [ky, kx], kx >= 0, as `numpy.fft.rfft2` orders them. The squares add up to 1 over all wavenumbers, negative kx
        too; the mean of the field, at wavenumber 0, has none.
    shape : tuple of int
        Rows and columns of the period.
    """

    amplitude: FloatArray
    shape: tuple[int, int]

    def wavelength_px(self) -> FloatArray:
        """Return the wavelength of each coefficient [ky, kx] (pixels); the mean counts as the longest."""
        cycles = _cycles_per_pixel(self.shape)
        cycles[0, 0] = 1 / max(self.shape)
        return np.asarray(1 / cycles, np.float32)


def rain_spectrum(rain: FloatArray, pixel_km: float) -> Spectrum:
    """Return the spectrum of the logarithm of rain.

    Large domains are analysed in blocks of the period, whose power is averaged (Welch 1967,
    doi:10.1109/TAU.1967.1161901). In each block gaps count as the mean of the rest.

    Parameters
    ----------
    rain : ndarray
        Rain rate [y, x] (mm h-1, NaN = no data).
    pixel_km : float
        Distance of the pixels (km), of which the climatological spectrum depends.
    """
    shape = period(rain.shape)
    if np.count_nonzero(rain >= DRY_RAIN_RATE_MM_H) < MIN_WET_PX:
        return _normalised(_climatological_power(shape, pixel_km), shape)
    power = np.zeros((shape[0], shape[1] // 2 + 1), np.float32)
    for top, left in product(*(_block_starts(*sides) for sides in zip(rain.shape, shape, strict=True))):
        logarithm = np.log(
            np.maximum(rain[top : top + shape[0], left : left + shape[1]], np.float32(DRY_RAIN_RATE_MM_H))
        )
        known = np.isfinite(logarithm)
        if not known.any():
            continue
        anomaly = np.where(known, logarithm - logarithm.mean(where=known), np.float32(0))
        anomaly *= np.outer(*(_tukey(side) for side in anomaly.shape))
        coefficients = np.fft.rfft2(anomaly, s=shape)
        power += np.square(coefficients.real) + np.square(coefficients.imag)
    if _total_power(power) < MIN_VARIANCE * math.prod(shape) ** 2:
        power = _climatological_power(shape, pixel_km)
    return _normalised(power, shape)


def period(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the rows and columns after which a field for a domain of `shape` repeats: even, and quick to transform."""
    ny, nx = (2 * cv2.getOptimalDFTSize((int(np.clip(side, MIN_PERIOD_PX, MAX_PERIOD_PX)) + 1) // 2) for side in shape)
    return ny, nx


class GaussianFields:
    """Random fields of mean 0 and equal variance at each pixel, independent of each other, which evolve by lead step.

    Each Fourier coefficient is a critically damped autoregressive process of order 2,

        c_n = 2 rho c_n-1 - rho^2 c_n-2 + e_n,   c_0 = c_-1 = 0.

    It starts from 0, as a forecast starts from what was observed, and moves away from it smoothly, as the errors of a
    forecast do: the variance of large scales grows with the square of the lead time at first. Small scales reach the
    variance of the spectrum at once, large ones after their lifetime.

    Parameters
    ----------
    spectrum : Spectrum
        Of each field after an endless time.
    decay : ndarray
        rho of the Fourier coefficients [ky, kx].
    count : int
        Number of fields.
    seed : int or sequence of int
        The same seed gives the same fields, bit for bit with the same NumPy; the first ones do not depend on `count`.
    """

    def __init__(self, spectrum: Spectrum, decay: FloatArray, count: int, seed: int | Sequence[int]) -> None:
        self._shape = spectrum.shape
        self._random = [
            np.random.Generator(np.random.SFC64(child)) for child in np.random.SeedSequence(seed).spawn(count)
        ]
        self._decay = decay
        self._innovation_variance = np.square(spectrum.amplitude) * (1 - decay**2) ** 3 / (1 + decay**2)
        innovation = np.sqrt(self._innovation_variance / 2)
        # Of the columns that are their own mirror images, the inverse transform keeps the half that a real field has.
        innovation[:, [0, -1]] *= np.float32(math.sqrt(2))
        # The real part of a coefficient lies beside the imaginary one.
        self._innovation, self._first, self._second = (
            np.repeat(each, 2, axis=1) for each in (innovation, 2 * decay, -np.square(decay))
        )
        at_rest = np.zeros((1, 1), np.float32)
        self._coefficients = [(at_rest, at_rest)] * count

    def covariance(self, lead: int) -> FloatArray:
        """Return the covariance at lead step `lead` with the field displaced by rows and columns [y, x]."""
        power = np.zeros_like(self._innovation_variance)
        for age in range(lead):  # an innovation has grown by (age + 1) rho^age
            power += np.square((age + 1) * self._decay**age)
        power *= self._innovation_variance
        return np.asarray(np.fft.irfft2(power, s=self._shape, norm="forward"), np.float32)

    def next_lead(self, index: int) -> FloatArray:
        """Return field number `index` at its next lead step [y, x], one period. Fields may be computed in parallel."""
        newest, older = self._coefficients[index]
        coefficients = np.empty_like(self._innovation)
        self._random[index].standard_normal(out=coefficients, dtype=np.float32)
        coefficients *= self._innovation
        coefficients += self._first * newest
        coefficients += self._second * older
        self._coefficients[index] = coefficients, newest
        field = np.fft.irfft2(coefficients.view(np.complex64), s=self._shape, norm="forward")
        return np.asarray(field, np.float32)


def interpolated_variance(covariance: FloatArray, right: FloatArray, down: FloatArray) -> FloatArray:
    """Return the variance of a field between pixels, where it is interpolated bilinearly.

    Parameters
    ----------
    covariance : ndarray
        With the field displaced by rows and columns [y, x], one period.
    right, down : ndarray
        Distances from the pixel to the left, and from that above (0 to 1).
    """
    weights = ((1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right)
    corners = tuple(product((0, 1), repeat=2))
    variance = np.zeros_like(right)
    for (row, column), weight in zip(corners, weights, strict=True):
        for (other_row, other_column), other_weight in zip(corners, weights, strict=True):
            variance += weight * other_weight * covariance[row - other_row, column - other_column]
    return variance


def _normalised(power: FloatArray, shape: tuple[int, int]) -> Spectrum:
    """Return the spectrum of unit variance for powers [ky, kx], kx >= 0."""
    power[0, 0] = 0
    return Spectrum(np.sqrt(power / np.float32(_total_power(power))), shape)


def _total_power(power: FloatArray) -> float:
    """Return the sum over all wavenumbers, negative kx too, but the mean's."""
    return float(2 * power.sum(dtype=np.float64) - power[:, [0, -1]].sum(dtype=np.float64) - power[0, 0])


def _climatological_power(shape: tuple[int, int], pixel_km: float) -> FloatArray:
    """Return the power of each coefficient [ky, kx]: a power law, flat beyond the outer scale."""
    cycles = np.maximum(_cycles_per_pixel(shape), pixel_km / OUTER_SCALE_KM)
    return np.asarray(cycles**-CLIMATOLOGICAL_SLOPE, np.float32)


def _cycles_per_pixel(shape: tuple[int, int]) -> FloatArray:
    ny, nx = shape
    return np.asarray(np.hypot(np.fft.fftfreq(ny)[:, None], np.fft.rfftfreq(nx)[None]), np.float32)


def _block_starts(side: int, length: int) -> list[int]:
    """Return the first pixels of the blocks of a length that cover a side, evenly spaced."""
    count = max(1, math.ceil(side / length))
    return [round(start) for start in np.linspace(0, max(0, side - length), count)]


def _tukey(side: int) -> FloatArray:
    """Return a Tukey window [side]: 1, with cosine tapers."""
    distance = np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.minimum(1, distance / (TAPER * side / 2))), np.float32)
