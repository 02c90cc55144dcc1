"""What is checked before the body of an upload is read: room on the disk, and limits (`service.jobs.admission`)."""

from __future__ import annotations

import errno
import shutil
import tempfile
from pathlib import Path

from fastapi import Request

from service.api.access.client import Client
from service.api.context import GatewayContext
from service.api.request_body import drain
from service.jobs.admission import LimitExceeded


async def check_admission(request: Request, context: GatewayContext, client: Client, *, repeated: bool) -> None:
    """Refuse an upload that would be refused after its body was read.

    `repeated`: the request has an Idempotency-Key, and may be one that was accepted before; only the disk is checked.

    Raises
    ------
    LimitExceeded
        A limit is reached.
    OSError
        The disk has no room for another nowcast (ENOSPC).
    """
    length = request.headers.get("content-length", "")
    try:
        await context.in_thread(_check, context, client, int(length) if length.isdigit() else 0, repeated)
    except (LimitExceeded, OSError):
        await drain(request)
        raise


def _check(context: GatewayContext, client: Client, content_length: int, repeated: bool) -> None:
    needed = context.settings.room_mb * 1_000_000
    for folder in filter(None, (context.store.folder, Path(tempfile.gettempdir()))):
        if shutil.disk_usage(folder).free < needed:
            raise OSError(errno.ENOSPC, "too little space is left for another nowcast")
    if not repeated:
        context.admission.check(client.id, client.quota, content_length)
