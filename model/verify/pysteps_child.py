"""Runs pysteps in a child process: on import, pysteps silences every RuntimeWarning of its process and prints.

`model.verify.lucas_kanade` starts this file as a script, so it imports nothing of Echocast. A request on stdin is a
line of JSON {shape, steps} and the frames as raw float32; a response on stdout is a line of JSON {shape} or {error} and
the forecast frames.
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
            forecast = extrapolate(frames, request["steps"])
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
    from pysteps import extrapolation, motion

    rain = np.asarray(rain_rate_mm_h, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        decibels = np.where(rain >= MIN_RAIN_MM_H, 10 * np.log10(rain), DRY_DBR)
    decibels = np.ma.masked_invalid(np.where(np.isfinite(rain), decibels, np.nan))
    field = motion.get_method("LK")(decibels, verbose=False)
    advect = extrapolation.get_method("semilagrangian")
    return np.asarray(advect(rain[-1], field, steps, allow_nonfinite_values=True), np.float32)


if __name__ == "__main__":
    main()
