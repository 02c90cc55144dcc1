"""The web server of `echocast serve`."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.api.problems import MEDIA_TYPE, problem_details


class ProblemProtocol(H11Protocol):
    """Uvicorn's HTTP/1.1, which responds with a problem to bytes that are no request."""

    def send_400_response(self, msg: str) -> None:
        """Respond with 400, and close the connection."""
        problem = problem_details("http-error", "this is no HTTP/1.1 request", hint="Send requests by an HTTP client")
        body = problem.model_dump_json(exclude_none=True).encode()
        headers = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(body)), "Connection": "close"}
        parts = (
            h11.Response(status_code=400, headers=list(headers.items()), reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        )
        for part in parts:
            self.transport.write(self.conn.send(part) or b"")
        self.transport.close()


class GatewayServer(uvicorn.Server):
    """Uvicorn with a callback when it accepts requests, and without raising SIGTERM or SIGINT again after the end."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the server, then call `on_started`."""
        await super().startup(sockets)
        if self.started:
            self._on_started()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals until the process ends, so that they do not interrupt the clean-up after the server's end."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        yield
