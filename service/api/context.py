"""What the routes stand on, made once per application."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, ParamSpec, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import Depends, Request

from model.core.catalog import Catalog
from service.api.completion import CompletionWaiter
from service.api.results import ResultFiles
from service.jobs.ledger import Ledger, open_ledger
from service.jobs.queue import JobQueue
from service.settings import Settings, catalog
from service.store import ObjectStore

P = ParamSpec("P")
T = TypeVar("T")

DRAWING_THREADS = 2
ANIMATING_THREADS = 1
"""Frames and animations drawn at a time: bounds the gateway's memory, leaves threads for everything quick."""


class Context:
    """Settings, ledger, queue, store, catalogue and local copies of results."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger: Ledger = open_ledger(settings)
        self.queue = JobQueue(settings, self.ledger)
        self.store = ObjectStore(settings.store)
        self.catalog: Catalog = catalog(settings)
        self.results = ResultFiles(self.store)
        self.completions = CompletionWaiter(settings, self._ended)
        self._drawing = CapacityLimiter(DRAWING_THREADS)
        self._animating = CapacityLimiter(ANIMATING_THREADS)

    async def in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call that blocks (ledger, store, a few numbers of a file) beside the event loop."""
        return await anyio.to_thread.run_sync(lambda: function(*args, **kwargs))

    async def drawing(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call that draws a frame, a few at a time."""
        return await anyio.to_thread.run_sync(lambda: function(*args, **kwargs), limiter=self._drawing)

    async def animating(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call that draws many frames."""
        return await anyio.to_thread.run_sync(lambda: function(*args, **kwargs), limiter=self._animating)

    async def _ended(self, job_ids: Sequence[str]) -> list[str]:
        return await self.in_thread(self.ledger.finished, job_ids)

    def close(self) -> None:
        self.results.close()
        self.ledger.close()


def _context(request: Request) -> Context:
    context = request.app.state.context
    if not isinstance(context, Context):
        raise TypeError("the application was not made by create_app")
    return context


InContext = Annotated[Context, Depends(_context)]
