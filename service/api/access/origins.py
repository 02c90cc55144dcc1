"""Requests that a web page of somebody else makes a browser send: under another name, or across origins.

A browser reaches what its user reaches: a service on the same machine, or in the same network. A page whose name is
made to resolve to the service's address (DNS rebinding) sends that name as `Host`. A page that writes from its own
origin is recognised by what browsers add to its requests, in the way of Go's `http.CrossOriginProtection`
(https://pkg.go.dev/net/http#CrossOriginProtection). Programs send neither `Origin` nor `Sec-Fetch-Site`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Final

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.problems import problem_response
from service.api.request_body import drain
from service.problem_details import problem_details
from service.settings import Settings

LOOPBACK_NAMES: Final = ("localhost",)
SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")
SAME_ORIGIN: Final = ("same-origin", "none")
CORS_REQUEST_HEADERS: Final = (
    *("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Prefer", "Range"),
    "X-Request-ID",
)
CORS_RESPONSE_HEADERS: Final = (
    *("Content-Disposition", "ETag", "Link", "Location", "Preference-Applied", "Retry-After", "WWW-Authenticate"),
    "X-Request-ID",
)
"""What a page of `ECHOCAST_CORS_ORIGINS` may send and read, beside what CORS always permits."""


class HostCheck:
    """Middleware that answers 421 to a request for a name that is not the service's."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._names = {*LOOPBACK_NAMES, settings.host.lower(), *settings.host_names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        hosts = Headers(scope=scope).getlist("host") if scope["type"] == "http" else []
        if scope["type"] == "http" and not (len(hosts) == 1 and self._is_own(host_name(hosts[0]))):
            name = host_name(hosts[0])[:100] if hosts else ""
            hint = "Set ECHOCAST_ALLOWED_HOSTS to the names under which clients reach the service"
            await _refuse(scope, receive, send, "wrong-host", f"the service is not called {name!r}", "Host", hint)
            return
        await self.app(scope, receive, send)

    def _is_own(self, name: str) -> bool:
        """Whether a name is the service's; so is every address, which no page can make its own."""
        if name in self._names or f"*.{name.partition('.')[2]}" in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


class CrossOriginWrites:
    """Middleware that answers 403 to a write which a browser sends for a page of another origin."""

    def __init__(self, app: ASGIApp, trusted: Collection[str]) -> None:
        self.app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        writes = scope["type"] == "http" and scope["method"] not in SAFE_METHODS
        if writes and not self._may_write(Headers(scope=scope)):
            hint = "Set ECHOCAST_CORS_ORIGINS to the origins whose pages may use the service"
            what = "a page of another origin may not write"
            await _refuse(scope, receive, send, "cross-origin", what, "Origin", hint)
            return
        await self.app(scope, receive, send)

    def _may_write(self, headers: Headers) -> bool:
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin in self._trusted:
            return True
        if site is not None:
            return site in SAME_ORIGIN
        return origin is None or origin.partition("://")[2] == headers.get("host")


def host_name(host: str) -> str:
    """Return the name, or the address, of a Host header, without port and in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].rstrip(".").lower()


async def _refuse(scope: Scope, receive: Receive, send: Send, code: str, what: str, where: str, hint: str) -> None:
    await drain(Request(scope, receive))
    await problem_response(problem_details(code, what, where, hint))(scope, receive, send)
