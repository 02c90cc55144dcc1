"""A child process that runs pysteps, which lives as long as its owner (`model.verify.pysteps_child`)."""

from __future__ import annotations

import json
import subprocess
import sys
import weakref
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import IO, Any

import numpy as np

from model.core.errors import InputError
from model.core.extras import missing_dependency
from model.core.units import FloatArray


class PystepsProcess:
    """The process, which starts with the first forecast.

    Parameters
    ----------
    model : str
        Name of the model that needs pysteps.

    Raises
    ------
    MissingDependency
        The package pysteps is not installed.
    """

    def __init__(self, model: str) -> None:
        try:
            version = distribution_version("pysteps")
        except PackageNotFoundError:
            raise missing_dependency("pysteps", where=model) from None
        self._model = model
        self.variant = f"pysteps {version} on CPU, in a child process"
        self._process: subprocess.Popen[bytes] | None = None

    def forecast(self, rain_rate: FloatArray, steps: int, **options: Any) -> FloatArray:  # noqa: ANN401  (JSON)
        """Return a forecast [realization, step, y, x] (mm h-1, NaN = unknown), or [step, y, x] of a single one.

        Parameters
        ----------
        rain_rate : array [time, y, x]
            Input frames (mm h-1, NaN = no data).
        steps : int
            Number of forecast frames.
        **options
            More of the request; see `model.verify.pysteps_child`.

        Raises
        ------
        InputError
            pysteps cannot forecast from these frames.
        """
        frames = np.ascontiguousarray(rain_rate, np.float32)
        requests, responses = self._pipes()
        request = {"shape": frames.shape, "steps": steps, **options}
        requests.write(json.dumps(request).encode() + b"\n" + frames.tobytes())
        requests.flush()
        header = json.loads(responses.readline() or b'{"error": "the child process ended"}')
        if "error" in header:
            raise InputError(
                f"pysteps cannot forecast ({header['error']})",
                where="input",
                hint=f"Leave the model {self._model} out",
            )
        count = int(np.prod(header["shape"]))
        return np.frombuffer(responses.read(4 * count), np.float32).reshape(header["shape"])

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        """Return the stdin and stdout of the child process."""
        if self._process is None:
            command = [sys.executable, str(Path(__file__).with_name("pysteps_child.py"))]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            weakref.finalize(self, _close, self._process)
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the child process has no pipes")
        return self._process.stdin, self._process.stdout


def _close(process: subprocess.Popen[bytes]) -> None:
    """Close the stdin of the child process, which makes it exit, and wait for that."""
    with process:
        pass
