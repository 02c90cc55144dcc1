"""The queue: Celery over Redis. Messages carry ids only, as JSON. The queue may be lost, the ledger is not."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType, ModuleType
from typing import Final

# Imported here and not where they are needed: celery and kombu replace their own modules while they are imported, and
# threads that import them at the same time may find them empty.
from celery import Celery
from celery.loaders.app import AppLoader
from kombu.entity import Queue
from kombu.exceptions import OperationalError
from opentelemetry.trace import SpanKind
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError

from service.jobs.job import JobKind
from service.jobs.ledger import Ledger
from service.settings import Settings
from service.tracing import tracer

RUN_NOWCAST: Final = "echocast.run_nowcast"
COMPUTE_TILE: Final = "echocast.compute_tile"
RECONCILE: Final = "echocast.reconcile"
SCAN_FEEDS: Final = "echocast.scan_feeds"
FOLLOW_UP: Final = "echocast.follow_up"
ARCHIVE_FEEDS: Final = "echocast.archive_feeds"
SCORE_FEED: Final = "echocast.score_feed"
CHECK_ALERTS: Final = "echocast.check_alerts"
SCAN_FEED: Final = "echocast.scan_feed"
LOAD_MODEL: Final = "echocast.load_model"
REPEAT_RUN: Final = "echocast.repeat_run"

SCHEDULE_QUEUE: Final = "echocast.schedule"
FOLLOW_UPS_QUEUE: Final = "echocast.follow_ups"
FEEDS_QUEUE: Final = "echocast.feeds"
NOWCASTS_QUEUE: Final = "echocast.nowcasts"
TILES_QUEUE: Final = "echocast.tiles"
CHALLENGERS_QUEUE: Final = "echocast.challengers"
LOW_QUEUE: Final = "echocast.low"
QUEUES: Final = (
    *(SCHEDULE_QUEUE, FOLLOW_UPS_QUEUE, FEEDS_QUEUE, NOWCASTS_QUEUE),
    *(TILES_QUEUE, CHALLENGERS_QUEUE, LOW_QUEUE),
)
"""In the order in which a worker empties them: products follow at once, uploads do not delay feeds, only an idle worker
computes tiles of another worker's nowcast, and the verification of feeds delays nothing."""

QUEUE_OF_KIND: Final[Mapping[JobKind, str]] = MappingProxyType(
    {"feed": FEEDS_QUEUE, "upload": NOWCASTS_QUEUE, "challenger": CHALLENGERS_QUEUE}
)

COMPLETIONS_CHANNEL: Final = "echocast:completed"
"""The channel on which the ids of finished jobs are published."""

CHANGES_CHANNEL: Final = "echocast:changed"
"""The channel on which the ids of jobs are published that have started, or done a lead step."""

CONNECT_SECONDS: Final = 2.0
"""How long the gateway waits for a broker that does not respond."""

log = logging.getLogger(__name__)


class NoBroker(RuntimeError):
    """The settings name no broker: only `echocast serve` runs without one."""


class InstalledModules(AppLoader):  # type: ignore[misc]  # Celery has no types
    """Import task modules from Python's path only: Celery puts the current folder first while it imports them."""

    def import_from_cwd(self, module: str, imp: object = None, package: str | None = None) -> ModuleType:
        """Import a module."""
        return importlib.import_module(module, package)


def celery_app(settings: Settings, *, client: bool = False) -> Celery:
    """Return the Celery application. A `client` only sends tasks, and fails quickly while the broker is down."""
    app = Celery("echocast", broker=_broker_url(settings), loader=InstalledModules, set_as_current=not client)
    hard_limit = settings.job_time_limit_seconds + 60
    transport: dict[str, object] = {
        "visibility_timeout": int(2 * hard_limit),
        "socket_connect_timeout": CONNECT_SECONDS,
        "queue_order_strategy": "priority",
    }
    if client:
        transport |= {"socket_timeout": CONNECT_SECONDS, "max_retries": 1, "interval_start": 0, "interval_step": 0.1}
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_time_limit=hard_limit,
        task_soft_time_limit=settings.job_time_limit_seconds,
        task_default_queue=NOWCASTS_QUEUE,
        task_queues=[Queue(name) for name in QUEUES],  # type: ignore[no-untyped-call]  # kombu has no types
        task_routes={
            **{task: {"queue": SCHEDULE_QUEUE} for task in (RECONCILE, SCAN_FEEDS, CHECK_ALERTS)},
            ARCHIVE_FEEDS: {"queue": TILES_QUEUE},
        },
        worker_prefetch_multiplier=1,
        worker_pool_start_method="spawn",
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=transport,
    )
    return app


class JobQueue:
    """Sends the ids of jobs to the workers."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger
        self._app: Celery | None = None
        self._redis: Redis | None = None
        self._lock = threading.Lock()

    def enqueue(self, job_id: str, kind: JobKind = "upload") -> bool:
        """Queue an accepted job; return False while the broker is down: the reconciler queues the job later."""
        with tracer.start_as_current_span("enqueue", kind=SpanKind.PRODUCER, attributes={"echocast.job.id": job_id}):
            problem = self._send(RUN_NOWCAST, [job_id], QUEUE_OF_KIND[kind])
        if problem:
            log.warning("job %s is not queued yet, the broker is down: %s", job_id, problem)
            return False
        self._ledger.mark_queued(job_id)
        return True

    def enqueue_follow_up(self, feed: str) -> bool:
        """Queue what follows a publication of a feed; return False while the broker is down: the reconciler does it."""
        problem = self._send(FOLLOW_UP, [feed], FOLLOW_UPS_QUEUE)
        if problem:
            log.warning("feed %s: its products are not queued yet, the broker is down: %s", feed, problem)
        return not problem

    def offer_tile(self, job_id: str, attempt: int, tile: str, reference: str, variant: str) -> bool:
        """Queue a tile of a running job for an idle worker; return False while the broker is down."""
        expires = self._settings.job_time_limit_seconds
        return not self._send(COMPUTE_TILE, [job_id, attempt, tile, reference, variant], TILES_QUEUE, expires)

    def enqueue_scoring(self, feed: str) -> bool:
        """Queue the scoring of a feed's forecasts; return False while the broker is down: the next frame does so."""
        return not self._send(SCORE_FEED, [feed], LOW_QUEUE)

    def scan_feed(self, feed: str, *, rest: bool = False) -> bool:
        """Have a feed scanned at once; return False while the broker is down: the schedule does so later.

        `rest`: for what is left of its files, when no nowcast waits.
        """
        queue = LOW_QUEUE if rest else SCHEDULE_QUEUE
        return not self._send(SCAN_FEED, [feed], queue, self._settings.feed_scan_seconds)

    def repeat_run(self, feed: str, reference_time: datetime) -> bool:
        """Have a run that has no nowcast made again; return False while the broker is down."""
        return not self._send(REPEAT_RUN, [feed, reference_time.isoformat()], SCHEDULE_QUEUE)

    def load_model(self, reference: str, digest: str, answer_key: str, seconds: float) -> None:
        """Have a worker load a model, and put why it cannot into a list in Redis, unless `seconds` have passed.

        Raises
        ------
        OperationalError, RedisError, OSError, NoBroker
            The broker is down.
        """
        problem = self._send(LOAD_MODEL, [reference, digest, answer_key], SCHEDULE_QUEUE, seconds)
        if problem:
            raise problem

    def _send(self, task: str, args: list[str | int], queue: str, expires: float | None = None) -> Exception | None:
        """Send a task; return the error while the broker is down."""
        try:
            self._client().send_task(task, args=args, queue=queue, retry=False, expires=expires)
        except (OperationalError, RedisError, OSError, NoBroker) as error:
            return error
        return None

    def _client(self) -> Celery:
        with self._lock:
            if self._app is None:
                self._app = celery_app(self._settings, client=True)
            return self._app

    def notify_completed(self, job_id: str) -> None:
        """Publish that the job is finished."""
        self._publish(COMPLETIONS_CHANNEL, job_id)

    def notify_changed(self, job_id: str) -> None:
        """Publish that the job has started, or done a lead step."""
        self._publish(CHANGES_CHANNEL, job_id)

    def _publish(self, channel: str, job_id: str) -> None:
        try:
            if self._redis is None:
                self._redis = redis_client(self._settings)
            self._redis.publish(channel, job_id)
        except (RedisError, OSError, NoBroker) as error:
            log.debug("job %s: not published on %s: %s", job_id, channel, error)


def check_broker(settings: Settings) -> None:
    """Raise what Redis raises when it cannot be written, or NoBroker."""
    with redis_client(settings) as redis:
        redis.set("echocast:check", "1", px=1000)


def redis_client(settings: Settings) -> Redis:
    """Return a Redis client for commands beside the queue, with short timeouts."""
    url = _redis_url(settings)
    return Redis.from_url(url, socket_connect_timeout=CONNECT_SECONDS, socket_timeout=CONNECT_SECONDS)


def async_redis_client(
    settings: Settings, *, connect_seconds: float = CONNECT_SECONDS, seconds: float | None = None
) -> AsyncRedis:
    """Return a Redis client for an event loop; a command waits for `seconds`, those of a subscription for any time."""
    return AsyncRedis.from_url(_redis_url(settings), socket_connect_timeout=connect_seconds, socket_timeout=seconds)


def _redis_url(settings: Settings) -> str:
    return _broker_url(settings).replace("redis+socket://", "unix://", 1)


def _broker_url(settings: Settings) -> str:
    if settings.broker_url is None:
        raise NoBroker("ECHOCAST_BROKER_URL is not set")
    return settings.broker_url
