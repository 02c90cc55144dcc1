"""A gateway that an operator looks after: with keys, a feed and packages; its worker is that of the running `stack`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np

from service.api.access.authentication import OPEN_SECONDS
from service.api.app import create_app
from service.api.context import GatewayContext
from service.feeds.arrivals import DecodedFrame
from service.feeds.skill.counts import columns, pack, part
from service.feeds.skill.tables import FrameScore
from service.feeds.tables import ArrivedFile, FileState
from service.jobs.api_keys import ApiKeys, Scope
from service.jobs.database import writing
from service.jobs.job import Job, Problem
from service.settings import Settings
from tests.packages import SHIPPED_REFERENCE
from tests.service.api.conftest import served

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
FEED = '[[feed]]\nname = "north"\nfolder = "/radar/north"\nclock = "frames"\n'
EXTRAPOLATION = "extrapolation@1"


@dataclass
class Operated:
    """The gateway, a client of it, the secrets of an operator and of a reader, and the folder of packages."""

    client: httpx.Client
    context: GatewayContext
    admin: str
    reader: str
    packages: Path

    @property
    def url(self) -> str:
        return str(self.client.base_url).rstrip("/")

    def ask(self, method, path, body=None, who=None):
        headers = {"Authorization": f"Bearer {who or self.admin}"}
        response = self.client.request(method, path, json=body, headers=headers)
        return response.status_code, response.json()

    def arrive(self, minutes, content="a", coverage=1.0):
        """Record that the frame of so many minutes after noon has arrived; return it."""
        made = DecodedFrame(
            valid_time=(valid_time := NOON + timedelta(minutes=minutes)),
            key="k",
            digest=content,
            grid="g",
            pixels=4,
            size=1,
            coverage=coverage,
        )
        ledger = self.context.feed_ledger
        ledger.record_frames("north", ArrivedFile(name=f"{minutes}.h5", size=1, modified_ns=1), [made])
        return ledger.frames("north", since=valid_time)[-1]

    def refuse(self, name, reason, state=FileState.UNREADABLE):
        """Record that a file of the feed could not be used."""
        file = ArrivedFile(name=name, size=1, modified_ns=1)
        self.context.feed_ledger.record_outcome("north", file, state, reason)

    def run(self, minutes, problem: Problem | None = None):
        """Record a run from the frame of so many minutes after noon: published, or failed; return its job."""
        ledger = self.context.ledger
        job = Job(kind="feed", model="auto", steps=4, inputs=[], feed="north")
        assert self.context.feed_ledger.submit(job, self.arrive(minutes), model="auto")
        claimed = ledger.claim(job.id, 60)
        ledger.record_model(claimed, model_used=SHIPPED_REFERENCE, note="")
        if problem is not None:
            ledger.fail(claimed, problem)
        else:
            ledger.succeed(claimed, result_key="none", input_key="none")
            self.context.feed_ledger.record_published(job.id)
        return job

    def score(self, model, hits):
        """Record four hours of scores of a model, with so many hits of 100 events, and 20 false alarms."""
        with writing(self.context.ledger.engine) as session:
            session.add_all(_of_frame(number, model, hits) for number in range(48))


def _of_frame(number, model, hits):
    counts = np.zeros((1, columns(1)))
    part(counts, "cases", 1)[...] = 1
    part(counts, "pixels", 1)[...] = 1000
    part(counts, "contingency", 1)[:, 0] = (hits, 100 - hits, 20)
    return FrameScore(
        feed="north",
        valid_time=NOON + timedelta(minutes=5 * number),
        model=model,
        thresholds_mm_h=[2.0],
        lead_minutes=[30.0],
        served_minutes=[26.0],
        counts=pack(counts),
    )


@contextmanager
def operated_service(stack, folder) -> Iterator[Operated]:
    """Serve it; the broker and the folder of packages are those of `stack`."""
    packages = stack.data_dir / "packages"
    settings = Settings(
        data_dir=folder, broker_url=f"redis+socket://{stack.data_dir / 'redis' / 'redis.sock'}", packages=packages
    )
    settings.feeds_path.write_text(FEED)
    app = create_app(settings)
    context = app.state.context
    keys = ApiKeys(context.ledger.engine)
    _, admin = keys.create("ops", [Scope.ADMIN])
    _, reader = keys.create("town", [Scope.READ])
    context.feed_ledger.register("north", "/radar/north")
    time.sleep(OPEN_SECONDS)
    with served(app) as client:
        yield Operated(client=client, context=context, admin=admin, reader=reader, packages=packages)
