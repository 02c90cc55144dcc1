"""A real worker: a file that takes too much fails its job alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from service.embedded import Supervisor
from service.jobs.job import JobStatus
from service.settings import Settings
from workers.app import worker_app
from workers.context import open_context


def test_jobs_go_on_after_one_that_takes_too_much(supervisor: Supervisor, lab, tmp_path: Path) -> None:
    limits = {"broker_url": None, "read_memory_mb": 64}
    hungry = Supervisor(supervisor.settings.model_copy(update=limits))
    context = open_context(hungry.settings)
    large = tmp_path / "large.npz"
    times = np.array(["2026-06-01T12:00"], "datetime64[s]")
    np.savez_compressed(large, rain_rate=np.zeros((1, 6000, 6000), np.float32), times=times)
    good = lab.write_frames(tmp_path / "good.npz", count=3)
    jobs = [lab.upload(context.ledger, context.store, path) for path in (good, large, good)]
    hungry.start()
    hungry.start_workers()
    try:
        ended = [lab.wait_finished(context.ledger, job) for job in jobs]
    finally:
        hungry.stop()
        context.ledger.close()
    assert [job.status for job in ended] == [JobStatus.SUCCESSFUL, JobStatus.FAILED, JobStatus.SUCCESSFUL]
    assert [job.attempt for job in ended] == [1, 1, 1]
    problem = ended[1].problem
    assert problem is not None
    assert problem["code"] == "too-large"
    assert "memory" in problem["what"]


@pytest.mark.parametrize(("megabytes", "kilobytes"), [(8192, 8_388_608), (0, None)])
def test_the_pool_gets_the_limit_of_a_process(settings: Settings, megabytes: int, kilobytes: int | None) -> None:
    app = worker_app(settings.model_copy(update={"broker_url": "redis://x", "worker_max_memory_mb": megabytes}))
    assert app.conf.worker_max_memory_per_child == kilobytes
