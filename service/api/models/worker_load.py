"""Whether workers can load a model: the gateway has no runtime, and its folder of packages may be another one."""

from __future__ import annotations

import json
import uuid
from typing import Final

from model.core.model_info import ModelInfo
from model.core.promotion import NotPromoted
from service.api.context import GatewayContext
from service.api.errors import Busy
from service.jobs.queue import async_redis_client

WAIT_SECONDS: Final = 45.0
"""How long a request waits for a worker, which may be amid a nowcast; proxies wait for 75 s (docs/operations.md)."""


async def check_worker_loads(context: GatewayContext, info: ModelInfo) -> None:
    """Have a worker load a model, and warm it up.

    Raises
    ------
    NotPromoted
        It cannot.
    Busy
        No worker was free in time.
    RedisError, OperationalError, NoBroker
        The broker does not respond.
    """
    key = f"echocast:model-load:{uuid.uuid4().hex}"
    await context.in_thread(context.queue.load_model, info.reference, info.digest, key, WAIT_SECONDS)
    async with async_redis_client(context.settings, seconds=WAIT_SECONDS + 5) as client:
        answer = await client.blpop([key], timeout=WAIT_SECONDS)
    if answer is None:
        raise Busy(
            f"no worker has loaded {info.reference} within {WAIT_SECONDS:g} s: none is alive, or all are busy",
            hint="Look at GET /readyz, and try again",
            retry_after=10,
        )
    problem = json.loads(answer[1])
    if problem is not None:
        raise NotPromoted(
            f"not promoted, as a worker cannot load it: {problem['what']}",
            where=info.reference,
            hint=problem["hint"],
        )
