"""Waiting for nowcasts: workers publish completions in Redis; the ledger is polled for those that Redis loses."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from service.jobs.queue import COMPLETIONS_CHANNEL, NoBroker, subscriber_client
from service.settings import Settings

if TYPE_CHECKING:
    from redis.asyncio.client import PubSub

POLL_SECONDS: Final = 1.0
"""How often the ledger is polled, with one query for all jobs that requests wait for."""

log = logging.getLogger(__name__)


class CompletionWaiter:
    """Wakes requests when their jobs finish; one subscription serves all of them. For one event loop.

    Parameters
    ----------
    settings
        Settings with the broker's address.
    finished
        Returns those of the given job ids that are finished, according to the ledger.
    """

    def __init__(self, settings: Settings, finished: Callable[[Sequence[str]], Awaitable[list[str]]]) -> None:
        self._settings = settings
        self._finished = finished
        self._waiting: Counter[str] = Counter()
        self._events: dict[str, asyncio.Event] = {}
        self._listener: asyncio.Task[None] | None = None

    async def wait(self, job_id: str, seconds: float) -> None:
        """Return when the job finishes, or after `seconds`."""
        self._waiting[job_id] += 1
        event = self._events.setdefault(job_id, asyncio.Event())
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen())
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return
        finally:
            self._waiting[job_id] -= 1
            if not self._waiting[job_id]:
                del self._waiting[job_id], self._events[job_id]

    async def _listen(self) -> None:
        """Listen and poll as long as a request waits."""
        while self._events:
            try:
                async with subscriber_client(self._settings) as client, client.pubsub() as channel:
                    await channel.subscribe(COMPLETIONS_CHANNEL)
                    while self._events:
                        await self._poll()
                        await self._receive(channel)
            except (RedisError, OSError, NoBroker) as error:
                log.debug("no completions from Redis, polling the ledger: %s", error)
                await self._poll()
                await asyncio.sleep(POLL_SECONDS)

    async def _poll(self) -> None:
        try:
            self._wake(await self._finished(list(self._events)))
        except SQLAlchemyError as error:
            log.warning("the ledger does not respond: %s", error)

    async def _receive(self, channel: PubSub) -> None:
        """Receive completions until the next poll."""
        deadline = time.monotonic() + POLL_SECONDS
        while (remaining := deadline - time.monotonic()) > 0:
            message = await channel.get_message(ignore_subscribe_messages=True, timeout=remaining)
            if message is not None:
                self._wake([message["data"].decode()])

    def _wake(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            if job_id in self._events:
                self._events[job_id].set()
