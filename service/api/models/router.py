"""Routes of models."""

from __future__ import annotations

from fastapi import APIRouter

from model.core.catalog import AUTO
from service.api.access.client import NamedClientDep
from service.api.access.scopes import requires
from service.api.context import ContextDep
from service.api.models.champion import champion_now, promotion, rolled_back
from service.api.models.champion_types import Champion, ChampionChange, Promotion, PromotionRequest, RollbackRequest
from service.api.models.listing import find_models, list_models
from service.api.models.types import Model, ModelList, ModelVersions
from service.api.problems import documented_problems
from service.jobs.api_keys import Scope

router = APIRouter(prefix="/v1/models", tags=["models"], dependencies=[requires(Scope.READ)])
operator_router = APIRouter(prefix="/v1", tags=["operator"], dependencies=[requires(Scope.ADMIN)])


@router.get("", operation_id="listModels", summary="List the models", responses=documented_problems())
def models(context: ContextDep) -> ModelList:
    """List every version of every model, with its scores."""
    return ModelList(models=list_models(context), note=context.catalog.resolve(AUTO).note)


@router.get("/{name}", operation_id="getModel", summary="One model", responses=documented_problems("no-such-model"))
def versions(name: str, context: ContextDep) -> ModelVersions:
    """List every version of a model, newest first."""
    return ModelVersions(name=name, versions=find_models(context, name))


@router.get(
    "/{name}/versions/{version}",
    operation_id="getModelVersion",
    summary="One version of a model",
    responses=documented_problems("no-such-model"),
)
def version(name: str, version: str, context: ContextDep) -> Model:
    """Return what the model needs, how far ahead it forecasts, and its scores."""
    return find_models(context, name, version)[0]


@operator_router.get("/champion", operation_id="getChampion", summary="The champion", responses=documented_problems())
def champion(context: ContextDep) -> Champion:
    """Return the champion, the aliases, what a rollback returns to, and who changed the champion, when and why."""
    return champion_now(context)


@operator_router.post(
    "/models/{name}/promote",
    operation_id="promoteModel",
    summary="Promote a model",
    responses=documented_problems(
        *("no-such-model", "no-such-feed", "not-promoted", "open-service", "invalid-parameter", "bad-input", "busy")
    ),
)
async def promote(name: str, body: PromotionRequest, context: ContextDep, client: NamedClientDep) -> Promotion:
    """Make a version the champion, which `auto` runs, where the gates of its live skill as a challenger let it pass.

    A worker loads it first. With `dry_run` nothing is changed, and `refusal` tells what would refuse it.
    """
    return await promotion(context, client, name, body)


@operator_router.post(
    "/models/{name}/rollback",
    operation_id="rollBackModel",
    summary="Roll the champion back",
    responses=documented_problems("not-promoted", "open-service", "bad-input"),
)
async def roll_back(
    name: str, context: ContextDep, client: NamedClientDep, body: RollbackRequest | None = None
) -> ChampionChange:
    """Return to the champion before the last promotion, where the model is the champion; `champion` stands for any."""
    return await rolled_back(context, client, name, body or RollbackRequest.model_validate({}))
