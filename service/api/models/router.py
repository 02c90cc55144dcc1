"""Routes of models."""

from __future__ import annotations

from fastapi import APIRouter

from model.core.catalog import AUTO
from service.api.context import ContextDep, GatewayContext
from service.api.errors import NoSuchModel
from service.api.models.types import Model, ModelList, ModelVersions, model_of
from service.api.problems import documented_problems

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", operation_id="listModels", summary="List the models", responses=documented_problems())
def models(context: ContextDep) -> ModelList:
    """List every version of every model, with its scores."""
    return ModelList(models=_models(context), note=context.catalog.resolve(AUTO).note)


@router.get("/{name}", operation_id="getModel", summary="One model", responses=documented_problems("no-such-model"))
def versions(name: str, context: ContextDep) -> ModelVersions:
    """List every version of a model, newest first."""
    found = [item for item in _models(context) if item.name == name]
    if not found:
        raise _unknown(name)
    return ModelVersions(name=name, versions=found)


@router.get(
    "/{name}/versions/{version}",
    operation_id="getModelVersion",
    summary="One version of a model",
    responses=documented_problems("no-such-model"),
)
def version(name: str, version: str, context: ContextDep) -> Model:
    """Return what the model needs, how far ahead it forecasts, and its scores."""
    for item in _models(context):
        if (item.name, item.version) == (name, version):
            return item
    raise _unknown(f"{name}@{version}")


def _models(context: GatewayContext) -> list[Model]:
    catalog = context.catalog
    default = catalog.find(AUTO)
    return [model_of(info, default, catalog.aliases_of(info)) for info in catalog.models()]


def _unknown(reference: str) -> NoSuchModel:
    return NoSuchModel(f"no model {reference!r}", where="path", hint="/v1/models lists what can run here")
