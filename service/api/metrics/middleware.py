"""Middleware that counts and times requests by the template of their route."""

from __future__ import annotations

import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics.instruments import HTTP_REQUEST_DURATION, HTTP_REQUESTS, HTTP_REQUESTS_IN_PROGRESS

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
OTHER_METHOD: Final = "other"
NO_ROUTE: Final = "none"
"""The route of a request whose path no route matches, or that a middleware refused."""

CLIENT_GONE: Final = 499
"""Status of a request whose client disconnected before the response (as nginx counts it)."""


class RouteTemplate:
    """Inner middleware: notes the route's template for `RequestMetrics`, which may see another copy of the scope."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        try:
            await self.app(scope, receive, send)
        finally:
            if "route" in scope:
                scope.setdefault("state", {})["route"] = scope["route"].path
            elif "endpoint" in scope:  # a mounted application: its prefix
                prefix = scope["root_path"].removeprefix(scope.get("app_root_path", ""))
                scope.setdefault("state", {})["route"] = prefix


class RequestMetrics:
    """Outer middleware: counts and times each request, those that other middleware refuses, too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
        status = CLIENT_GONE

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started = time.perf_counter()
        HTTP_REQUESTS_IN_PROGRESS.inc()
        try:
            await self.app(scope, receive, send_noting_status)
        finally:
            HTTP_REQUESTS_IN_PROGRESS.dec()
            route = state.get("route", NO_ROUTE)
            HTTP_REQUESTS.labels(method, route, status).inc()
            HTTP_REQUEST_DURATION.labels(method, route).observe(time.perf_counter() - started)
