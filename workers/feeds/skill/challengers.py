"""Runs of challengers: other models forecast from the frames of a run, after it, to be compared with it."""

from __future__ import annotations

import logging

from model.core.catalog import Catalog
from model.core.errors import BadPackage, InputError, UnknownModel
from model.core.model_info import ModelInfo
from service.feeds.config import Feed
from service.jobs.costs import work_of
from service.jobs.job import Job
from workers.context import WorkerContext
from workers.feeds.published_run import PublishedRun

log = logging.getLogger(__name__)


def submit_challengers(published: PublishedRun, context: WorkerContext) -> None:
    """Submit a run of each challenger from the frames of a published run.

    Their queue is emptied after those of all other nowcasts. A challenger that is the version that has run anyway is
    left out, and so is one that is not installed. Where another model runs in the place of the feed's, the feed's is a
    challenger.
    """
    feed, run, job_of_run = published.feed, published.run, context.ledger.get(published.job_id)
    for model, info in challengers_of(feed, context.catalog).items():
        if info.reference == job_of_run.model_used:
            continue
        job = _job(info, job_of_run, feed, context)
        if context.skill_ledger.submit_challenger(job, run, model):
            log.info("feed %s: %s runs from %s as challenger, job %s", feed.name, model, run.reference_time, job.id)
            context.queue.enqueue(job.id, "challenger")


def challengers_of(feed: Feed, catalog: Catalog) -> dict[str, ModelInfo]:
    """Return the challengers of a feed that are installed, each version once; last the model that they may replace."""
    found: dict[str, ModelInfo] = {}
    models = feed.challengers if feed.fall_back is None else (*feed.challengers, feed.model)
    for model in models:
        try:
            info = catalog.find(model)
        except (UnknownModel, BadPackage) as error:
            log.warning("feed %s: challenger %s does not run: %s", feed.name, model, error.what)
            continue
        if all(info.reference != other.reference for other in found.values()):
            found[model] = info
    return found


def check_challengers(feed: Feed, catalog: Catalog) -> None:
    """Check that the challengers of a feed are installed.

    Raises
    ------
    InputError
        One is not.
    """
    for model in feed.challengers:
        try:
            catalog.find(model)
        except (UnknownModel, BadPackage) as error:
            raise InputError(error.what, where=f"feed {feed.name}, challengers", hint=error.hint) from None


def _job(info: ModelInfo, published: Job, feed: Feed, context: WorkerContext) -> Job:
    """Return a job for the frames, lead steps and output of the published one."""
    output, _ = info.closest_output(feed.forecast_output)
    work = published.work * work_of(1, 1, output) / work_of(1, 1, published.forecast_output)
    return Job(
        kind="challenger",
        model=info.reference,
        steps=published.steps,
        inputs=published.inputs,
        forecast_output=output,
        feed=feed.name,
        work=work,
        cost_seconds=context.fair_share.cost_seconds(info.reference, work),
    )
