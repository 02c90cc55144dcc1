"""The gateway application: routes, errors, middleware."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import problems
from service.api.access.headers import SecurityHeaders
from service.api.access.origins import CORS_REQUEST_HEADERS, CORS_RESPONSE_HEADERS, CrossOriginWrites, HostCheck
from service.api.access.scopes import scopes_of_routes
from service.api.context import GatewayContext
from service.api.error_responses import ErrorResponses
from service.api.feeds.alerts import events_router as alert_events
from service.api.feeds.edr.router import router as edr
from service.api.feeds.router import router as feeds
from service.api.health.router import router as health
from service.api.inference.router import router as inference
from service.api.keys.router import router as keys
from service.api.memory import limit_heaps
from service.api.metrics.request_monitor import RequestMonitor, RouteTemplate
from service.api.metrics.router import router as metrics
from service.api.models.router import operator_router as champion
from service.api.models.router import router as models
from service.api.nowcasts.router import router as nowcasts
from service.api.openapi import describe
from service.api.operator.router import router as operator
from service.api.page.files import PageFiles
from service.api.page.ground import router as ground
from service.api.page.installed_app import router as installed_app
from service.api.page.router import router as page
from service.api.places.router import router as places
from service.api.processes.router import router as processes
from service.api.web_push.router import router as web_push
from service.settings import Settings
from service.tracing import start_tracing

DESCRIPTION: Final = """
Radar echo sequences in; rain for the next hours out.

Send the newest radar frames to `POST /v1/nowcasts`, follow the `Location` until it is `successful`, and fetch
the result as CF-netCDF or as pictures. Rain rate is in mm/h. Missing data is NaN in files and `null` in JSON:
it never means dry. Every error is a problem (RFC 9457) with a stable `type`: what is wrong, where, and
a hint.
"""
TAGS: Final = [
    {"name": "nowcasts", "description": "Request a nowcast, follow it, fetch its result, look at it."},
    {"name": "feeds", "description": "Live radars: their status, their newest nowcast, rain at a place from now on."},
    {"name": "push", "description": "Browsers that are told before precipitation begins at a place."},
    {"name": "places", "description": "Towns by name, and what a point is near to."},
    {"name": "models", "description": "Models that can run here, with their measured scores."},
    {"name": "OGC API - Processes", "description": "The same nowcasts as OGC API - Processes - Part 1 (1.0) has them."},
    {"name": "OGC API - EDR", "description": "Feeds as OGC API - Environmental Data Retrieval (1.1) has them."},
    {
        "name": "Open Inference Protocol",
        "description": "Health and models as KServe, Triton and their clients have them.",
    },
    {"name": "operator", "description": "How the service does; the champion, and API keys: for the scope `admin`."},
    {"name": "health", "description": "For monitoring."},
    {"name": "page", "description": "Resources of the web page."},
]

ONLY_TRACES: Final[TelemetryConfig] = {
    "auto_configure": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
}
"""Of FastAPI's telemetry the span of each request, exported where `start_tracing` has found an endpoint."""


def create_app(settings: Settings) -> FastAPI:
    """Return the gateway of these settings. Opening ledger and store here makes a wrong setting stop the start."""
    limit_heaps()
    start_tracing("gateway")
    context = GatewayContext(settings)
    context.authenticator.check_start()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await context.rate_limit.close()
        context.close()

    app = FastAPI(
        title="Echocast",
        version=version("echocast"),
        summary="Precipitation nowcasting",
        description=DESCRIPTION,
        openapi_tags=TAGS,
        openapi_url=None,  # the route is in service/api/page
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
        telemetry={**ONLY_TRACES, "exclude": _is_probe},
    )
    app.state.context = context
    app.add_middleware(RouteTemplate)  # the innermost
    problems.install(app)
    for router in (
        *(feeds, alert_events, web_push, nowcasts, models, places, processes, edr, inference),
        *(champion, keys, operator, health, metrics, ground, page, installed_app),
    ):
        app.include_router(router)
    scopes_of_routes(app)
    app.openapi = partial(describe, app)  # type: ignore[method-assign]  # as FastAPI documents it
    app.mount("/static", PageFiles(), name="static")
    app.add_middleware(HeadAsGet)
    app.add_middleware(CrossOriginWrites, trusted=settings.origins)
    app.add_middleware(HostCheck, settings=settings)
    app.add_middleware(ErrorResponses)  # outside of all others that may refuse a request
    if settings.origins:  # outside of the errors, which pages may read, too
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=("GET", "HEAD", "POST", "DELETE"),
            allow_headers=CORS_REQUEST_HEADERS,
            expose_headers=CORS_RESPONSE_HEADERS,
        )
        app.add_middleware(ErrorResponses)  # once more: CORSMiddleware refuses in plain text
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestMonitor, access_log=settings.access_log)  # the outermost: it sees what others refuse
    return app


def _is_probe(scope: Scope) -> bool:
    """Return whether a request comes from monitoring itself, which would fill the traces."""
    return scope["path"] in ("/healthz", "/readyz", "/metrics")


def _operation_id(route: APIRoute) -> str:
    return route.operation_id or route.name


class HeadAsGet:
    """Middleware that responds to HEAD as to GET, without the body: tools send it before they read byte ranges."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_no_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)}
            await send(message)

        await self.app({**scope, "method": "GET", "echocast.head": True}, receive, send_no_body)
