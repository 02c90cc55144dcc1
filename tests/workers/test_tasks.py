"""Tasks of the schedule, and of gateways that wait for an answer."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from model.core.errors import DeviceLost
from service.jobs.queue import redis_client
from workers import tasks
from workers.context import WorkerContext
from workers.feeds import scan as scanning


def test_scans_that_queued_up_during_a_long_one_leave_the_worker_to_the_nowcasts(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans: list[WorkerContext] = []
    rarely = replace(context, settings=context.settings.model_copy(update={"feed_scan_seconds": 10_000.0}))
    monkeypatch.setattr(tasks, "_scan_ended", float("-inf"))
    monkeypatch.setattr(scanning, "scan", scans.append)
    monkeypatch.setattr(tasks, "process_context", lambda: rarely)
    for _ in range(5):
        tasks.scan_feeds()
    assert len(scans) == 1
    monkeypatch.setattr(tasks, "_scan_ended", tasks._scan_ended - 10_000)
    tasks.scan_feeds()
    assert len(scans) == 2


@pytest.mark.parametrize("error", [RuntimeError("no such kernel"), MemoryError(), DeviceLost("it is gone")], ids=str)
def test_whatever_stops_a_model_from_loading_is_answered(
    error: Exception, context: WorkerContext, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise error

    stopped: list[bool] = []
    own = replace(context, settings=context.settings.model_copy(update={"broker_url": redis_url}))
    monkeypatch.setattr(own.models, "get", fail)
    monkeypatch.setattr(tasks, "process_context", lambda: own)
    monkeypatch.setattr(tasks, "shut_down", lambda: stopped.append(True))
    info = own.catalog.find("persistence")
    tasks.load_model(info.reference, info.digest, "answer")
    with redis_client(own.settings) as redis:
        assert json.loads(redis.lpop("answer"))["what"] == "the worker failed while it loaded it"
    assert stopped == [True] * isinstance(error, DeviceLost)
