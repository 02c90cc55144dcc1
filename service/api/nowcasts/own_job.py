"""The job that a request names: the client's own."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path

from service.api.access.client import Client, ClientDep
from service.api.context import ContextDep, GatewayContext
from service.jobs.job import Job


async def own_job(context: GatewayContext, client: Client, job_id: str) -> Job:
    """Return a job that the client reaches: its own, or any, of an admin.

    Raises
    ------
    UnknownJob
        There is no job of that id, or it is another client's.
    """
    return await context.in_thread(context.ledger.get, job_id, owner=client.owner)


async def _own_job(
    job_id: Annotated[str, Path(alias="id", max_length=64, description="The nowcast's opaque id.")],
    context: ContextDep,
    client: ClientDep,
) -> Job:
    return await own_job(context, client, job_id)


OwnJobDep = Annotated[Job, Depends(_own_job)]
"""The job of the path's `id`; `unknown-job` where it is another client's, as where there is none."""
