"""The status of a nowcast as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from typing import Final

import anyio
from fastapi.responses import Response, StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Receive, Scope, Send

from service.api.context import GatewayContext
from service.api.nowcasts.responses import current_status
from service.jobs.job import Job, JobStatus, JobVersion, UnknownJob

MEDIA_TYPE: Final = "text/event-stream"
HEARTBEAT_SECONDS: Final = 15.0
"""A comment is sent after this time without an event, so that proxies keep the connection."""

SHORTEST_INTERVAL_SECONDS: Final = 0.2
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx must not buffer events

log = logging.getLogger(__name__)


class EventStream(StreamingResponse):
    """One stream, which counts as open until it ends."""

    def __init__(self, context: GatewayContext, sender: str, job: Job, last_event_id: str | None) -> None:
        super().__init__(_events(context, job, last_event_id), media_type=MEDIA_TYPE, headers=HEADERS)
        self._streams = context.event_streams
        self._sender = sender

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events; raises TooManyStreams before the first one where no further stream may be open."""
        with self._streams.open(self._sender):
            await super().__call__(scope, receive, send)


def event_response(context: GatewayContext, sender: str, job: Job, last_event_id: str | None) -> Response:
    """Return the events of a job from now on, or 204 where the client has the last one: it need not come again.

    `sender`: whose streams are counted together (`service.api.access.client.sender_of`).
    """
    if job.status.finished and last_event_id == _event_id(job):
        return Response(status_code=204, headers={"Cache-Control": "no-store"})
    return EventStream(context, sender, job, last_event_id)


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
