"""The extrapolation of pysteps along dense Lucas-Kanade motion, as a reference (Pulkkinen et al. 2019)."""

from __future__ import annotations

import json
import subprocess
import sys
import weakref
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import IO, Final

import numpy as np

from model.core.errors import InputError
from model.core.extras import missing_dependency
from model.core.model_info import ANY_TIME_STEP, ModelInfo
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.runtime.predictor import BasePredictor

PYSTEPS: Final = "pysteps"
INFO: Final = ModelInfo(
    name=PYSTEPS,
    version="1",
    kind="baseline",
    summary="The newest frame moves along dense Lucas-Kanade motion, semi-Lagrangian, by pysteps.",
    input_frames=3,
    time_step=ANY_TIME_STEP,
)


class LucasKanade(BasePredictor):
    """A predictor that runs pysteps in a child process, which lives as long as this object.

    Raises
    ------
    MissingDependency
        The package pysteps is not installed.
    """

    info = INFO

    def __init__(self) -> None:
        try:
            version = distribution_version("pysteps")
        except PackageNotFoundError:
            raise missing_dependency("pysteps", where=PYSTEPS) from None
        self.variant = f"pysteps {version} on CPU, in a child process"
        self._process: subprocess.Popen[bytes] | None = None

    def frames(self, sequence: FrameSequence, steps: int) -> Iterator[FloatArray]:
        """See `BasePredictor.frames`.

        Raises
        ------
        InputError
            pysteps cannot forecast from these frames.
        """
        frames = np.ascontiguousarray(sequence.rain_rate, np.float32)
        requests, responses = self._pipes()
        requests.write(json.dumps({"shape": frames.shape, "steps": steps}).encode() + b"\n" + frames.tobytes())
        requests.flush()
        header = json.loads(responses.readline() or b'{"error": "the child process ended"}')
        if "error" in header:
            raise InputError(
                f"pysteps cannot forecast ({header['error']})", where="input", hint="Leave the model pysteps out"
            )
        count = int(np.prod(header["shape"]))
        yield from np.frombuffer(responses.read(4 * count), np.float32).reshape(header["shape"])

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        """Return the stdin and stdout of the child process, which starts with the first forecast."""
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
