"""The web server of `echocast serve`."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.api.memory import freeze_loaded
from service.api.problems import MEDIA_TYPE
from service.joined_writes import JoinedWrites
from service.problem_details import problem_details
from service.settings import Settings

LEAST_BYTES_PER_SECOND: Final = 1000
"""A body that arrives more slowly than this, on average after the time-out, is not waited for."""


class GatewayProtocol(H11Protocol):
    """Uvicorn's HTTP/1.1 with a limit of connections and time-outs, of which it has that of idle connections alone.

    A client has `timeout_seconds` for the head of a request, for the beginning of its body and for each further piece,
    whose bytes arrive at `LEAST_BYTES_PER_SECOND` at least (as with `RequestReadTimeout` of Apache's mod_reqtimeout),
    and for reading what is left of a response. Bytes that are no request get a problem.
    """

    max_connections = 0
    timeout_seconds = 20.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, or refuse it where there are as many as there may be."""
        super().connection_made(JoinedWrites(transport, self.loop))
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._body_began: float | None = None
        self._body_bytes = 0
        if self.max_connections and len(self.connections) > self.max_connections:
            self._refuse("busy", "too many connections are open", "Try again later", {"Retry-After": "5"})
        else:
            self._expect_bytes(self.timeout_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the time-outs."""
        self._cancel_reading()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what arrived, and set when the next bytes are due."""
        super().data_received(data)
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            if self._body_began is None:
                self._body_began, self._body_bytes = self.loop.time(), 0
            self._body_bytes += len(data)
            left = self._body_began + self._body_bytes / LEAST_BYTES_PER_SECOND - self.loop.time()
            self._cancel_reading()
            self._expect_bytes(self.timeout_seconds + min(0.0, left))  # bytes that came early are no credit
            return
        self._body_began = None
        if state is not h11.IDLE:
            self._cancel_reading()
        elif self._reading is None:  # the first bytes of another request
            self._expect_bytes(self.timeout_seconds)

    def pause_writing(self) -> None:
        """Note that the client does not read as fast as the response is made."""
        super().pause_writing()
        if self._writing is None:
            self._writing = self.loop.call_later(self.timeout_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Note that the client has read."""
        super().resume_writing()
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def send_400_response(self, msg: str) -> None:
        """Respond with 400, and close the connection."""
        self._refuse("http-error", "this is no HTTP/1.1 request", "Send requests by an HTTP client")

    def _expect_bytes(self, seconds: float) -> None:
        self._reading = self.loop.call_later(max(0.0, seconds), self._timed_out)

    def _cancel_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _timed_out(self) -> None:
        self._reading = None
        if self.transport.is_closing():
            return
        if self.conn.their_state is h11.IDLE:
            self._refuse("request-timeout", "the request did not arrive in time", "Send it faster, or again")
        elif self.flow.read_paused or (self.cycle is not None and self.cycle.waiting_for_100_continue):
            self._expect_bytes(self.timeout_seconds)  # it is the gateway that does not read
        else:
            self.transport.close()

    def _refuse(self, code: str, what: str, hint: str, headers: Mapping[str, str] | None = None) -> None:
        """Respond with a problem, unless a response has begun or is sent, and close the connection."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        problem = problem_details(code, what, hint=hint)
        body = problem.model_dump_json(exclude_none=True).encode()
        given = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(body)), "Connection": "close", **(headers or {})}
        reason = HTTPStatus(problem.status).phrase.encode()
        parts = (
            h11.Response(status_code=problem.status, headers=list(given.items()), reason=reason),
            h11.Data(data=body),
            h11.EndOfMessage(),
        )
        for part in parts:
            self.transport.write(self.conn.send(part) or b"")
        self.transport.close()


def gateway_protocol(settings: Settings) -> type[GatewayProtocol]:
    """Return the protocol with the limits of the settings."""

    class Limited(GatewayProtocol):
        max_connections = settings.max_connections
        timeout_seconds = settings.request_timeout_seconds

    return Limited


class GatewayServer(uvicorn.Server):
    """Uvicorn with callbacks when it accepts requests and when it stops, and without raising signals again at the end.

    `on_stopping` is called in the event loop, before open responses are waited for.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        on_started: Callable[[], None],
        on_stopping: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._on_stopping = on_stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the server, then call `on_started`."""
        freeze_loaded()
        await super().startup(sockets)
        if self.started:
            self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Call `on_stopping`, then stop the server."""
        self._on_stopping()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals until the process ends, so that they do not interrupt the clean-up after the server's end."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        yield
