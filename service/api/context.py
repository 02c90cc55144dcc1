"""The state that the routes share, created once per application."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Final, ParamSpec, TypeVar

import anyio.to_thread
from fastapi import Depends, Request

from model.core.caching import FileCache
from model.core.catalog import open_catalog
from service.api.access.authentication import Authenticator
from service.api.event_streams import EventStreams
from service.api.feeds.feed_snapshot import FeedSnapshot, feed_snapshots
from service.api.feeds.served import ServedFeeds
from service.api.health.checks import ReadinessProbe
from service.api.job_watcher import JobWatcher
from service.api.rate_limit import RateLimit
from service.api.results import ResultFiles
from service.api.view_cache import ViewCache
from service.api.watcher import Watcher
from service.api.work_pool import WorkPool
from service.feeds.alerts.ledger import AlertLedger
from service.feeds.feeds_file import Feeds, read_feeds
from service.feeds.ledger import FeedLedger
from service.feeds.skill.ledger import SkillLedger
from service.feeds.skill.warnings import SuggestedLimits
from service.jobs.admission import Admission
from service.jobs.api_keys import ApiKeys
from service.jobs.fair_share import FairShare
from service.jobs.ledger import Ledger
from service.jobs.outbox import Outbox, Webhook
from service.jobs.queue import JobQueue
from service.render.block_cache import BlockCache
from service.render.forecast_reader import RankCache
from service.settings import Settings
from service.store import ObjectStore
from service.web_push.ledger import PushLedger
from service.web_push.vapid_key import VapidKey

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE_SECONDS: Final = 5.0
"""How long a request waits for a ledger that is locked, or a store that does not respond, before it gets 503."""

MB: Final = 1 << 20
POINT_THREADS, POINTS_WAITING = 2, 256
AREA_THREADS, AREAS_WAITING = 1, 64
PICTURE_THREADS, PICTURES_WAITING = 2, 128
ANIMATION_THREADS, ANIMATIONS_WAITING = 1, 16
TILE_THREADS, TILES_WAITING = 2, 512
UPLOAD_THREADS, UPLOADS_WAITING = 4, 128
EXECUTION_THREADS, EXECUTIONS_WAITING = 1, 32
"""Points, areas, pictures, animations and map tiles computed, and nowcasts recorded, at a time, and those that may
wait: this bounds the gateway's memory, and how long one waits. Each kind has threads of its own, apart from those of
`GatewayContext.in_thread`, so that neither places nor statuses wait for pictures or uploads. Uploads wait on disk; an
execute request is in memory while it is recorded."""


class GatewayContext:
    """Settings, ledger, authentication, queue, store, catalogue and local copies of results."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger = Ledger(settings.database, patience_seconds=PATIENCE_SECONDS)
        self.feed_ledger = FeedLedger(self.ledger)
        self.skill_ledger = SkillLedger(self.ledger)
        self.suggested_limits = SuggestedLimits(self.ledger)
        self.alerts = AlertLedger(self.ledger)
        self._feeds = FileCache(partial(read_feeds, check_folders=False))
        self.authenticator = Authenticator(settings, ApiKeys(self.ledger.engine))
        self.fair_share = FairShare(self.ledger)
        self.admission = Admission(settings, self.ledger, self.fair_share)
        self.rate_limit = RateLimit(settings)
        self.queue = JobQueue(settings, self.ledger)
        self.push = PushLedger(self.ledger)
        self.push_key = VapidKey.of_settings(settings)
        self.outbox = Outbox(self.ledger.engine, Webhook)
        self.store = ObjectStore(settings.store, patience_seconds=PATIENCE_SECONDS)
        self.catalog = open_catalog(settings.packages_folder)
        self.readiness = ReadinessProbe(settings, self.ledger, self.store, self.catalog)
        blocks, ranks = BlockCache(settings.place_cache_mb * MB), RankCache(settings.tile_cache_mb * MB)
        self.results = ResultFiles(self.store, settings.result_copies_mb * MB, blocks, ranks)
        self.view_cache = ViewCache(settings.view_cache_mb * MB)
        self.points = WorkPool("points", threads=POINT_THREADS, waiting=POINTS_WAITING)
        self.areas = WorkPool("areas", threads=AREA_THREADS, waiting=AREAS_WAITING)
        self.pictures = WorkPool("pictures", threads=PICTURE_THREADS, waiting=PICTURES_WAITING)
        self.animations = WorkPool("animations", threads=ANIMATION_THREADS, waiting=ANIMATIONS_WAITING)
        self.tiles = WorkPool("map tiles", threads=TILE_THREADS, waiting=TILES_WAITING)
        self.uploads = WorkPool("uploads", threads=UPLOAD_THREADS, waiting=UPLOADS_WAITING)
        self.executions = WorkPool("execute requests", threads=EXECUTION_THREADS, waiting=EXECUTIONS_WAITING)
        self.jobs = JobWatcher(settings, lambda job_ids: self.in_thread(self.ledger.versions, job_ids))
        self.alert_watcher = Watcher[int]("events of alerts", lambda: self.in_thread(self.alerts.newest_number))
        self.feed_watcher = Watcher[Mapping[str, FeedSnapshot]](
            "events of feeds", lambda: self.in_thread(feed_snapshots, self)
        )
        self.event_streams = EventStreams(settings.max_event_streams)
        self.served_feeds = ServedFeeds(self)

    async def in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking call (ledger, store) beside the event loop."""
        return await anyio.to_thread.run_sync(lambda: function(*args, **kwargs))

    def feeds(self) -> Feeds:
        """Return the feeds as their file has them now."""
        return self._feeds(self.settings.feeds_path)

    def end_streams(self) -> None:
        """Let the event streams without an end of their own end, as the gateway stops."""
        self.alert_watcher.stop()
        self.feed_watcher.stop()

    def close(self) -> None:
        """Wait for the calls that run, delete local copies and close the ledger."""
        pools = (self.points, self.areas, self.pictures, self.animations, self.tiles, self.uploads, self.executions)
        for pool in pools:
            pool.close()
        self.results.close()
        self.ledger.close()


async def _context(request: Request) -> GatewayContext:
    context: GatewayContext = request.app.state.context
    return context


ContextDep = Annotated[GatewayContext, Depends(_context)]
