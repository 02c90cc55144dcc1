"""Routes of the Open Inference Protocol (KServe v2): health and models. Nowcasts are requested at /v1/nowcasts."""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import Final

from fastapi import APIRouter, Response

from service.api.access.scopes import PUBLIC, requires
from service.api.context import ContextDep, GatewayContext
from service.api.health.checks import describe_readiness
from service.api.inference.types import (
    InferenceProblem,
    Live,
    ModelMetadata,
    ModelReady,
    Ready,
    ServerMetadata,
    model_metadata,
)
from service.api.models.listing import find_models
from service.api.problems import documented_problems
from service.api.standard_problems import StandardRoute
from service.jobs.api_keys import Scope
from service.problem_details import ProblemDetails


class InferenceRoute(StandardRoute):
    """A route of the Open Inference Protocol."""

    @staticmethod
    def standard_problem(code: str, problem: ProblemDetails) -> ProblemDetails:
        """Return the problem with the protocol's `error`."""
        return InferenceProblem(error=problem.detail, **problem.model_dump())


NO_SUCH_MODEL: Final = documented_problems("no-such-model", standard=InferenceRoute.standard_problem)
router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"], route_class=InferenceRoute)


@router.get("", dependencies=[PUBLIC], operation_id="getServerMetadata", summary="The server")
async def server() -> ServerMetadata:
    """Return name and version of the server, and the extensions of the protocol that it has: none."""
    return ServerMetadata(name="echocast", version=version_of("echocast"))


@router.get("/health/live", dependencies=[PUBLIC], operation_id="getServerLive", summary="Is the process up?")
async def live() -> Live:
    """Respond with 200 as long as the gateway runs."""
    return Live()


@router.get(
    "/health/ready",
    operation_id="getServerReady",
    dependencies=[PUBLIC],
    summary="Can the service serve?",
    responses={503: {"model": Ready, "description": "It cannot; /readyz says why"}},
)
async def ready(response: Response, context: ContextDep) -> Ready:
    """Tell whether a nowcast could be made now, as `GET /readyz` does."""
    result = Ready(ready=(await context.readiness.current()).ready)
    describe_readiness(response, ready=result.ready)
    return result


@router.get(
    "/models/{name}",
    operation_id="getModelMetadata",
    dependencies=[requires(Scope.READ)],
    summary="A model",
    responses=NO_SUCH_MODEL,
)
def model(name: str, context: ContextDep) -> ModelMetadata:
    """Return the versions of a model, newest first, and the tensors of the newest."""
    return model_metadata(find_models(context, name))


@router.get(
    "/models/{name}/versions/{version}",
    operation_id="getModelVersionMetadata",
    dependencies=[requires(Scope.READ)],
    summary="A version of a model",
    responses=NO_SUCH_MODEL,
)
def model_version(name: str, version: str, context: ContextDep) -> ModelMetadata:
    """Return the tensors of a version of a model."""
    return model_metadata(find_models(context, name, version))


@router.get(
    "/models/{name}/ready",
    operation_id="getModelReady",
    dependencies=[requires(Scope.READ)],
    summary="Can a model run now?",
    responses={
        503: {"model": ModelReady, "description": "It cannot; /readyz says why"},
        **NO_SUCH_MODEL,
    },
)
async def model_ready(name: str, response: Response, context: ContextDep) -> ModelReady:
    """Tell whether the newest version of a model could make a nowcast now."""
    return await _model_ready(name, None, response, context)


@router.get(
    "/models/{name}/versions/{version}/ready",
    operation_id="getModelVersionReady",
    dependencies=[requires(Scope.READ)],
    summary="Can a version of a model run now?",
    responses={
        503: {"model": ModelReady, "description": "It cannot; /readyz says why"},
        **NO_SUCH_MODEL,
    },
)
async def model_version_ready(name: str, version: str, response: Response, context: ContextDep) -> ModelReady:
    """Tell whether a version of a model could make a nowcast now."""
    return await _model_ready(name, version, response, context)


async def _model_ready(name: str, version: str | None, response: Response, context: GatewayContext) -> ModelReady:
    found = (await context.in_thread(find_models, context, name, version))[0]
    # The component `model` is the default one, which need not be this one.
    readiness = await context.readiness.current()
    parts = [part.state == "ok" for part in readiness.parts if part.name != "model"]
    result = ModelReady(name=name, ready=found.data == "rain" and all(parts))
    describe_readiness(response, ready=result.ready)
    return result
