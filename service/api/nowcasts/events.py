"""The status of a nowcast as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from typing import Final

import anyio
from fastapi.responses import Response
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from sqlalchemy.exc import SQLAlchemyError

from service.api.context import GatewayContext
from service.api.event_streams import HEARTBEAT_SECONDS, EventStream
from service.api.nowcasts.responses import current_status
from service.jobs.job import Job, JobStatus, JobVersion, UnknownJob

SHORTEST_INTERVAL_SECONDS: Final = 0.2

log = logging.getLogger(__name__)


def event_response(context: GatewayContext, sender: str, job: Job, last_event_id: str | None) -> Response:
    """Return the events of a job from now on, or 204 where the client has the last one: it need not come again.

    `sender`: whose streams are counted together (`service.api.access.client.sender_of`).
    """
    if job.status.finished and last_event_id == _event_id(job):
        return Response(status_code=204, headers={"Cache-Control": "no-store"})
    return EventStream(context.event_streams, sender, _events(context, job, last_event_id))


async def _events(context: GatewayContext, job: Job, last_event_id: str | None) -> AsyncGenerator[bytes, None]:
    """Yield the status whenever it changes, until the job ends; of a client that resumes, unless it has that status."""
    sent = last_event_id
    yield b"retry: 2000\n\n"
    with context.jobs.watching(job.id) as watch:
        while True:
            if (event_id := _event_id(job)) != sent:
                sent = event_id
                status = (await current_status(context, job)).model_dump_json(exclude_none=True)
                yield format_sse_event(data_str=status, event="status", id=event_id)
            if job.status.finished:
                return
            await anyio.sleep(SHORTEST_INTERVAL_SECONDS)
            if not await watch.wait(HEARTBEAT_SECONDS):
                sent = None if job.status is JobStatus.ACCEPTED else sent  # its place in the queue may have changed
                yield KEEPALIVE_COMMENT
            try:
                job = await context.in_thread(context.ledger.get, job.id)
            except UnknownJob:
                return
            except SQLAlchemyError as error:  # the poll of the ledger wakes this stream when it is back
                log.warning("events of job %s: the ledger does not respond: %s", job.id, error)


def _event_id(job: Job) -> str:
    return str(JobVersion.of(job))
