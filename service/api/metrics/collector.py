"""What the gateway reads at each scrape, where the truth is: unfinished jobs, the queue, live workers, feeds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Final, get_args

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.feeds.alerts.ledger import AlertLedger
from service.feeds.alerts.transition import AlertState
from service.feeds.feeds_file import Feeds
from service.feeds.health import FeedStatus
from service.feeds.ledger import FeedLedger
from service.feeds.overview import feed_states
from service.feeds.skill.ledger import SkillLedger
from service.jobs.heartbeat import live_beats, live_workers
from service.jobs.job import JobKind, JobStatus
from service.jobs.ledger import Ledger
from service.jobs.queue import QUEUES, redis_client
from service.settings import Settings

SKILL_AGE: Final = timedelta(hours=6)
"""Skill that was not updated for so long is not told any more."""

log = logging.getLogger(__name__)


class StateMetrics(Collector):
    """The state of the service in ledger and queue.

    A part that cannot be read lacks its metrics, and `echocast_component_up` is 0 for it.
    """

    def __init__(self, settings: Settings, ledger: Ledger, feeds: Callable[[], Feeds]) -> None:
        self._settings = settings
        self._ledger = ledger
        self._feeds = feeds

    def describe(self) -> list[GaugeMetricFamily]:
        """Return the metrics without values."""
        return [*self._families().values()]

    def collect(self) -> Iterable[Metric]:
        """Read the state."""
        families = self._families()
        parts: dict[str, Callable[[dict[str, GaugeMetricFamily]], None]] = {
            "ledger": self._read_jobs,
            "broker": self._read_queue,
            "feeds": self._read_feeds,
        }
        for name, read in parts.items():
            try:
                read(families)
            except Exception as error:
                log.debug("metrics of the %s cannot be read: %s", name, error)
                families["echocast_component_up"].add_metric([name], 0)
            else:
                families["echocast_component_up"].add_metric([name], 1)
        return families.values()

    @staticmethod
    def _families() -> dict[str, GaugeMetricFamily]:
        metrics: tuple[tuple[str, str, list[str]], ...] = (
            ("component_up", "Whether the metrics of a component could be read.", ["component"]),
            ("jobs", "Unfinished jobs by kind and status: accepted (waiting) or running.", ["kind", "status"]),
            ("queue_oldest_job_age_seconds", "Age of the oldest job that waits; 0 where none waits.", ["kind"]),
            ("alerts", "Alerts by state: raised, cleared, unknown.", ["state"]),
            ("queue_messages", "Messages in each queue of the broker.", ["queue"]),
            ("feed_csi", "CSI of a model's newest forecasts of a feed, of the last 24 hours.", ["feed", "model"]),
            ("feed_status", "1 for the status that a feed has, 0 for the others.", ["feed", "status"]),
            ("feed_newest_frame_timestamp_seconds", "Valid time of a feed's newest frame, as Unix time.", ["feed"]),
            ("feed_frame_age_seconds", "Age of a feed's newest frame.", ["feed"]),
            ("feed_newest_nowcast_timestamp_seconds", "Reference time of its newest nowcast, as Unix time.", ["feed"]),
            ("workers_alive", "Processes that run jobs and have sent a heartbeat.", []),
            ("beats_alive", "Schedulers that have sent a heartbeat.", []),
        )
        return {
            f"echocast_{name}": GaugeMetricFamily(f"echocast_{name}", text, labels=labels)
            for name, text, labels in metrics
        }

    def _read_jobs(self, families: dict[str, GaugeMetricFamily]) -> None:
        unfinished = {
            (kind, status): (number, oldest) for kind, status, number, oldest in self._ledger.count_unfinished()
        }
        now = datetime.now(UTC)
        for kind, status in product(get_args(JobKind), (JobStatus.ACCEPTED, JobStatus.RUNNING)):
            number, oldest = unfinished.get((kind, status), (0, now))
            families["echocast_jobs"].add_metric([kind, status.value], number)
            if status is JobStatus.ACCEPTED:
                age = max(0.0, (now - oldest).total_seconds())
                families["echocast_queue_oldest_job_age_seconds"].add_metric([kind], age)

        for skill in SkillLedger(self._ledger).newest(now - SKILL_AGE):
            if skill.csi is not None:
                families["echocast_feed_csi"].add_metric([skill.feed, skill.model], skill.csi)
        states = AlertLedger(self._ledger).count_states()
        for state in AlertState:
            families["echocast_alerts"].add_metric([state.value], states.get(state.value, 0))

    def _read_feeds(self, families: dict[str, GaugeMetricFamily]) -> None:
        for state in feed_states(self._feeds().feeds, FeedLedger(self._ledger)):
            name, health = state.feed.name, state.health
            for status in FeedStatus:
                families["echocast_feed_status"].add_metric([name, status.value], status is health.status)
            if health.newest_frame is not None and health.age_minutes is not None:
                newest = health.newest_frame.timestamp()
                families["echocast_feed_newest_frame_timestamp_seconds"].add_metric([name], newest)
                families["echocast_feed_frame_age_seconds"].add_metric([name], 60 * health.age_minutes)
            if state.run is not None:
                forecast = state.run.reference_time.timestamp()
                families["echocast_feed_newest_nowcast_timestamp_seconds"].add_metric([name], forecast)

    def _read_queue(self, families: dict[str, GaugeMetricFamily]) -> None:
        with redis_client(self._settings) as redis:
            lengths = {queue: int(redis.llen(queue)) for queue in QUEUES}
        for queue, length in lengths.items():
            families["echocast_queue_messages"].add_metric([queue], length)
        families["echocast_workers_alive"].add_metric([], len(live_workers(self._settings)))
        families["echocast_beats_alive"].add_metric([], len(live_beats(self._settings)))
