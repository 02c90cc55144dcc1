"""Readiness checks of the components that a nowcast needs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Final, Literal

from pydantic import BaseModel, Field

from model.core.catalog import AUTO, Catalog
from model.core.model_info import EXTRAPOLATION
from service.api.context import GatewayContext
from service.jobs.heartbeat import live_workers
from service.settings import Settings


class ComponentState(BaseModel):
    """State of one component that a nowcast needs."""

    name: str = Field(examples=["broker"])
    state: Literal["ok", "bad"]
    detail: str = Field("", examples=["1 worker"])


class Readiness(BaseModel):
    """`ready` where every component is ok."""

    ready: bool
    parts: list[ComponentState]


class NotReady(Exception):
    """A component responds, but is not ready."""


_one_at_a_time: Final = threading.Lock()


def readiness(context: GatewayContext) -> Readiness:
    """Check every component. Blocks."""
    checks: dict[str, Callable[[], str | None]] = {
        "ledger": context.ledger.check,
        "store": context.store.check,
        "broker": partial(_broker, context.settings),
        "workers": partial(_workers, context.settings),
        "model": partial(_model, context.catalog),
    }
    with _one_at_a_time:
        parts = [_check(name, check) for name, check in checks.items()]
    return Readiness(ready=all(part.state == "ok" for part in parts), parts=parts)


def _check(name: str, check: Callable[[], str | None]) -> ComponentState:
    try:
        return ComponentState(name=name, state="ok", detail=check() or "")
    except NotReady as error:
        return ComponentState(name=name, state="bad", detail=str(error))
    except Exception as error:
        # Error texts of drivers may name hosts, users and folders: clients see the kind of failure only.
        return ComponentState(name=name, state="bad", detail=type(error).__name__)


def _broker(settings: Settings) -> None:
    live_workers(settings)


def _workers(settings: Settings) -> str:
    alive = len(live_workers(settings))
    if not alive:
        raise NotReady("no worker is alive")
    return f"{alive} alive"


def _model(catalog: Catalog) -> str:
    models, note = catalog.resolve(AUTO)
    if models[0] is EXTRAPOLATION:
        raise NotReady(note)
    return f"{models[0].reference}; {note}" if note else models[0].reference
