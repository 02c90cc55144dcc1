"""Watching something in the ledger: one query at intervals for all streams that are open."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, Generic, Self, TypeVar

from sqlalchemy.exc import SQLAlchemyError

T = TypeVar("T")

POLL_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


class Watcher(Generic[T]):
    """Knows what the ledger has while a stream is open. For one event loop.

    Parameters
    ----------
    what
        What is watched, for the log.
    look
        Returns it, according to the ledger. Streams wake where it is unequal to what was returned before.
    """

    def __init__(self, what: str, look: Callable[[], Awaitable[T]]) -> None:
        self._what = what
        self._look = look
        self._known: T | None = None
        self._changed = asyncio.Event()
        self._open = 0
        self.stopped = False
        self._poller: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """Let all streams end, as the gateway stops."""
        self.stopped = True
        self._changed.set()

    @contextmanager
    def watching(self) -> Iterator[Self]:
        """Watch inside the block."""
        self._open += 1
        if self._poller is None or self._poller.done():
            self._known = None  # it is of the last time that somebody watched
            self._poller = asyncio.create_task(self._poll())
        try:
            yield self
        finally:
            self._open -= 1

    async def until(self, condition: Callable[[T], bool], seconds: float) -> T | None:
        """Return what the ledger has once it meets a condition; None where it does not in time, or never."""
        try:
            async with asyncio.timeout(seconds):
                while not self.stopped and not self._is(condition):
                    await self._changed.wait()
        except TimeoutError:
            return None
        return self._known if self._is(condition) else None

    def _is(self, condition: Callable[[T], bool]) -> bool:
        return self._known is not None and condition(self._known)

    async def _poll(self) -> None:
        """Poll as long as somebody watches."""
        while self._open:
            try:
                found = await self._look()
            except SQLAlchemyError as error:
                log.warning("%s: the ledger does not respond: %s", self._what, error)
            except Exception:
                log.exception("%s", self._what)
            else:
                is_other, self._known = found != self._known, found
                if is_other:
                    self._changed.set()
                    self._changed = asyncio.Event()
            await asyncio.sleep(POLL_SECONDS)
