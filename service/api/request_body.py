"""The body of a request that is refused before it is read."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import anyio
from fastapi import Request
from starlette.requests import ClientDisconnect

DRAIN_BYTES: Final = 16_000_000
DRAIN_SECONDS: Final = 2.0
"""How much, and for how long, the gateway reads on after it has refused a body."""


async def drain(request: Request) -> None:
    """Read on for a while: a client that is cut off while it still sends may never see the response.

    A client that waits for `100 Continue` has sent nothing yet, and there is nothing to read.
    """
    if request.headers.get("expect", "").lower() == "100-continue":
        return
    drained = 0
    # RuntimeError: the body was read to its end before.
    with anyio.move_on_after(DRAIN_SECONDS), suppress(RuntimeError, ClientDisconnect):
        async for piece in request.stream():
            drained += len(piece)
            if drained >= DRAIN_BYTES:
                return
