"""Waiting until nowcasts end: the workers say so in Redis; where nothing is heard, the ledger is asked now and then."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from service.jobs.queue import COMPLETED, NoBroker, listening_client
from service.settings import Settings

if TYPE_CHECKING:
    from redis.asyncio.client import PubSub

LOOK_SECONDS: Final = 1.0
"""How often the ledger is asked about all nowcasts that are waited for."""

log = logging.getLogger(__name__)


class CompletionWaiter:
    """Wakes requests when their nowcasts end; one subscription serves all that wait. For one event loop.

    `ended(ids)`: those that are finished, by the ledger.
    """

    def __init__(self, settings: Settings, ended: Callable[[Sequence[str]], Awaitable[list[str]]]) -> None:
        self._settings = settings
        self._ended = ended
        self._waiting: Counter[str] = Counter()
        self._over: dict[str, asyncio.Event] = {}
        self._attending: asyncio.Task[None] | None = None

    async def wait(self, job_id: str, seconds: float) -> None:
        """Return when the nowcast ends, or after that time."""
        self._waiting[job_id] += 1
        over = self._over.setdefault(job_id, asyncio.Event())
        if self._attending is None or self._attending.done():
            self._attending = asyncio.create_task(self._attend())
        try:
            async with asyncio.timeout(seconds):
                await over.wait()
        except TimeoutError:
            return
        finally:
            self._waiting[job_id] -= 1
            if not self._waiting[job_id]:
                del self._waiting[job_id], self._over[job_id]

    async def _attend(self) -> None:
        """As long as somebody waits."""
        while self._over:
            try:
                async with listening_client(self._settings) as client, client.pubsub() as channel:
                    await channel.subscribe(COMPLETED)
                    while self._over:
                        await self._look()
                        await self._hear(channel)
            except (RedisError, OSError, NoBroker) as error:
                log.debug("nothing is heard of the workers: %s", error)
                await self._look()
                await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        try:
            self._wake(await self._ended(list(self._over)))
        except SQLAlchemyError as error:
            log.warning("the ledger did not answer: %s", error)

    async def _hear(self, channel: PubSub) -> None:
        """What is said, until it is time to look again."""
        until = time.monotonic() + LOOK_SECONDS
        while (left := until - time.monotonic()) > 0:
            said = await channel.get_message(ignore_subscribe_messages=True, timeout=left)
            if said is not None:
                self._wake([said["data"].decode()])

    def _wake(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            if job_id in self._over:
                self._over[job_id].set()
