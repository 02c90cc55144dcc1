"""The route to which frames are sent: files are stored, recorded, and read by a worker in its sandbox."""

from __future__ import annotations

from typing import Annotated, Any, Final

import anyio
from fastapi import APIRouter, Header, Request, Response
from starlette.datastructures import UploadFile

from service.api.access.client import ClientDep
from service.api.access.scopes import requires
from service.api.context import ContextDep, GatewayContext
from service.api.errors import NotPushed
from service.api.feeds.answers import file_info, path_of_feed
from service.api.feeds.dependencies import FeedDep
from service.api.feeds.types import ReceivedFiles
from service.api.nowcasts import upload
from service.api.nowcasts.admission import check_admission
from service.api.nowcasts.negotiation import wait_seconds
from service.api.problems import documented_problems
from service.feeds.config import Feed
from service.feeds.pushed import receive_file
from service.feeds.tables import FeedFile, FileState
from service.jobs.api_keys import Scope
from service.status import Link

router = APIRouter()

WAIT_SECONDS: Final = 10.0
"""How long a request waits for the outcome of its files, unless it prefers otherwise."""

POLL_SECONDS: Final = 0.2

FRAMES_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": "Radar files, each with one or more frames, the oldest first.",
                        }
                    },
                }
            }
        },
    }
}


@router.post(
    "/{feed}/frames",
    operation_id="sendFrames",
    dependencies=[requires(Scope.NOWCAST)],
    summary="Send frames",
    response_model=ReceivedFiles,
    openapi_extra=FRAMES_BODY,
    responses={
        200: {"description": "Every file has its outcome"},
        202: {"model": ReceivedFiles, "description": "Stored and recorded; some files still wait to be read"},
        **documented_problems(
            *("no-such-feed", "feed-not-pushed", "too-large", "too-many-files", "not-multipart", "no-files"),
            *("empty-file", "invalid-parameter", "no-space", "busy"),
        ),
    },
)
async def send_frames(
    request: Request,
    response: Response,
    context: ContextDep,
    client: ClientDep,
    feed: FeedDep,
    prefer: Annotated[
        str | None,
        Header(alias="Prefer", description="`wait=N`: respond after N (at most 60) s at the latest; 10 by default."),
    ] = None,
) -> ReceivedFiles:
    """Send frames to a feed that has `push = true`; each new one gets its nowcast.

    The response tells what became of each file. A file that is sent again, under its name, is not read again, and has
    the outcome of before.
    """
    if not feed.push:
        raise NotPushed(
            "the frames of this feed come from elsewhere",
            where="feed",
            hint="The operator sets push = true in its table",
        )
    await check_admission(request, context, client, repeated=True)
    form = await upload.read_form(request, context)
    try:
        upload.check_fields(form, ("files",))
        files = upload.uploaded_files(form)
        names = await context.uploads.run(_receive, context, feed, files)
    finally:
        await form.close()
    wait = wait_seconds(prefer)
    with anyio.move_on_after(WAIT_SECONDS if wait is None else wait):
        while _wait_to_be_read(await context.in_thread(context.feed_ledger.find_files, feed.name, names)):
            await anyio.sleep(POLL_SECONDS)
    found = await context.in_thread(context.feed_ledger.find_files, feed.name, names)
    response.status_code = 202 if _wait_to_be_read(found) else 200
    links = [Link(rel="up", href=path_of_feed(feed.name), type="application/json", title="Feed")]
    return ReceivedFiles(feed=feed.name, files=[file_info(file) for file in found], links=links)


def _receive(context: GatewayContext, feed: Feed, files: list[UploadFile]) -> list[str]:
    """Store and record the files, and have the feed scanned; return their names in the ledger, without repetition."""
    names = [
        receive_file(feed.name, upload.file_name(file), file.file, context.feed_ledger, context.store) for file in files
    ]
    context.queue.scan_feed(feed.name)
    return list(dict.fromkeys(names))


def _wait_to_be_read(files: list[FeedFile]) -> bool:
    return any(file.state is FileState.RECEIVED for file in files)
