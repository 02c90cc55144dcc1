"""Health routes for monitoring."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel

from service.api.access.scopes import PUBLIC
from service.api.context import ContextDep
from service.api.health.checks import Readiness, describe_readiness

router = APIRouter(tags=["health"], dependencies=[PUBLIC])


class Liveness(BaseModel):
    """The process is up."""

    status: str = "ok"


@router.get("/healthz", operation_id="healthz", summary="Is the process up?")
async def healthz() -> Liveness:
    """Respond with 200 as long as the gateway runs; nothing else is checked."""
    return Liveness()


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Could a nowcast be made now?",
    responses={503: {"model": Readiness, "description": "A component is bad; the body names it"}},
)
async def readyz(response: Response, context: ContextDep) -> Readiness:
    """Return the state of all that a nowcast needs, as of at most 1 s ago.

    These are: a ledger that can be written, a store and a folder of temporary files with room, a broker, a schedule and
    a worker that are alive (a worker is once a model is loaded), and the default model.
    """
    result = await context.readiness.current()
    describe_readiness(response, ready=result.ready)
    return result
