"""Runs pysteps in a process of its own: on import it silences every RuntimeWarning, and prints.

Run as a script by `model.verify.lucas_kanade`. Each request on stdin is a JSON line {shape, steps} and the frames as
raw float32; each answer on stdout a JSON line {shape} or {error} and the frames. Imports nothing of ours.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_MM_H = 0.1
NO_RAIN_DBR = -15.0


def main() -> None:
    """Answer requests until stdin ends."""
    output, requests = sys.stdout.buffer, sys.stdin.buffer
    # What the library prints must not end up among the answers.
    sys.stdout = sys.stderr
    while line := requests.readline():
        request = json.loads(line)
        shape = request["shape"]
        frames = np.frombuffer(requests.read(4 * int(np.prod(shape))), np.float32).reshape(shape)
        try:
            forecast = extrapolate(frames, request["steps"])
            head: dict[str, Any] = {"shape": forecast.shape}
        except Exception as error:  # the parent says which frames; every reason is the same to it
            forecast, head = np.empty(0, np.float32), {"error": f"{type(error).__name__}: {error}"}
        output.write(json.dumps(head).encode() + b"\n" + forecast.tobytes())
        output.flush()
    # Skip the libraries' clean-up at exit: that is where processes with several copies of HDF5 or OpenMP crash.
    os._exit(0)


def extrapolate(rain_rate_mm_h: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    """Frames [step, y, x]: the newest of [time, y, x] (mm h-1, NaN = no data) along dense Lucas-Kanade motion.

    Motion is that of dBR, with pysteps' own settings; the rain rate is advected, as in pysteps' examples.
    """
    from pysteps import extrapolation, motion

    rain = np.asarray(rain_rate_mm_h, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        decibels = np.where(rain >= LEAST_MM_H, 10 * np.log10(rain), NO_RAIN_DBR)
    decibels = np.ma.masked_invalid(np.where(np.isfinite(rain), decibels, np.nan))
    field = motion.get_method("LK")(decibels, verbose=False)
    advect = extrapolation.get_method("semilagrangian")
    return np.asarray(advect(rain[-1], field, steps, allow_nonfinite_values=True), np.float32)


if __name__ == "__main__":
    main()
