"""Members of an ensemble: realizations of the rain that agree with its forecast distribution at each pixel.

A Gaussian copula: a random field g [y, x] of mean 0 and variance 1 says how wet a member is, compared with what was
forecast. Its rain at a pixel is the rain rate that the forecast distribution exceeds with probability 1 - Phi(g). So
members have the frequencies of the distribution at each pixel, and the texture and the persistence of g in space and
time (`model.runtime.noise`). Relatives of this copula take g from past observations (the Schaake shuffle, Clark et al.
2004, doi:10.1175/1525-7541(2004)005<0243:TSSAMF>2.0.CO;2) or from the members of a weather model (ensemble copula
coupling, Schefzik, Thorarinsdottir and Gneiting 2013, doi:10.1214/13-STS443).

The random field moves with the rain: it changes slowly in the moving frame of reference, and each pixel reads it at the
departure point of its parcel. Between pixels it is interpolated, which reduces its variance; the spectrum tells by how
much, and the variance is restored.

Memory: the Fourier coefficients of each member (at most 34 MB, `model.runtime.noise`), the distributions of the pixels
where rain is possible, and as many members at a time as there are cores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.cores import available_cores
from model.core.rain_distribution import RainDistribution
from model.core.units import FloatArray
from model.runtime.advection import DeparturePoints, PixelBox, sample
from model.runtime.noise import GaussianFields, Lifetime, interpolated_variance, rain_spectrum

LIFETIME: Final = Lifetime(minutes_at_1_km=1.2, exponent=0.7)
"""Of what forecasts leave open, fitted on held-out hours of training archives (docs/lab.md)."""
MIN_PROBABILITY: Final = 1e-3
"""Where rain is less probable than this, members are dry."""
BAND: Final = 128
"""Rows whose pixels are prepared at a time."""
CHUNK: Final = 1 << 14
"""Pixels whose rain is computed at a time: they stay in a core's cache, and cv::remap takes rows of up to 32767."""
MAX_DEVIATION, LEVELS_PER_DEVIATION = 6, 2048
"""End and resolution of the table of 1 - Phi(g)."""
SUBPIXELS: Final = np.float32(32)
"""cv::remap interpolates at multiples of 1 / 32 pixel."""


class MemberGenerator:
    """Members of one forecast, lead step by lead step.

    Parameters
    ----------
    newest : ndarray
        Newest radar frame [y, x] (mm h-1, NaN = no data), whose texture the members take on.
    count : int
        Number of members.
    seed : int or sequence of int
        The same seed gives the same members; the first ones do not depend on `count`.
    step_minutes : float
        Time between lead steps.
    pixel_km : float
        Distance of the pixels (km).
    thresholds_mm_h : sequence of float
        Thresholds of the distributions (mm h-1).
    tail_mm_h : float
        Mean excess above the last threshold (mm h-1).
    ceiling_mm_h : float
        Largest rain rate of a member (mm h-1).
    lifetime : Lifetime
        Persistence by wavelength.
    """

    def __init__(
        self,
        newest: FloatArray,
        count: int,
        seed: int | Sequence[int],
        *,
        step_minutes: float,
        pixel_km: float,
        thresholds_mm_h: Sequence[float],
        tail_mm_h: float,
        ceiling_mm_h: float,
        lifetime: Lifetime = LIFETIME,
    ) -> None:
        spectrum = rain_spectrum(newest, pixel_km)
        decay = lifetime.decay(spectrum.wavelength_px() * np.float32(pixel_km), step_minutes)
        self.count = count
        self._fields = GaussianFields(spectrum, decay, count, seed)
        self._lead = 0
        self._thresholds_mm_h = tuple(thresholds_mm_h)
        self._tail_mm_h = tail_mm_h
        self._ceiling_mm_h = np.float32(ceiling_mm_h)

    def all_at_next_lead(self, exceedance: FloatArray, origins: DeparturePoints | None = None) -> FloatArray:
        """Return the members of `next_lead` as one array [realization, y, x]."""
        members = np.empty((self.count, *exceedance.shape[1:]), np.float32)
        for index, member in enumerate(self.next_lead(exceedance, origins)):
            members[index] = member
        return members

    def next_lead(self, exceedance: FloatArray, origins: DeparturePoints | None = None) -> Iterator[FloatArray]:
        """Yield the members at the next lead step, each [y, x] (mm h-1, NaN = no data); all have to be taken.

        Parameters
        ----------
        exceedance : ndarray
            P(rain >= threshold) [threshold, y, x], not increasing along the thresholds; NaN = no data.
        origins : DeparturePoints, optional
            Of the rain that has arrived, where its distributions have been advected; None: they are in the moving frame
            of reference.
        """
        self._lead += 1
        pixels = self._rainy_pixels(exceedance, origins)
        dry = np.where(np.isnan(exceedance[0]), np.float32(np.nan), np.float32(0))
        cores = available_cores()
        with ThreadPoolExecutor(cores) as pool:
            for first in range(0, self.count, cores):
                indices = range(first, min(first + cores, self.count))
                yield from pool.map(lambda index: self._member(index, pixels, dry.copy()), indices)

    def _rainy_pixels(self, exceedance: FloatArray, origins: DeparturePoints | None) -> list[_Pixels]:
        """Return the pixels where rain is possible, in parts that fit into a core's cache."""
        ny, nx = exceedance.shape[1:]
        covariance = self._fields.covariance(self._lead)
        period_y, period_x = covariance.shape
        parts = []
        for top in range(0, ny, BAND):
            box = PixelBox(top, min(top + BAND, ny), 0, nx)
            rows, columns = np.nonzero(exceedance[0, box.top : box.bottom] > MIN_PROBABILITY)
            if origins is None:
                position = np.stack([columns, rows + top], axis=-1).astype(np.float32)
            else:
                position = np.rint(origins.positions(box)[rows, columns] * SUBPIXELS) / SUBPIXELS
            position %= np.array([period_x, period_y], np.float32)
            right, down = np.modf(position.T)[0]
            scale = np.asarray(1 / np.sqrt(interpolated_variance(covariance, right, down)), np.float32)
            for start in range(0, rows.size, CHUNK):
                part = slice(start, start + CHUNK)
                at = rows[part] + top, columns[part]
                parts.append(_Pixels(at, exceedance[:, *at], position[part], scale[part]))
        return parts

    def _member(self, index: int, parts: list[_Pixels], member: FloatArray) -> FloatArray:
        """Fill in the rain of member number `index` at its next lead step, where it rains."""
        field = self._fields.next_lead(index)
        for pixels in parts:
            deviation = sample(field, pixels.position[None], cv2.BORDER_WRAP)[0] * pixels.scale
            level = _exceedance_of(deviation)
            wet = level < pixels.exceedance[0]
            distribution = RainDistribution(self._thresholds_mm_h, pixels.exceedance[:, wet], self._tail_mm_h)
            rows, columns = pixels.at
            member[rows[wet], columns[wet]] = np.minimum(distribution.value_at(level[wet]), self._ceiling_mm_h)
        return member


@dataclass(frozen=True, eq=False)
class _Pixels:
    """Some pixels [n] where rain is possible.

    `at`: their rows and columns; `exceedance`: their distributions [threshold, n]; `position`: where they read the
    random field, (x, y) [n, 2] within a period; `scale`: one over its standard deviation there.
    """

    at: tuple[NDArray[np.intp], NDArray[np.intp]]
    exceedance: FloatArray
    position: FloatArray
    scale: FloatArray


def _exceedance_of(deviation: FloatArray) -> FloatArray:
    """Return 1 - Phi(g), the probability that a standard normal variable exceeds g, from a table."""
    table = _normal_exceedance()
    index = np.rint((deviation + np.float32(MAX_DEVIATION)) * np.float32(LEVELS_PER_DEVIATION)).astype(np.int32)
    return np.asarray(table.take(index, mode="clip"))


@cache
def _normal_exceedance() -> FloatArray:
    steps = range(-MAX_DEVIATION * LEVELS_PER_DEVIATION, MAX_DEVIATION * LEVELS_PER_DEVIATION + 1)
    return np.array([math.erfc(step / LEVELS_PER_DEVIATION / math.sqrt(2)) / 2 for step in steps], np.float32)
