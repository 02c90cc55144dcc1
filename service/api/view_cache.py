"""What was drawn or listed of results, which never change: each computed once, the last used kept in memory."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from service.metrics.instruments import VIEW_CACHE_REQUESTS


class RenderedView(NamedTuple):
    """The body of a response, and the name of the file as which a client may save it."""

    content: bytes
    file_name: str = ""


class ViewCache:
    """Views by key, within a budget of bytes. For one event loop.

    Parameters
    ----------
    max_bytes
        Most bytes of all views; the least recently used is dropped first.

    Attributes
    ----------
    size : int
        Bytes of the views that are kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, RenderedView] = OrderedDict()
        self._computing: dict[str, asyncio.Task[RenderedView]] = {}
        self.size = 0

    async def get(self, key: str, compute: Callable[[], Awaitable[RenderedView]]) -> RenderedView:
        """Return the view of a key; `compute` runs if nobody has computed it or is about to.

        It goes on if this request is cancelled. Its error reaches all that wait for it, and is not kept.
        """
        kept = self._kept.get(key)
        if kept is not None:
            VIEW_CACHE_REQUESTS.labels("hit").inc()
            self._kept.move_to_end(key)
            return kept
        task = self._computing.get(key)
        if task is None:
            VIEW_CACHE_REQUESTS.labels("miss").inc()
            task = self._computing[key] = asyncio.create_task(self._compute(key, compute))
        else:
            VIEW_CACHE_REQUESTS.labels("hit").inc()
        return await asyncio.shield(task)

    async def _compute(self, key: str, compute: Callable[[], Awaitable[RenderedView]]) -> RenderedView:
        try:
            view = await compute()
        finally:
            del self._computing[key]
        self._keep(key, view)
        return view

    def _keep(self, key: str, view: RenderedView) -> None:
        if len(view.content) > self._max_bytes:
            return
        self._kept[key] = view
        self.size += len(view.content)
        while self.size > self._max_bytes:
            self.size -= len(self._kept.popitem(last=False)[1].content)
