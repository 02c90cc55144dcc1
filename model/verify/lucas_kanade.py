"""pysteps' extrapolation along dense Lucas-Kanade motion, to compare with (Pulkkinen et al. 2019)."""

from __future__ import annotations

import json
import subprocess
import sys
import weakref
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import IO

import numpy as np

from model.core.catalog import ANY_TIME_STEP, ModelInfo
from model.core.errors import InputError
from model.core.extras import missing_dependency
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.runtime.predictor import BasePredictor
from model.verify.answer import PYSTEPS

INFO = ModelInfo(
    name=PYSTEPS,
    version="1",
    kind="baseline",
    summary="The newest frame moves along dense Lucas-Kanade motion, semi-Lagrangian, by pysteps.",
    input_frames=3,
    time_step=ANY_TIME_STEP,
)


class LucasKanade(BasePredictor):
    """pysteps in a child process, which lives as long as this object.

    Raises
    ------
    MissingDependency
        Pysteps is not installed.
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
        """See BasePredictor.frames.

        Raises
        ------
        InputError
            Pysteps cannot forecast from these frames.
        """
        frames = np.ascontiguousarray(sequence.rain_rate, np.float32)
        sent, received = self._pipes()
        sent.write(json.dumps({"shape": frames.shape, "steps": steps}).encode() + b"\n" + frames.tobytes())
        sent.flush()
        head = json.loads(received.readline() or b'{"error": "its process ended"}')
        if "error" in head:
            raise InputError(
                f"pysteps cannot forecast ({head['error']})", where="input", hint="Leave the model pysteps out"
            )
        count = int(np.prod(head["shape"]))
        yield from np.frombuffer(received.read(4 * count), np.float32).reshape(head["shape"])

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        """To and from the child, which begins with the first forecast."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("pysteps_child.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            weakref.finalize(self, _end, self._process)
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the child has no pipes")
        return self._process.stdin, self._process.stdout


def _end(process: subprocess.Popen[bytes]) -> None:
    """The child ends when its stdin does."""
    with process:
        pass
