"""Readiness checks of the components that a nowcast needs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Literal

from pydantic import BaseModel, Field

from model.core.catalog import AUTO
from model.core.model_info import EXTRAPOLATION
from service.api.context import GatewayContext
from service.jobs.heartbeat import live_workers


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
    checks: dict[str, Callable[[GatewayContext], str]] = {
        "ledger": _ledger,
        "store": _store,
        "broker": _broker,
        "workers": _workers,
        "model": _model,
    }
    with _one_at_a_time:
        parts = [_check(name, check, context) for name, check in checks.items()]
    return Readiness(ready=all(part.state == "ok" for part in parts), parts=parts)


def _check(name: str, check: Callable[[GatewayContext], str], context: GatewayContext) -> ComponentState:
    try:
        return ComponentState(name=name, state="ok", detail=check(context))
    except NotReady as error:
        return ComponentState(name=name, state="bad", detail=str(error))
    except Exception as error:
        # Error texts of drivers may name hosts, users and folders: clients see the kind of failure only.
        return ComponentState(name=name, state="bad", detail=type(error).__name__)


def _ledger(context: GatewayContext) -> str:
    context.ledger.check()
    return ""


def _store(context: GatewayContext) -> str:
    context.store.check()
    return ""


def _broker(context: GatewayContext) -> str:
    live_workers(context.settings)
    return ""


def _workers(context: GatewayContext) -> str:
    alive = len(live_workers(context.settings))
    if not alive:
        raise NotReady("no worker is alive")
    return f"{alive} alive"


def _model(context: GatewayContext) -> str:
    models, note = context.catalog.resolve(AUTO)
    if models[0] is EXTRAPOLATION:
        raise NotReady(note)
    return f"{models[0].reference}; {note}" if note else models[0].reference
