"""The models that can run here, as clients see them."""

from __future__ import annotations

from model.core.catalog import AUTO
from model.core.errors import InputError
from service.api.context import GatewayContext
from service.api.errors import NoSuchModel
from service.api.models.types import Model, model_of


def list_models(context: GatewayContext) -> list[Model]:
    """Return every version of every model, baselines first, the versions of a model newest first."""
    catalog = context.catalog
    default = catalog.find(AUTO)
    return [model_of(info, default, catalog.aliases_of(info)) for info in catalog.models()]


def find_models(context: GatewayContext, name: str, version: str | None = None) -> list[Model]:
    """Return the versions of a model, newest first, or only the given one.

    Raises
    ------
    NoSuchModel
        There is no such model, or no such version of it.
    """
    found = [item for item in list_models(context) if item.name == name and version in (None, item.version)]
    if not found:
        reference = name if version is None else f"{name}@{version}"
        raise NoSuchModel(f"no model {reference!r}", where="path", hint="/v1/models lists what can run here")
    return found


def lead_of_scores(context: GatewayContext, reference: str | None) -> float | None:
    """Return the longest lead time (minutes) that the scores of a version cover; None: none, or it is not installed."""
    try:
        return None if reference is None else context.catalog.find(reference).scored_lead_minutes
    except InputError:
        return None
