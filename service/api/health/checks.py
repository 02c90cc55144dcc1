"""Whether the parts that a nowcast needs are there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Literal

from pydantic import BaseModel, Field

from model.core.catalog import AUTO, EXTRAPOLATION
from service.api.context import Context
from service.jobs.heartbeat import live_workers


class Part(BaseModel):
    """One part that a nowcast needs."""

    name: str = Field(examples=["broker"])
    state: Literal["ok", "bad"]
    detail: str = Field("", examples=["1 worker"])


class Readiness(BaseModel):
    """`ready` where every part is ok."""

    ready: bool
    parts: list[Part]


class NotReady(Exception):
    """A part answers, but not as it should."""


_one_at_a_time: Final = threading.Lock()


def readiness(context: Context) -> Readiness:
    """Try every part. Blocks."""
    checks: dict[str, Callable[[Context], str]] = {
        "ledger": _ledger,
        "store": _store,
        "broker": _broker,
        "workers": _workers,
        "model": _model,
    }
    with _one_at_a_time:
        parts = [_tried(name, check, context) for name, check in checks.items()]
    return Readiness(ready=all(part.state == "ok" for part in parts), parts=parts)


def _tried(name: str, check: Callable[[Context], str], context: Context) -> Part:
    try:
        return Part(name=name, state="ok", detail=check(context))
    except NotReady as error:
        return Part(name=name, state="bad", detail=str(error))
    except Exception as error:
        # The words of drivers may name hosts, users and folders: only the kind of failure leaves the house.
        return Part(name=name, state="bad", detail=type(error).__name__)


def _ledger(context: Context) -> str:
    context.ledger.check()
    return ""


def _store(context: Context) -> str:
    context.store.check()
    return ""


def _broker(context: Context) -> str:
    live_workers(context.settings)
    return ""


def _workers(context: Context) -> str:
    alive = len(live_workers(context.settings))
    if not alive:
        raise NotReady("no worker is alive")
    return f"{alive} alive"


def _model(context: Context) -> str:
    models, note = context.catalog.resolve(AUTO)
    if models[0] is EXTRAPOLATION:
        raise NotReady(note)
    return f"{models[0].reference}; {note}" if note else models[0].reference
