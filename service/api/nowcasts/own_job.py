"""The job that a request names: the client's own, or one of a feed."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path
from starlette.convertors import StringConvertor, register_url_convertor

from service.api.access.client import Client, ClientDep
from service.api.context import ContextDep, GatewayContext
from service.api.work_pool import WorkPool
from service.jobs.job import Job


class JobIdConvertor(StringConvertor):
    """The part of a path that is a nowcast's id: `/v1/nowcasts/latest` has methods of its own."""

    regex = "(?!latest/?$)[^/]+"


register_url_convertor("job", JobIdConvertor())


async def own_job(
    context: GatewayContext,
    client: Client,
    job_id: str,
    pool: WorkPool | None = None,
    *,
    or_of_feeds: bool = False,
) -> Job:
    """Return a job that the client reaches: its own, or any, of an admin; `pool` is that of the work that follows.

    Those of feeds belong to nobody; everybody may read them, and only an admin may cancel them.

    Raises
    ------
    UnknownJob
        There is no job of that id, or it is another client's.
    """
    look_up = context.in_thread if pool is None else pool.look_up
    return await look_up(context.ledger.get, job_id, owner=client.owner, or_of_feeds=or_of_feeds)


JobId = Annotated[str, Path(alias="id", max_length=64, description="The nowcast's opaque id.")]


async def _own_job(job_id: JobId, context: ContextDep, client: ClientDep) -> Job:
    return await own_job(context, client, job_id)


async def _readable_job(job_id: JobId, context: ContextDep, client: ClientDep) -> Job:
    return await own_job(context, client, job_id, or_of_feeds=True)


async def _pictured_job(job_id: JobId, context: ContextDep, client: ClientDep) -> Job:
    return await own_job(context, client, job_id, context.pictures, or_of_feeds=True)


async def _point_job(job_id: JobId, context: ContextDep, client: ClientDep) -> Job:
    return await own_job(context, client, job_id, context.points, or_of_feeds=True)


OwnJobDep = Annotated[Job, Depends(_own_job)]
"""The job of the path's `id`; `unknown-job` where it is another client's, as where there is none."""
ReadableJobDep = Annotated[Job, Depends(_readable_job)]
"""The same, or one of a feed."""
PicturedJobDep = Annotated[Job, Depends(_pictured_job)]
"""The same, for a picture, an animation or a file: a crowd of these leaves the event loop to others."""
PointJobDep = Annotated[Job, Depends(_point_job)]
"""The same, for a point."""
