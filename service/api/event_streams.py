"""How many event streams are open, in all and of one client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

CLIENTS: Final = 4
"""So many clients at least share the streams: one alone has an equal share of them."""


class TooManyStreams(Exception):
    """No further stream may be open."""


class EventStreams:
    """Counts the open streams of this process. For one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._limit_of_client = max(1, limit // CLIENTS)
        self._open: Counter[str] = Counter()

    @contextmanager
    def open(self, client: str) -> Iterator[None]:
        """Count a stream of a client as open inside the block.

        Raises
        ------
        TooManyStreams
            As many as allowed are open, in all or of the client.
        """
        if self._open.total() >= self._limit or self._open[client] >= self._limit_of_client:
            raise TooManyStreams(f"{self._open.total()} are open, {self._open[client]} of them of the client")
        self._open[client] += 1
        try:
            yield
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]
