"""Middleware that makes a problem of every failure that no route or exception handler has answered."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from fastapi import Request
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.outages import Outage, outage_of
from service.api.problems import log_failure, problem_response
from service.problem_details import ProblemDetails, problem_details

CODES: Final = {404: "not-found", 405: "method-not-allowed", 413: "too-large", 416: "range-not-satisfiable"}
"""Codes of the errors that the framework answers by itself, as plain text; of all others `http-error`."""

STOPPING: Final = problem_details(
    "busy", "the gateway stops", hint="Try again in 5 s; an accepted nowcast is not lost: follow it by its address"
)
"""The answer to requests that the end of the gateway interrupts."""

log = logging.getLogger(__name__)


class ErrorResponses:
    """Respond to an outage with 503, to any other exception with 500; turn errors in plain text into problems.

    Starlette's own last handler raises the exception again after its response, and the server then closes the
    connection: a client that reuses the connection for its next request finds it reset.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        response = _Response(scope, receive, send)
        try:
            await self.app(scope, receive, response.send)
        except ClientDisconnect:  # nobody reads the response, which counts as the client's error
            await problem_response(problem_details("http-error", "the request is not complete"))(scope, receive, send)
        except asyncio.CancelledError:
            if response.started:
                raise
            await problem_response(STOPPING, {"Retry-After": "5"})(scope, receive, send)
        except Exception as error:
            if response.started:
                raise
            request = Request(scope)
            outage = outage_of(error)
            if outage is None:
                await problem_response(_failure(request, error))(scope, receive, send)
            else:
                log.warning("%s at %s %s: %s", outage.what, request.method, request.url.path, error)
                problem, headers = problem_of_outage(outage), {"Retry-After": str(outage.retry_after)}
                await problem_response(problem, headers)(scope, receive, send)


class _Response:
    """One response on its way. The start of an error in plain text is held back until its text is known."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.started = False
        self._asgi = scope, receive, send
        self._held: Message | None = None
        self._text = b""

    async def send(self, message: Message) -> None:
        """Send a part of the response, or hold it back."""
        scope, receive, send = self._asgi
        if message["type"] == "http.response.start":
            self.started = True
            if message["status"] >= 400 and Headers(raw=message["headers"]).get("content-type", "").startswith(
                "text/plain"
            ):
                self._held = message
                return
        elif self._held is not None:
            self._text += message.get("body", b"")
            if not message.get("more_body", False):
                await _problem_of_text(self._held, self._text)(scope, receive, send)
            return
        await send(message)


def _problem_of_text(start: Message, text: bytes) -> ASGIApp:
    status = start["status"]
    code = CODES.get(status, "http-error")
    kept = {name: value for name, value in Headers(raw=start["headers"]).items() if not name.startswith("content-t")}
    kept.pop("content-length", None)
    problem = problem_details(code, text.decode(errors="replace") if code == "http-error" else "", status=status)
    return problem_response(problem, kept)


def problem_of_outage(outage: Outage) -> ProblemDetails:
    """Return the problem of an outage."""
    hint = f"Try again in {outage.retry_after} s; an accepted nowcast is not lost"
    return problem_details(outage.code, outage.what, hint=hint)


def _failure(request: Request, error: Exception) -> ProblemDetails:
    log_failure(request, error)
    return problem_details(
        "internal",
        "the service failed to process the request",
        hint="Try again; if the failure persists, report the id",
    )
