"""The route that Prometheus scrapes."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Final

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import APIRouter, Request, Response

from service.api.access.scopes import requires
from service.api.context import ContextDep
from service.api.metrics.collector import StateMetrics
from service.jobs.api_keys import Scope
from service.metrics.disks import DiskMetrics
from service.metrics.exposition import exposition

router = APIRouter(tags=["health"])

_one_at_a_time: Final = CapacityLimiter(1)


@router.get(
    "/metrics",
    operation_id="metrics",
    dependencies=[requires(Scope.READ)],
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"description": "Text format of Prometheus, or OpenMetrics", "content": {"text/plain": {}}}},
)
async def metrics(request: Request, context: ContextDep) -> Response:
    """Return the metrics of every process on this machine that shares the gateway's start, and the state of the queue.

    They name models, feeds' and uploads' numbers, problems, disks and memory; no client, job, file or address.
    """
    folders = {"data": context.settings.data_dir, "temporary": Path(tempfile.gettempdir())}
    if context.store.folder is not None:
        folders["store"] = context.store.folder
    collectors = (StateMetrics(context.settings, context.ledger, context.feeds), DiskMetrics(folders))
    scrape = partial(exposition, request.headers.get("accept", ""), *collectors)
    body, media_type = await anyio.to_thread.run_sync(scrape, limiter=_one_at_a_time)
    return Response(body, headers={"Content-Type": media_type, "Cache-Control": "no-store"})
