"""How many event streams are open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class TooManyStreams(Exception):
    """No further stream may be open."""


class EventStreams:
    """Counts the open streams of this process. For one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open = 0

    @contextmanager
    def open(self) -> Iterator[None]:
        """Count a stream as open inside the block.

        Raises
        ------
        TooManyStreams
            As many as allowed are open.
        """
        if self._open >= self._limit:
            raise TooManyStreams(f"{self._open} are open")
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
