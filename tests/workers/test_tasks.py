"""Tasks of the schedule."""

from __future__ import annotations

from dataclasses import replace

import pytest

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
