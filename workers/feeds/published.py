"""What follows once a run's nowcast is published."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from model.core.errors import InputError
from service.feeds.feeds_file import read_feeds
from service.feeds.follow_up import WORKER_LOST, FollowUps
from service.feeds.lease import LeaseLost
from service.feeds.tables import FeedRun
from service.jobs.job import Problem, problem_of
from service.store import MissingObject, StoreUnavailable, result_key
from workers.context import WorkerContext
from workers.feeds.alerts import judge_published
from workers.feeds.mqtt.edr import announce_instance
from workers.feeds.mqtt.wis2 import announce_published
from workers.feeds.products.make import make_products
from workers.feeds.published_run import PublishedRun
from workers.feeds.skill.challengers import submit_challengers
from workers.feeds.subscriptions import judge_subscriptions

STEPS: Final[tuple[tuple[str, Callable[[PublishedRun, WorkerContext], None]], ...]] = (
    ("alerts", judge_published),
    ("push", judge_subscriptions),
    ("challengers", submit_challengers),
    ("products", make_products),
    ("wis2", announce_published),
    ("edr", announce_instance),
)
"""What is done after a publication, in this order: alerts do not wait for products. A failed step stops no other."""

log = logging.getLogger(__name__)


def follow_up(feed: str, context: WorkerContext) -> None:
    """Do what follows the publication of the feed's newest run that waits for it, unless another process is at it.

    Where more runs wait, a message for the next one is sent.
    """
    follow_ups = FollowUps(context.ledger.engine)
    with follow_ups.lease(feed) as lease:
        run = follow_ups.newest(feed) if lease.held else None
        if run is None:
            return
        try:
            _attempt(run, context, lease.renew)
        except LeaseLost:
            log.warning("feed %s: another process follows the run from %s up", feed, run.reference_time)
        except StoreUnavailable as error:  # the reconciler sends a message again
            log.warning("feed %s: the store does not respond: %s", feed, error)
            return
    if follow_ups.newest(feed) is not None:
        context.queue.enqueue_follow_up(feed)


def _attempt(run: FeedRun, context: WorkerContext, renew: Callable[[], None]) -> None:
    """Do what follows a publication, unless as many processes as may try were killed by it: then that is recorded.

    Raises
    ------
    StoreUnavailable
        The store does not respond; the attempt does not count.
    LeaseLost
        Another process does it.
    """
    follow_ups = FollowUps(context.ledger.engine)
    lost = follow_ups.begin(run)
    if lost >= context.settings.max_attempts:
        log.error("feed %s: the worker died %d times after the run from %s", run.feed, lost, run.reference_time)
        follow_ups.record_done(run, [_worker_lost(lost)])
        return
    try:
        after_publication(run, context, renew)
    except StoreUnavailable:
        follow_ups.give_back(run)
        raise


def after_publication(run: FeedRun, context: WorkerContext, renew: Callable[[], None] = lambda: None) -> None:
    """Judge the alerts by a published run, make its products, and do whatever else follows; record what of it failed.

    Parameters
    ----------
    run
        The run; its newest job has succeeded.
    context
        Where everything is kept.
    renew
        As in `PublishedRun`.

    Raises
    ------
    StoreUnavailable
        The store does not respond; it is to be done again.
    LeaseLost
        Another process does it.
    """
    problems: list[Problem] = []
    feed = read_feeds(context.settings.feeds_path, check_folders=False).find(run.feed)
    if feed is not None and run.job_id is not None:
        with tempfile.TemporaryDirectory(prefix="echocast-") as name:
            folder = Path(name)
            try:
                nowcast = context.store.fetch(result_key(run.job_id), folder / "nowcast.nc")
            except MissingObject as error:  # its retention is over
                problems.append(problem_of(error))
            else:
                job_id = run.job_id
                published = PublishedRun(feed=feed, run=run, job_id=job_id, nowcast=nowcast, folder=folder, renew=renew)
                problems += _do_steps(published, context)
    FollowUps(context.ledger.engine).record_done(run, problems)


def _do_steps(published: PublishedRun, context: WorkerContext) -> list[Problem]:
    """Do every step, and return what failed."""
    problems = []
    for name, step in STEPS:
        published.renew()
        try:
            step(published, context)
        except (StoreUnavailable, SQLAlchemyError, LeaseLost):
            raise
        except InputError as error:
            log.warning("job %s, feed %s: %s: %s", published.job_id, published.feed.name, name, error)
            problems.append(problem_of(error))
        except Exception:
            log.exception("job %s, feed %s: %s", published.job_id, published.feed.name, name)
            problems.append(internal_problem(name))
    return problems


def _worker_lost(times: int) -> Problem:
    return Problem(
        code=WORKER_LOST,
        what=f"the worker died {times} times while it made products of this nowcast",
        where="products",
        hint="Give the worker more memory, or ask for fewer products",
    )


def internal_problem(where: str) -> Problem:
    """Return the problem of a step or product that failed in the service."""
    return Problem(code="internal", what=f"{where} failed in the service", where=where, hint="See the worker's log")
