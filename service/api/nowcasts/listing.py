"""Lists of a client's nowcasts in pages, whose cursors are opaque to clients."""

from __future__ import annotations

import base64
import json
from typing import Annotated, Final

from fastapi import Depends, Query, Request
from pydantic import BaseModel, TypeAdapter, ValidationError

from service.api.access.client import ClientDep
from service.api.context import GatewayContext
from service.api.errors import InvalidParameter, NoNowcast
from service.api.nowcasts.responses import current_status
from service.api.utc_time import UtcTime
from service.jobs.job import Job, JobStatus
from service.jobs.job_list import JobFilter, Position, list_jobs
from service.status import Link, NowcastStatus

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 200
NO_NUL: Final = r"^[^\x00]*$"
"""PostgreSQL stores no NUL, and refuses to look for one."""
TIME: Final = TypeAdapter(UtcTime)


class NowcastList(BaseModel):
    """A page of nowcasts, the newest first. The link `next` leads to older ones; without it there are none."""

    nowcasts: list[NowcastStatus]
    links: list[Link]


Status = Annotated[list[JobStatus] | None, Query(description="One or several statuses.")]
Model = Annotated[
    str | None,
    Query(max_length=128, pattern=NO_NUL, description="`NAME` or `NAME@VERSION`, that ran or was asked for."),
]
CreatedAfter = Annotated[UtcTime | None, Query(description="Requested at this time or later (RFC 3339).")]
CreatedBefore = Annotated[UtcTime | None, Query(description="Requested before this time (RFC 3339).")]


async def _job_filter(
    client: ClientDep,
    status: Status = None,
    model: Model = None,
    created_after: CreatedAfter = None,
    created_before: CreatedBefore = None,
) -> JobFilter:
    return JobFilter(client.owner, tuple(status or ()), model, created_after, created_before)


JobFilterDep = Annotated[JobFilter, Depends(_job_filter)]
"""The client's own jobs (of an admin, those of all), as far as the query asks for them."""


async def page_of_jobs(
    context: GatewayContext, request: Request, which: JobFilter | None, limit: int, cursor: str | None
) -> tuple[list[Job], list[Link]]:
    """Return the jobs of a page, and its links; none where `which` is None.

    Raises
    ------
    InvalidParameter
        The cursor is not one of a `next` link.
    """
    after = None if cursor is None else _position(cursor)
    jobs = [] if which is None else await context.in_thread(list_jobs, context.ledger, which, limit + 1, after)
    page = jobs[:limit]
    links = [_link("self", request, {})]
    if len(jobs) > limit:
        links.append(_link("next", request, {"cursor": _cursor(Position(page[-1].created, page[-1].id))}))
    return page, links


async def page_of_nowcasts(
    context: GatewayContext, request: Request, which: JobFilter, limit: int, cursor: str | None
) -> NowcastList:
    """Return a page; raises what `page_of_jobs` does."""
    jobs, links = await page_of_jobs(context, request, which, limit, cursor)
    return NowcastList(nowcasts=[await current_status(context, job) for job in jobs], links=links)


async def latest_job_id(context: GatewayContext, owner: str | None, model: str | None) -> str:
    """Return the id of the newest successful job.

    Raises
    ------
    NoNowcast
        There is none.
    """
    which = JobFilter(owner, (JobStatus.SUCCESSFUL,), model)
    jobs = await context.in_thread(list_jobs, context.ledger, which, 1)
    if not jobs:
        hint = "Request a nowcast with POST /v1/nowcasts, or follow one that is not finished"
        raise NoNowcast("there is no successful nowcast yet", where="latest", hint=hint)
    return jobs[0].id


def _link(rel: str, request: Request, parameters: dict[str, str]) -> Link:
    url = request.url.include_query_params(**parameters)
    href = f"{url.path}?{url.query}" if url.query else url.path
    return Link(rel=rel, href=href, type="application/json", title="Older nowcasts" if rel == "next" else "This page")


def _cursor(position: Position) -> str:
    text = json.dumps([position.created.isoformat(), position.job_id])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _position(cursor: str) -> Position:
    try:
        created, job_id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return Position(TIME.validate_python(created), str(job_id))
    except (ValueError, TypeError, ValidationError):
        raise InvalidParameter(
            "this is no cursor of a list of nowcasts", where="cursor", hint="Follow the link `next` of a page"
        ) from None
