"""How the service does, for an operator on duty. The functions block."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from sqlalchemy import func, select

from service.api.access.client import ANONYMOUS, Client
from service.api.context import GatewayContext
from service.api.feeds.answers import feed_info
from service.api.health.checks import Readiness
from service.api.operator.types import (
    ConfigurationProblem,
    FeedTrouble,
    Operator,
    Overview,
    QueueInfo,
    WatchedFeed,
)
from service.feeds.config import Feed
from service.feeds.overview import FeedState, feed_states
from service.feeds.trouble import FeedTroubles, feed_troubles
from service.jobs.database import reading
from service.jobs.job import Job, JobStatus, Problem
from service.jobs.ledger import Ledger
from service.problem_details import public

LATELY: Final = timedelta(hours=24)


def overview(context: GatewayContext, client: Client, readiness: Readiness) -> Overview:
    """Return how the service does now."""
    configured = context.feeds()
    states = feed_states(configured.feeds, context.feed_ledger)
    troubles = feed_troubles(states, context.ledger, datetime.now(UTC) - LATELY)
    return Overview(
        operator=Operator(client=client.id, key_id=client.key_id, may_change=client is not ANONYMOUS),
        ready=readiness.ready,
        parts=readiness.parts,
        queue=_queue(context.ledger),
        feeds=[_watched(state, troubles[state.feed.name]) for state in states],
        configuration=[_problem(problem) for problem in configured.problems],
    )


def _queue(ledger: Ledger) -> QueueInfo:
    now = datetime.now(UTC)
    unfinished = ledger.count_unfinished()
    waiting = [(number, oldest) for _, status, number, oldest in unfinished if status is JobStatus.ACCEPTED]
    failed = select(func.count()).where(Job.status == JobStatus.FAILED, Job.finished >= now - LATELY)
    with reading(ledger.engine) as session:
        return QueueInfo(
            waiting=sum(number for number, _ in waiting),
            running=sum(number for _, status, number, _ in unfinished if status is JobStatus.RUNNING),
            oldest_seconds=max(((now - oldest).total_seconds() for _, oldest in waiting), default=None),
            failed=session.scalar(failed) or 0,
        )


def _watched(state: FeedState, found: FeedTroubles) -> WatchedFeed:
    return WatchedFeed(
        feed=feed_info(state),
        source=_source(state.feed),
        last_scan=found.last_scan,
        problem=None if found.problem is None else _problem(found.problem),
        lag_seconds=found.lag_seconds,
        rejected_files=found.rejected,
        failed_runs=found.failed,
        troubles=[
            FeedTrouble(kind=each.kind, when=each.when, name=each.name, reason=public(each.reason))
            for each in found.newest
        ],
    )


def _source(feed: Feed) -> Literal["folder", "object store", "push", "mqtt"]:
    if feed.mqtt is not None:
        return "mqtt"
    return "push" if feed.push else "folder" if feed.folder is not None else "object store"


def _problem(problem: Problem) -> ConfigurationProblem:
    return ConfigurationProblem(**{name: public(problem[name]) for name in ("where", "what", "hint")})
