"""Middleware that gives each request an id, and counts, times and logs it by the template of its route."""

from __future__ import annotations

import logging
import re
import time
import uuid
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.log import log_context
from service.metrics.instruments import HTTP_REQUEST_DURATION, HTTP_REQUESTS, HTTP_REQUESTS_IN_PROGRESS

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
OTHER_METHOD: Final = "other"
NO_ROUTE: Final = "none"
"""The route of a request whose path no route matches, or that a middleware refused."""

CLIENT_GONE: Final = 499
"""Status of a request whose client disconnected before the response (as nginx counts it)."""

REQUEST_ID: Final = "X-Request-ID"
WELL_FORMED_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")

log = logging.getLogger(__name__)


class RouteTemplate:
    """Inner middleware: notes the route's template for `RequestMonitor`, which may see another copy of the scope."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        try:
            await self.app(scope, receive, send)
        finally:
            if "route" in scope:
                scope.setdefault("state", {})["route"] = scope["route"].path_format
            elif "endpoint" in scope:  # a mounted application: its prefix
                prefix = scope["root_path"].removeprefix(scope.get("app_root_path", ""))
                scope.setdefault("state", {})["route"] = prefix


class RequestMonitor:
    """Outer middleware: it sees the requests that other middleware refuses, too.

    `access_log`: log a line for each request.
    """

    def __init__(self, app: ASGIApp, *, access_log: bool) -> None:
        self.app = app
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope.setdefault("state", {})
        request_id = _request_id(Headers(scope=scope))
        status, started = CLIENT_GONE, time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        HTTP_REQUESTS_IN_PROGRESS.inc()
        with log_context(request_id=request_id):
            try:
                await self.app(scope, receive, send_with_id)
            finally:
                HTTP_REQUESTS_IN_PROGRESS.dec()
                self._record(scope, status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
        state = scope["state"]
        route = state.get("route", NO_ROUTE)
        HTTP_REQUESTS.labels(method, route, status).inc()
        HTTP_REQUEST_DURATION.labels(method, route).observe(seconds)
        if self._access_log:
            client = state.get("client")
            fields = {
                "method": method,
                "path": scope["path"],
                "route": route,
                "status": status,
                "duration_seconds": round(seconds, 4),
                "address": (scope.get("client") or [None])[0],
                "client": None if client is None else client.id,
            }
            log.info("%s %s: %d in %.3f s", method, scope["path"], status, seconds, extra={"fields": fields})


def _request_id(headers: Headers) -> str:
    """Return the id that the client or a proxy has given the request, if it is well-formed; else a new one."""
    given = headers.get(REQUEST_ID, "")
    return given if WELL_FORMED_ID.fullmatch(given) else uuid.uuid4().hex
