"""Routes for those who watch over the service."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel

from service.api.context import InContext
from service.api.health.checks import Readiness, readiness

router = APIRouter(tags=["health"])


class Alive(BaseModel):
    status: str = "ok"


@router.get("/healthz", operation_id="healthz", summary="Is the process up?")
async def healthz() -> Alive:
    """200 as long as the gateway runs; it looks at nothing else."""
    return Alive()


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Can it really serve?",
    responses={503: {"model": Readiness, "description": "A part is bad; the body names it"}},
)
def readyz(response: Response, context: InContext) -> Readiness:
    """Tries the ledger, the store, the broker, a live worker and the default model, and names each state."""
    response.headers["Cache-Control"] = "no-store"
    answer = readiness(context)
    if not answer.ready:
        response.status_code = 503
    return answer
