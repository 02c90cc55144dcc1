"""Threads for one kind of work, apart from those of others: what is slow waits in its own line, which is bounded."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Final, ParamSpec, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

from service.api.errors import Busy

P = ParamSpec("P")
T = TypeVar("T")

RETRY_AFTER_SECONDS: Final = 2
SWITCH_SECONDS: Final = 0.0005
"""A thread that computes gives Python's lock after this long to one that waits, the event loop: by default 5 ms."""


class WorkPool:
    """A few threads, and a bounded number of calls that wait for them. For one event loop.

    Parameters
    ----------
    name
        What is done here, for the error and the names of the threads.
    threads
        Number of calls that run at a time.
    waiting
        Number of calls that may wait besides.
    """

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        self.name = name
        sys.setswitchinterval(SWITCH_SECONDS)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._places = threading.BoundedSemaphore(threads + waiting)
        self._looking_up = CapacityLimiter(threads)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call in one of the threads, with the context variables of the caller.

        Raises
        ------
        Busy
            Too many calls wait.
        """
        if not self._places.acquire(blocking=False):
            raise Busy(
                f"too many requests wait for {self.name}",
                hint=f"Try again in {RETRY_AFTER_SECONDS} s",
                retry_after=RETRY_AFTER_SECONDS,
            )
        future = self._executor.submit(copy_context().run, partial(function, *args, **kwargs))
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)

    async def look_up(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a short call that decides whether there is work, such as a query, beside the work of the pool.

        As many run at a time as the pool has threads: a crowd at one route leaves the event loop to the others.
        """
        return await anyio.to_thread.run_sync(partial(function, *args, **kwargs), limiter=self._looking_up)

    def close(self) -> None:
        """Wait for the calls that run, and drop those that wait."""
        self._executor.shutdown(cancel_futures=True)
