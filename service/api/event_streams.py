"""Server-sent events: one stream as a response, and how many are open, in all and of one client."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, Iterator
from contextlib import contextmanager
from typing import Final

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

MEDIA_TYPE: Final = "text/event-stream"
HEARTBEAT_SECONDS: Final = 15.0
"""A comment is sent after this time without an event, so that proxies keep the connection."""

HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx must not buffer events

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


class EventStream(StreamingResponse):
    """One stream, which counts as open until it ends.

    `sender`: whose streams are counted together (`service.api.access.client.sender_of`).
    """

    def __init__(self, streams: EventStreams, sender: str, events: AsyncIterable[bytes]) -> None:
        super().__init__(events, media_type=MEDIA_TYPE, headers=HEADERS)
        self._streams = streams
        self._sender = sender

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events; raises TooManyStreams before the first one where no further stream may be open."""
        with self._streams.open(self._sender):
            await super().__call__(scope, receive, send)
