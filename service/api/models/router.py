"""Routes of models."""

from __future__ import annotations

from fastapi import APIRouter

from model.core.catalog import AUTO
from service.api.access.scopes import requires
from service.api.context import ContextDep
from service.api.models.listing import find_models, list_models
from service.api.models.types import Model, ModelList, ModelVersions
from service.api.problems import documented_problems
from service.jobs.api_keys import Scope

router = APIRouter(prefix="/v1/models", tags=["models"], dependencies=[requires(Scope.READ)])


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
