"""Readiness: whether a nowcast could be made now, and what is missing."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import anyio.to_thread
from fastapi import Response
from pydantic import BaseModel, Field
from sqlalchemy import make_url

from model.core.catalog import AUTO, Catalog
from model.core.model_info import EXTRAPOLATION
from service.api.outages import outage_of
from service.jobs.heartbeat import live_beats, live_workers
from service.jobs.ledger import Ledger
from service.jobs.queue import check_broker
from service.settings import Settings
from service.store import ObjectStore

CACHE_SECONDS: Final = 1.0
"""Requests within this time share one check, so that no number of them loads the service."""


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


class ReadinessProbe:
    """The checks of one gateway. For one event loop."""

    def __init__(self, settings: Settings, ledger: Ledger, store: ObjectStore, catalog: Catalog) -> None:
        self._settings = settings
        self._ledger = ledger
        self._store = store
        self._catalog = catalog
        self._check: asyncio.Task[Readiness] | None = None
        self._checked = 0.0

    async def current(self) -> Readiness:
        """Return the state of every component, as of at most CACHE_SECONDS ago."""
        fresh = self._check is not None and (not self._check.done() or time.monotonic() - self._checked < CACHE_SECONDS)
        if self._check is None or not fresh:
            self._check = asyncio.create_task(self._check_all())
        return await asyncio.shield(self._check)

    async def _check_all(self) -> Readiness:
        result = await anyio.to_thread.run_sync(self._components)
        self._checked = time.monotonic()
        return result

    def _components(self) -> Readiness:
        """Check every component. Blocks."""
        checks: dict[str, Callable[[], str | None]] = {
            "ledger": self._check_ledger,
            "store": self._check_store,
            "temporary-files": self._check_temporary_files,
            "broker": self._check_broker,
            "schedule": self._check_schedule,
            "workers": self._check_workers,
            "model": self._check_model,
        }
        parts = [_component(name, check) for name, check in checks.items()]
        return Readiness(ready=all(part.state == "ok" for part in parts), parts=parts)

    def _check_ledger(self) -> None:
        self._ledger.check()
        url = make_url(self._settings.database)
        if url.get_backend_name() == "sqlite" and url.database:
            self._check_room(Path(url.database).parent)

    def _check_store(self) -> None:
        self._store.check()
        if self._store.folder is not None:
            self._check_room(self._store.folder)

    def _check_temporary_files(self) -> None:
        with tempfile.TemporaryFile() as file:
            file.write(b"ok")
        self._check_room(Path(tempfile.gettempdir()))

    def _check_room(self, folder: Path) -> None:
        free_mb, needed_mb = shutil.disk_usage(folder).free // 1_000_000, self._settings.room_mb
        if free_mb < needed_mb:
            raise NotReady(f"{free_mb} MB are free, {needed_mb} MB are needed")

    def _check_broker(self) -> None:
        check_broker(self._settings)

    def _check_schedule(self) -> None:
        if not live_beats(self._settings):
            raise NotReady("no beat is alive: lost jobs are not queued again, feeds are not scanned")

    def _check_workers(self) -> str:
        # A worker sends heartbeats once a model is loaded and warm.
        alive = len(live_workers(self._settings))
        if not alive:
            raise NotReady("no worker with a loaded model is alive")
        return f"{alive} alive"

    def _check_model(self) -> str:
        models, note = self._catalog.resolve(AUTO)
        if models[0] is EXTRAPOLATION:
            raise NotReady(note)
        return f"{models[0].reference}; {note}" if note else models[0].reference


def describe_readiness(response: Response, *, ready: bool) -> None:
    """Set what a response about readiness has beside its body: 503 where something is not ready; nobody stores it."""
    response.headers["Cache-Control"] = "no-store"
    if not ready:
        response.status_code = 503


def _component(name: str, check: Callable[[], str | None]) -> ComponentState:
    try:
        return ComponentState(name=name, state="ok", detail=check() or "")
    except NotReady as error:
        return ComponentState(name=name, state="bad", detail=str(error))
    except Exception as error:
        # Error texts of drivers may name hosts, users and folders: clients see the kind of failure only.
        outage = outage_of(error)
        return ComponentState(name=name, state="bad", detail=outage.what if outage else type(error).__name__)
