"""A worker whose ledger stops answering in the middle of a nowcast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from model.runtime.predictor import BasePredictor
from model.runtime.request import ForecastEvent, ForecastRequest
from service.jobs import database
from service.jobs.job import JobStatus
from service.jobs.ledger import Ledger
from service.settings import Settings
from tests.postgres import postgres_server
from workers.batch import run
from workers.context import open_context


def test_a_postgresql_that_does_not_answer_holds_no_worker_and_the_nowcast_is_made_later(
    tmp_path: Path, lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in {"CONNECT_SECONDS": 2, "MARGIN_SECONDS": 1.0}.items():
        monkeypatch.setattr(database, name, seconds)
    monkeypatch.setattr("workers.context.Ledger", partial(Ledger, patience_seconds=0.5))
    forecast = BasePredictor.forecast
    with postgres_server() as server, ExitStack() as stack:
        context = open_context(
            Settings(data_dir=tmp_path / "data", broker_url=None, database_url=server.url, lease_seconds=1.0)
        )
        frames = lab.write_frames(tmp_path / "frames.npz", count=3)
        job = lab.upload(context.ledger, context.store, frames, steps=6)

        def freezing(predictor: BasePredictor, requests: list[ForecastRequest]) -> Iterator[ForecastEvent]:
            for count, event in enumerate(forecast(predictor, requests)):
                if count == 3:
                    stack.enter_context(server.frozen())
                yield event

        with monkeypatch.context() as patch:
            patch.setattr(BasePredictor, "forecast", freezing)
            with pytest.raises(OperationalError):
                run(job.id, context)
        stack.close()
        assert context.ledger.get(job.id).status is JobStatus.RUNNING
        lab.wait_until(context.ledger.lost, "the lease to expire")
        run(job.id, context)
        done = context.ledger.get(job.id)
        assert (done.status, done.attempt) == (JobStatus.SUCCESSFUL, 2)
        context.ledger.close()
