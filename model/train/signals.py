"""Being told to stop: Ctrl-C or SIGTERM ends a run after the iteration it is in, a second one at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class TrainingInterrupted(Exception):
    """The run was told to stop after this iteration, and is saved. `signal`: the number of what told it."""

    def __init__(self, iteration: int, signal: int) -> None:
        self.iteration = iteration
        self.signal = signal
        super().__init__(f"stopped after iteration {iteration}")


class StopSignal:
    """Whether a run is to stop: the number of the signal that says so, or 0."""

    def __init__(self) -> None:
        self.asked = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear the signals; the second one is left to what handled them before. In the main thread only."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        def hear(number: int, frame: FrameType | None) -> None:
            self.asked = number
            restore()

        for number in SIGNALS:
            signal.signal(number, hear)
        try:
            yield
        finally:
            restore()
