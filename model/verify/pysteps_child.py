"""Runs pysteps in a child process: on import, pysteps silences every RuntimeWarning of its process and prints.

`model.verify.pysteps_process` starts this file as a script, so it imports nothing of Echocast. A request on stdin is a
line of JSON {shape, steps} and the frames as raw float32; for members also {members, seed, step_minutes, pixel_km}. A
response on stdout is a line of JSON {shape} or {error} and the forecast frames.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_RAIN_MM_H = 0.1
DRY_DBR = -15.0
"""The threshold and the value for dry pixels of the dBR transform in pysteps' examples."""
CASCADE_LEVELS = 6
FEWEST_WET_PIXELS = 100
"""With fewer wet pixels in the newest frame, STEPS has no noise to estimate: every member is the extrapolation."""


def main() -> None:
    """Serve requests until stdin is closed."""
    output, requests = sys.stdout.buffer, sys.stdin.buffer
    # Text that the library prints must not mix with the responses.
    sys.stdout = sys.stderr
    while line := requests.readline():
        request = json.loads(line)
        shape = request["shape"]
        frames = np.frombuffer(requests.read(4 * int(np.prod(shape))), np.float32).reshape(shape)
        try:
            forecast = steps(frames, request) if "members" in request else extrapolate(frames, request["steps"])
            header: dict[str, Any] = {"shape": forecast.shape}
        except Exception as error:  # whatever fails, the parent reports the text
            forecast, header = np.empty(0, np.float32), {"error": f"{type(error).__name__}: {error}"}
        output.write(json.dumps(header).encode() + b"\n" + forecast.tobytes())
        output.flush()
    # Skip the clean-up of the libraries at exit, where processes with several copies of HDF5 or OpenMP crash.
    os._exit(0)


def extrapolate(rain_rate_mm_h: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    """Extrapolate the newest frame along dense Lucas-Kanade motion, with the default settings of pysteps.

    The motion is estimated from dBR; the rain rate itself is advected, as in the examples of pysteps.

    Parameters
    ----------
    rain_rate_mm_h : array [time, y, x]
        Input frames (mm h-1, NaN = no data).
    steps : int
        Number of forecast frames.

    Returns
    -------
    array [step, y, x]
        Rain rate (mm h-1).
    """
    from pysteps import extrapolation

    advect = extrapolation.get_method("semilagrangian")
    newest = np.asarray(rain_rate_mm_h[-1], np.float64)
    motion = motion_of(decibels_of(rain_rate_mm_h))
    return np.asarray(advect(newest, motion, steps, allow_nonfinite_values=True), np.float32)


def steps(rain_rate_mm_h: NDArray[np.float32], request: dict[str, Any]) -> NDArray[np.float32]:
    """Return members of STEPS with nonparametric noise and perturbed motion, as in the examples of pysteps.

    Parameters
    ----------
    rain_rate_mm_h : array [time, y, x]
        Three input frames (mm h-1, NaN = no data).
    request : dict
        `steps`, `members`, `seed`, `step_minutes`, and `pixel_km`.

    Returns
    -------
    array [realization, step, y, x]
        Rain rate (mm h-1), 0 below 0.1.
    """
    from pysteps import nowcasts

    if np.count_nonzero(rain_rate_mm_h[-1] >= MIN_RAIN_MM_H) < FEWEST_WET_PIXELS:
        extrapolated = extrapolate(rain_rate_mm_h, request["steps"])
        return np.repeat(extrapolated[None], request["members"], axis=0)
    decibels = decibels_of(rain_rate_mm_h)
    found = nowcasts.get_method("steps")(
        decibels.filled(np.nan)[-3:],
        motion_of(decibels),
        request["steps"],
        n_ens_members=request["members"],
        n_cascade_levels=CASCADE_LEVELS,
        precip_thr=10 * np.log10(MIN_RAIN_MM_H),
        kmperpixel=request["pixel_km"],
        timestep=request["step_minutes"],
        noise_method="nonparametric",
        vel_pert_method="bps",
        mask_method="incremental",
        seed=request["seed"],
    )
    rain = np.power(10, np.asarray(found, np.float64) / 10)
    return np.asarray(np.where(rain < MIN_RAIN_MM_H, 0, rain), np.float32)


def decibels_of(rain_rate_mm_h: NDArray[np.float32]) -> np.ma.MaskedArray[Any, Any]:
    """Return dBR of rain rates (mm h-1); NaN is masked."""
    rain = np.asarray(rain_rate_mm_h, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        decibels = np.where(rain >= MIN_RAIN_MM_H, 10 * np.log10(rain), DRY_DBR)
    return np.ma.masked_invalid(np.where(np.isfinite(rain), decibels, np.nan))


def motion_of(decibels: np.ma.MaskedArray[Any, Any]) -> NDArray[np.float64]:
    """Return the dense Lucas-Kanade motion of frames [time, y, x] (pixels per time step) [2, y, x]."""
    from pysteps import motion

    field: NDArray[np.float64] = motion.get_method("LK")(decibels, verbose=False)
    return field


if __name__ == "__main__":
    main()
