"""Radially averaged power spectral density (RAPSD; Ruzanski and Chandrasekar 2011, doi 10.1175/2010JAMC2585.1)."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from model.core.units import FloatArray


def wavenumbers(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Cycles per pixel of each ring: 0, 1/L, 2/L, .. below 1/2, where L is the longer side in pixels."""
    side = max(shape)
    return np.arange((side + 1) // 2) / side


def power_by_wavenumber(field: FloatArray) -> NDArray[np.float64]:
    """Mean power |F|^2 / N over each ring of wavenumbers [ring] of a field [y, x] of N pixels, without NaN.

    No taper; the mean of the field is in the first ring. On a square it is what `pysteps.utils.spectral.rapsd` gives.
    """
    ring, count = _rings(field.shape[0], field.shape[1])
    power = np.square(np.abs(np.fft.fft2(np.asarray(field, np.float64)))) / field.size
    sums = np.bincount(ring.ravel(), weights=power.ravel(), minlength=count.size)
    return np.asarray(sums[: count.size] / count)


@cache
def _rings(ny: int, nx: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Ring of each coefficient [y, x], and how many are in each."""
    side = max(ny, nx)
    radius = np.hypot(np.fft.fftfreq(ny)[:, None], np.fft.fftfreq(nx)[None, :]) * side
    ring = np.round(radius).astype(np.intp)
    count = np.bincount(ring.ravel())[: wavenumbers((ny, nx)).size]
    return ring, count.astype(np.float64)


def half_octaves(shape: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Wavelength (pixels) of bands half an octave wide, longest first; and the band of each ring but the first."""
    cycles = wavenumbers(shape)[1:]
    band = np.floor(2 * np.log2(cycles / cycles[0]) + 1e-9).astype(np.intp)
    band = np.unique(band, return_inverse=True)[1]
    centre = np.bincount(band, weights=np.log(cycles)) / np.bincount(band)
    return 1 / np.exp(centre), band


def in_half_octaves(power: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Mean power of each band [band, ..] of power by ring [ring, ..]; the mean of the field is left out."""
    _, band = half_octaves(shape)
    return np.stack([power[1:][band == one].mean(axis=0) for one in range(int(band.max()) + 1)])
