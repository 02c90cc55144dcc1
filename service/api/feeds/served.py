"""What feeds serve now: their state and their newest nowcast, looked up about once a second for all requests."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeVar

from model.core.errors import InputError
from service.api.errors import NoNowcast, NoSuchFeed
from service.api.nowcasts.view import NowcastView
from service.api.work_pool import WorkPool
from service.feeds.config import Feed
from service.feeds.feeds_file import Feeds
from service.feeds.overview import FeedState, feed_states
from service.jobs.job import Job

if TYPE_CHECKING:
    from service.api.context import GatewayContext

T = TypeVar("T")

FRESH_SECONDS: Final = 1.0
LATEST_SECONDS: Final = 3.0
"""What was looked up is served for a second; longer, up to three, only while it is looked up anew."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ServedFeed:
    """A feed's state, and the frames of its newest nowcast, if there is one; `since`: when it was looked up."""

    state: FeedState
    newest: NowcastView | None
    since: float

    @property
    def now(self) -> datetime:
        """The time from which leads count, by the feed's clock."""
        return self.state.feed.now(self.state.health.newest_frame or self.view.reference_time)

    @property
    def view(self) -> NowcastView:
        """The frames of the newest nowcast.

        Raises
        ------
        NoNowcast
            There is none yet.
        """
        if self.newest is None:
            raise no_nowcast()
        return self.newest


class ServedFeeds:
    """What each feed serves. For one event loop.

    One request looks a feed up, and all others are served what is known meanwhile. A new nowcast is read into memory
    first, so that no request waits for that, where two of its size fit into the memory for places.
    """

    def __init__(self, context: GatewayContext) -> None:
        self._context = context
        self._served: dict[str, ServedFeed] = {}
        self._looking_up: dict[str, asyncio.Task[ServedFeed]] = {}
        self.fresh_seconds = FRESH_SECONDS
        self.latest_seconds = LATEST_SECONDS

    async def get(self, name: str) -> ServedFeed:
        """Return what a feed serves.

        Raises
        ------
        NoSuchFeed
            There is no feed of that name.
        MissingObject, CannotShow
            Its newest nowcast was deleted, or cannot be shown.
        """
        known = self._served.get(name)
        age = float("inf") if known is None else time.monotonic() - known.since
        if known is not None and age < self.fresh_seconds:
            return known
        task = self._looking_up.get(name)
        if task is None:
            task = self._looking_up[name] = asyncio.create_task(self._look_up(name))
            task.add_done_callback(lambda done: self._looked_up(name, done))
        if known is not None and age < self.latest_seconds:
            return known
        return await asyncio.shield(task)

    async def opened(self, job: Job, *, read: bool = False) -> NowcastView:
        """Return the frames of a nowcast; with `read` in memory, where there is room for two such nowcasts.

        Raises
        ------
        MissingObject, CannotShow
            The nowcast was deleted, or cannot be shown.
        Busy
            Too many requests wait.
        """
        results = self._context.results
        keys = [key for key in (job.result_key, job.input_key) if key]

        def open_files() -> NowcastView:
            view = NowcastView(job, *map(results.rain, paths))
            if read:
                _read(view)
            return view

        async with results.held(*keys) as paths:
            return await self._context.points.run(open_files)

    async def run(self, pool: WorkPool, view: NowcastView, function: Callable[[NowcastView], T]) -> T:
        """Run a call on the frames of a nowcast in a thread of `pool`, while its files are held.

        Raises
        ------
        MissingObject
            The nowcast was deleted.
        Busy
            Too many requests wait.
        """
        keys = [key for key in (view.job.result_key, view.job.input_key) if key]
        async with self._context.results.held(*keys):
            return await pool.run(function, view)

    def _looked_up(self, name: str, task: asyncio.Task[ServedFeed]) -> None:
        del self._looking_up[name]
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._served[name] = task.result()
        elif isinstance(error, InputError):
            self._served.pop(name, None)
        else:
            log.debug("feed %s could not be looked up: %s", name, error)

    async def _look_up(self, name: str) -> ServedFeed:
        state = await self._context.points.look_up(self._state, name)
        known = self._served.get(name)
        view = None if known is None else known.newest
        if state.served is None:
            view = None
        elif view is None or view.job.id != state.served.id:
            view = await self.opened(state.served, read=True)
        return ServedFeed(state=state, newest=view, since=time.monotonic())

    def _state(self, name: str) -> FeedState:
        [state] = feed_states([find_feed(self._context.feeds(), name)], self._context.feed_ledger)
        return state


def no_nowcast() -> NoNowcast:
    """Return the error of a feed without a nowcast."""
    return NoNowcast("this feed has no nowcast yet", where="feed", hint="Its status tells what it waits for")


def find_feed(feeds: Feeds, name: str) -> Feed:
    """Return the feed of that name.

    Raises
    ------
    NoSuchFeed
        There is none.
    """
    feed = feeds.find(name)
    if feed is None:
        raise NoSuchFeed(f"there is no feed {name!r}", where="feed", hint="GET /v1/feeds lists the feeds")
    return feed


def _read(view: NowcastView) -> None:
    if 2 * sum(file.size for file in view.files) <= view.forecast.places.cache.max_bytes:
        for file in view.files:
            file.places.load()
