"""Signals: Ctrl-C or SIGTERM stops a run after the current iteration, a second one at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, Self

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class TrainingInterrupted(Exception):
    """A signal stopped the run after this iteration; the checkpoint is written."""

    def __init__(self, iteration: int, signal: int) -> None:
        self.iteration = iteration
        self.signal = signal
        super().__init__(f"stopped after iteration {iteration}")


class StopSignal:
    """The number of the signal that requests a stop, or 0."""

    def __init__(self) -> None:
        self.number = 0

    @contextmanager
    def installed(self) -> Iterator[Self]:
        """Handle the signals; the second one goes to the handler from before. No effect outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        handlers = {number: signal.getsignal(number) for number in SIGNALS}

        def restore() -> None:
            for number, handler in handlers.items():
                signal.signal(number, handler)

        def handle(number: int, frame: FrameType | None) -> None:
            self.number = number
            restore()

        for number in SIGNALS:
            signal.signal(number, handle)
        try:
            yield self
        finally:
            restore()
