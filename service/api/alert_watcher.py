"""Watching alerts: one query a second to the ledger for all streams that are open."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

POLL_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


class AlertWatcher:
    """Knows the number of the newest event while a stream is open. For one event loop.

    Parameters
    ----------
    newest_number
        Returns that number, according to the ledger.
    """

    def __init__(self, newest_number: Callable[[], Awaitable[int]]) -> None:
        self._newest_number = newest_number
        self._newest = 0
        self._changed = asyncio.Event()
        self._open = 0
        self.stopped = False
        self._poller: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """Let all streams end, as the gateway stops."""
        self.stopped = True
        self._changed.set()

    @contextmanager
    def watching(self) -> Iterator[AlertWatcher]:
        """Watch inside the block."""
        self._open += 1
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            yield self
        finally:
            self._open -= 1

    async def newer_than(self, number: int, seconds: float) -> int | None:
        """Return the number of the newest event once it is above `number`; None where it is not in time, or never."""
        try:
            async with asyncio.timeout(seconds):
                while self._newest <= number and not self.stopped:
                    await self._changed.wait()
        except TimeoutError:
            return None
        return self._newest if self._newest > number else None

    async def _poll(self) -> None:
        """Poll as long as somebody watches."""
        while self._open:
            try:
                newest = await self._newest_number()
            except SQLAlchemyError as error:
                log.warning("events of alerts: the ledger does not respond: %s", error)
            else:
                if newest != self._newest:
                    self._newest = newest
                    self._changed.set()
                    self._changed = asyncio.Event()
            await asyncio.sleep(POLL_SECONDS)
