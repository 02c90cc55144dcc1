"""Wires the gateway: routes, errors, the page. Importing this module does nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import problems
from service.api.context import Context
from service.api.health.router import router as health
from service.api.memory import share_heaps
from service.api.models.router import router as models
from service.api.nowcasts.router import router as nowcasts
from service.api.page.router import WEB
from service.api.page.router import router as page
from service.settings import Settings

DESCRIPTION: Final = """
Radar echo sequences in; rain for the next hours out.

Send the newest radar frames to `POST /v1/nowcasts`, follow the `Location` until it is `successful`, and fetch
the result as CF-netCDF or as pictures. Rain rate is in mm/h. Missing data is NaN in files and `null` in JSON:
it never means dry. Every error is a problem (RFC 9457) with a stable `type`: what is wrong, where, and
a hint.
"""
TAGS: Final = [
    {"name": "nowcasts", "description": "Ask for a nowcast, follow it, fetch it, look at it."},
    {"name": "models", "description": "What can run here, with the scores it was measured to have."},
    {"name": "health", "description": "For those who watch over the service."},
    {"name": "page", "description": "What the page for people stands on."},
]


def create_app(settings: Settings) -> FastAPI:
    """The gateway of these settings. Ledger and store are opened here: a wrong setting stops the start."""
    share_heaps()
    context = Context(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        context.close()

    app = FastAPI(
        title="Echocast",
        version=version("echocast"),
        summary="Precipitation nowcasting",
        description=DESCRIPTION,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
    )
    app.state.context = context
    problems.install(app)
    for router in (nowcasts, models, health, page):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=WEB / "static"), name="static")
    app.add_middleware(HeadAsGet)
    app.add_middleware(SafeHeaders)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.operation_id or route.name


class SafeHeaders:
    """Tells browsers to take each answer for what it says it is."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-content-type-options", b"nosniff")]
            await send(message)

        await self.app(scope, receive, send_safely if scope["type"] == "http" else send)


class HeadAsGet:
    """Answers HEAD as GET without the body, everywhere: tools ask so before they read a part of a result."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_no_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)}
            await send(message)

        await self.app({**scope, "method": "GET"}, receive, send_no_body)
