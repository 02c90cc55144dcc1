"""Delete what is over, and what processes that were killed left in the store: no job in the ledger has it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Final

from service.feeds.alerts.ledger import AlertLedger
from service.feeds.feeds_file import read_feeds
from service.feeds.products import MANIFEST, forecasts_prefix, products_of_feed
from service.feeds.pushed import pushed_key
from service.jobs.queue import redis_client
from service.store import CHECKS, NOWCASTS, StoredObject, frames_prefix, pushed_prefix
from service.web_push.ledger import PushLedger
from workers.context import WorkerContext

SWEEP_SECONDS: Final = 3600
"""How often the store is listed."""

MIN_AGE: Final = timedelta(days=1)
"""What is younger may be in use: the files of an upload are stored before its job is recorded."""

WHILE_UNFINISHED: Final = ("upload", "tiles")
"""Folders of a job that are needed until it has ended."""

REMOVED_FEED_KEPT: Final = timedelta(days=7)
"""How long a feed that left the file of feeds is kept: it may have been taken out for a while, or by mistake."""

log = logging.getLogger(__name__)


def sweep_when_due(context: WorkerContext) -> None:
    """Delete leftovers if no process has done so within `SWEEP_SECONDS`."""
    with redis_client(context.settings) as redis:
        due = redis.set("echocast:swept", "1", nx=True, ex=SWEEP_SECONDS)
    if due:
        sweep_subscriptions(context)
        sweep(context)
        sweep_feeds(context)


def sweep(context: WorkerContext) -> None:
    """Delete leftovers that are older than `MIN_AGE`.

    These are files that were being written, products that no run has, uploads and tiles of jobs that have ended or are
    not in the ledger, and results of the latter once they are older than the retention.
    """
    store, before = context.store, datetime.now(UTC) - MIN_AGE
    deleted = store.delete_unfinished_writes(before)
    deleted += _sweep_products(before, context) + _sweep_received(before, context)
    for prefix in (CHECKS, NOWCASTS):
        for objects in store.list(prefix):
            leftovers = _leftovers([each for each in objects if each.modified < before], context)
            for key in leftovers:
                store.delete(key)
            deleted += len(leftovers)
    if deleted:
        log.info("deleted %d objects that belong to no job, or to one that has ended", deleted)


def sweep_subscriptions(context: WorkerContext) -> None:
    """Delete what is stored of browsers whose page is no longer opened, whether or not there is web push now."""
    retention = timedelta(days=context.settings.push_retention_days)
    PushLedger(context.ledger).delete_outdated(datetime.now(UTC) - retention)


def _sweep_products(before: datetime, context: WorkerContext) -> int:
    """Delete products that no run has: those that were being made; return how many files."""
    deleted = 0
    for feed in context.feed_ledger.names():
        prefix = products_of_feed(feed)
        for objects in context.store.list(prefix):
            old = [each.key for each in objects if each.modified < before]
            runs = context.feed_ledger.runs(feed) if old else []
            needed = {file["key"] for run in runs for file in run.products or []}
            needed |= {f"{key.rpartition('/')[0]}/{MANIFEST}" for key in needed}
            for key in set(old) - needed:
                context.store.delete(key)
                deleted += 1
    return deleted


def _sweep_received(before: datetime, context: WorkerContext) -> int:
    """Delete files that were sent to feeds and wait for nobody: they were stored and not recorded; return how many."""
    deleted = 0
    for feed in context.feed_ledger.names():
        for objects in context.store.list(pushed_prefix(feed)):
            old = {each.key for each in objects if each.modified < before}
            waiting = (
                {pushed_key(feed, file.name) for file in context.feed_ledger.received_files(feed)} if old else set()
            )
            for key in old - waiting:
                context.store.delete(key)
                deleted += 1
    return deleted


def sweep_feeds(context: WorkerContext) -> None:
    """Delete what is stored of feeds that left the file of feeds `REMOVED_FEED_KEPT` ago.

    These are frames, records, events, and subscriptions of browsers.

    As long as something is wrong in the file, it may be a feed that is there: nothing is deleted.
    """
    config = read_feeds(context.settings.feeds_path, check_folders=False)
    if config.problems:
        return
    for feed in context.feed_ledger.unused_since(datetime.now(UTC) - REMOVED_FEED_KEPT):
        if config.find(feed) is None:
            prefixes = (frames_prefix(feed), pushed_prefix(feed), products_of_feed(feed), forecasts_prefix(feed))
            for prefix in prefixes:
                context.store.delete_prefix(prefix)
            context.skill_ledger.forget(feed)
            context.feed_ledger.forget(feed)
            log.info("feed %s: it left the file of feeds, and what was stored of it is deleted", feed)
    kept = {feed.name for feed in config.feeds} | set(context.feed_ledger.names())
    AlertLedger(context.ledger).delete_events_of_others(kept)
    PushLedger(context.ledger).delete_of_others(kept)


def _leftovers(objects: list[StoredObject], context: WorkerContext) -> list[str]:
    """Return the keys of objects that nobody needs. The ledger is read after the objects were listed."""
    days = context.settings.retention_days
    expired = datetime.now(UTC) - timedelta(days=days) if days else None
    job_ids = {each.key.split("/")[1] for each in objects}
    versions = context.ledger.versions(sorted(job_ids))

    def needed(stored: StoredObject) -> bool:
        prefix, job_id, part = (*stored.key.split("/"), "")[:3]
        version = versions.get(job_id)
        if prefix == CHECKS:
            return False
        if part in WHILE_UNFINISHED:
            return version is not None and not version.status.finished
        return version is not None or expired is None or stored.modified > expired

    return [each.key for each in objects if not needed(each)]
