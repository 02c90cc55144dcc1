"""Health routes for monitoring."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel

from service.api.access.scopes import PUBLIC
from service.api.context import ContextDep
from service.api.health.checks import Readiness, readiness

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
    summary="Can the service serve?",
    responses={503: {"model": Readiness, "description": "A component is bad; the body names it"}},
)
def readyz(response: Response, context: ContextDep) -> Readiness:
    """Check the ledger, the store, the broker, the workers and the default model; return the state of each."""
    response.headers["Cache-Control"] = "no-store"
    result = readiness(context)
    if not result.ready:
        response.status_code = 503
    return result
