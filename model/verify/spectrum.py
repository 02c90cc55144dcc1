"""Radially averaged power spectral density (RAPSD; Ruzanski and Chandrasekar 2011, doi 10.1175/2010JAMC2585.1)."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from model.core.units import FloatArray


def wavenumbers(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the wavenumber of each ring in cycles per pixel: 0, 1/L, 2/L, .. below 1/2; L is the longer side."""
    side = max(shape)
    return np.arange((side + 1) // 2) / side


def rapsd(field: FloatArray) -> NDArray[np.float64]:
    """Return the mean power |F|^2 / N over each ring of wavenumbers [ring].

    The field is not tapered, and its mean is in the first ring. For a square field the result equals that of
    `pysteps.utils.spectral.rapsd`.

    Parameters
    ----------
    field : array [y, x]
        N pixels, without NaN.
    """
    ring, count = _rings(field.shape[0], field.shape[1])
    power = np.square(np.abs(np.fft.fft2(np.asarray(field, np.float64)))) / field.size
    sums = np.bincount(ring.ravel(), weights=power.ravel(), minlength=count.size)
    return np.asarray(sums[: count.size] / count)


@cache
def _rings(ny: int, nx: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the ring of each Fourier coefficient [y, x], and the number of coefficients of each ring [ring]."""
    side = max(ny, nx)
    radius = np.hypot(np.fft.fftfreq(ny)[:, None], np.fft.fftfreq(nx)[None, :]) * side
    ring = np.round(radius).astype(np.intp)
    count = np.bincount(ring.ravel())[: wavenumbers((ny, nx)).size]
    return ring, count.astype(np.float64)


def half_octaves(shape: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the wavelength (pixels) of each band of half an octave, longest first, and the band of each ring.

    The first ring, the mean of the field, belongs to no band.
    """
    cycles = wavenumbers(shape)[1:]
    band = np.floor(2 * np.log2(cycles / cycles[0]) + 1e-9).astype(np.intp)
    band = np.unique(band, return_inverse=True)[1]
    centre = np.bincount(band, weights=np.log(cycles)) / np.bincount(band)
    return 1 / np.exp(centre), band


def average_half_octaves(power: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Average the power of the rings [ring, ..] over bands of half an octave [band, ..]."""
    _, band = half_octaves(shape)
    return np.stack([power[1:][band == one].mean(axis=0) for one in range(int(band.max()) + 1)])
