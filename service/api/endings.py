"""Waiting until nowcasts end: one look at the ledger, again and again, serves all requests that wait."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

LOOK_SECONDS: Final = 0.01
"""How often the ledger is asked while somebody waits."""

log = logging.getLogger(__name__)


class Endings:
    """Wakes requests when their nowcasts end. `ended(ids)`: those that are finished. For one event loop."""

    def __init__(self, ended: Callable[[Sequence[str]], Awaitable[list[str]]]) -> None:
        self._ended = ended
        self._waiting: Counter[str] = Counter()
        self._over: dict[str, asyncio.Event] = {}
        self._looking: asyncio.Task[None] | None = None

    async def wait(self, job_id: str, seconds: float) -> None:
        """Return when the nowcast ends, or after that time."""
        self._waiting[job_id] += 1
        over = self._over.setdefault(job_id, asyncio.Event())
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            async with asyncio.timeout(seconds):
                await over.wait()
        except TimeoutError:
            return
        finally:
            self._waiting[job_id] -= 1
            if not self._waiting[job_id]:
                del self._waiting[job_id], self._over[job_id]

    async def _look(self) -> None:
        """As long as somebody waits."""
        while self._over:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                ended = await self._ended(list(self._over))
            except SQLAlchemyError as error:
                log.warning("the ledger did not answer: %s", error)
                await asyncio.sleep(1)
                continue
            for job_id in ended:
                if job_id in self._over:
                    self._over[job_id].set()
