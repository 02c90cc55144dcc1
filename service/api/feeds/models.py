"""The models that have nowcasts of a feed: the one that makes those that are served, and those that run beside it.

The functions block.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final

from fastapi import Query

from service.api.context import GatewayContext
from service.api.errors import InvalidParameter, NoNowcast
from service.api.feeds import answers
from service.api.feeds.served import no_nowcast
from service.api.models.listing import lead_of_scores
from service.feeds.config import Feed
from service.feeds.overview import jobs_by_id
from service.jobs.database import reading
from service.jobs.job import Job, JobStatus

BEHIND: Final = timedelta(hours=1)
"""A nowcast of another model is shown as long as that of the feed is at most this much newer."""

ModelQuery = Annotated[
    str | None,
    Query(
        max_length=128,
        description="Show the newest forecast of this model, one of `models` in tiles.json; default: the feed's.",
        examples=["extrapolation@1"],
    ),
]


@dataclass(frozen=True)
class MadeNowcast:
    """A nowcast of a feed: its job, and when it was published. `own`: whether it is the one that is served."""

    job: Job
    reference_time: datetime
    own: bool
    published: datetime | None = None

    @property
    def model(self) -> str:
        """The version that ran."""
        return self.job.model_used or self.job.model

    def is_of(self, model: str) -> bool:
        """Whether the model made it; a name without a version means any."""
        return model in (self.model, self.model.split("@")[0]) or (self.own and model == self.job.model)


def newest_nowcasts(context: GatewayContext, feed: Feed) -> list[MadeNowcast]:
    """Return the newest nowcast of each model: the one that is served first; none before that is there."""
    try:
        run, job = answers.served_job(context, feed)
    except NoNowcast:
        return []
    served = MadeNowcast(job, run.reference_time, own=True, published=run.published)
    found = {served.model: served}
    for other in challenger_nowcasts(context, feed, run.reference_time - BEHIND):
        found.setdefault(other.model, other)
    return list(found.values())


def challenger_nowcasts(context: GatewayContext, feed: Feed, since: datetime) -> list[MadeNowcast]:
    """Return the nowcasts of challengers from a reference time on, the newest first."""
    runs = context.skill_ledger.newest_challengers(feed.name, since)
    with reading(context.feed_ledger.engine) as session:
        jobs = jobs_by_id(session, [run.job_id for run in runs])
    made = ((run, jobs.get(run.job_id or "")) for run in runs)
    return [
        MadeNowcast(job, run.reference_time, own=False)
        for run, job in made
        if job is not None and job.status is JobStatus.SUCCESSFUL
    ]


def nowcast_of_model(nowcasts: list[MadeNowcast], model: str | None) -> MadeNowcast:
    """Return the nowcast of a model; None: the one that is served, which comes first.

    Raises
    ------
    InvalidParameter
        There is none.
    """
    found = next((each for each in nowcasts if model is None or each.is_of(model)), None)
    if found is None:
        listed = ", ".join(each.model for each in nowcasts) or "none yet"
        raise InvalidParameter(
            f"there is no nowcast of {model!r}", where="model", hint=f"Models with a nowcast of this feed: {listed}"
        )
    return found


def newest_of_model(context: GatewayContext, feed: Feed, model: str | None) -> MadeNowcast:
    """Return the newest nowcast of a model; None: the one that is served.

    Raises
    ------
    NoNowcast
        None is published yet.
    InvalidParameter
        There is none of that model.
    """
    nowcasts = newest_nowcasts(context, feed)
    if not nowcasts:
        raise no_nowcast()
    return nowcast_of_model(nowcasts, model)


def scored_lead_minutes(context: GatewayContext, feed: Feed, model: str) -> float | None:
    """Return the longest lead time (minutes) at which a model was scored, before or on this feed; None: at none."""
    leads = [context.skill_ledger.scored_lead_minutes(feed.name, model), lead_of_scores(context, model)]
    return max((lead for lead in leads if lead is not None), default=None)
