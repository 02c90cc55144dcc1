"""Watching jobs: workers publish changes in Redis; the ledger is polled for those that Redis loses."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from service.jobs.job import JobVersion
from service.jobs.queue import CHANGES_CHANNEL, COMPLETIONS_CHANNEL, NoBroker, async_redis_client
from service.settings import Settings

if TYPE_CHECKING:
    from redis.asyncio.client import PubSub

POLL_SECONDS: Final = 1.0
"""How often the ledger is polled, with one query for all jobs that are watched."""

log = logging.getLogger(__name__)


class Watch:
    """One request that watches a job; `changes` also wakes it while the job is unfinished."""

    def __init__(self, *, changes: bool) -> None:
        self.changes = changes
        self._event = asyncio.Event()
        self._seen: JobVersion | None = None

    async def wait(self, seconds: float) -> bool:
        """Wait for the next change, or the end, of the job; return False where none came in this time."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True

    def wake(self, *, finished: bool) -> None:
        """Report a change of the job."""
        if finished or self.changes:
            self._event.set()

    def compare(self, version: JobVersion) -> None:
        """Report the version that the ledger has."""
        if version != self._seen:
            self._seen = version
            self.wake(finished=version.status.finished)


class JobWatcher:
    """Wakes requests when their jobs change or finish; one subscription serves all of them. For one event loop.

    Parameters
    ----------
    settings
        Settings with the broker's address.
    versions
        Returns the versions of the jobs with the given ids, according to the ledger.
    """

    def __init__(
        self, settings: Settings, versions: Callable[[Sequence[str]], Awaitable[dict[str, JobVersion]]]
    ) -> None:
        self._settings = settings
        self._versions = versions
        self._watches: defaultdict[str, set[Watch]] = defaultdict(set)
        self._listener: asyncio.Task[None] | None = None

    async def wait(self, job_id: str, seconds: float) -> None:
        """Return when the job finishes, or after `seconds`."""
        with self.watching(job_id, changes=False) as watch:
            await watch.wait(seconds)

    @contextmanager
    def watching(self, job_id: str, *, changes: bool = True) -> Iterator[Watch]:
        """Watch a job inside the block."""
        watch = Watch(changes=changes)
        self._watches[job_id].add(watch)
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen())
        try:
            yield watch
        finally:
            self._watches[job_id].discard(watch)
            if not self._watches[job_id]:
                del self._watches[job_id]

    async def _listen(self) -> None:
        """Listen and poll as long as a job is watched."""
        while self._watches:
            try:
                async with async_redis_client(self._settings) as client, client.pubsub() as channel:
                    await channel.subscribe(COMPLETIONS_CHANNEL, CHANGES_CHANNEL)
                    while self._watches:
                        await self._poll()
                        await self._receive(channel)
            except (RedisError, OSError, NoBroker) as error:
                log.debug("no changes from Redis, polling the ledger: %s", error)
                await self._poll()
                await asyncio.sleep(POLL_SECONDS)

    async def _poll(self) -> None:
        try:
            versions = await self._versions(list(self._watches))
        except SQLAlchemyError as error:
            log.warning("the ledger does not respond: %s", error)
            return
        for job_id, version in versions.items():
            for watch in self._watches.get(job_id, ()):
                watch.compare(version)

    async def _receive(self, channel: PubSub) -> None:
        """Receive messages until the next poll."""
        deadline = time.monotonic() + POLL_SECONDS
        while (remaining := deadline - time.monotonic()) > 0:
            message = await channel.get_message(ignore_subscribe_messages=True, timeout=remaining)
            if message is not None:
                finished = message["channel"].decode() == COMPLETIONS_CHANNEL
                for watch in self._watches.get(message["data"].decode(), ()):
                    watch.wake(finished=finished)
