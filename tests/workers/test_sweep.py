"""What killed processes left in the store is deleted, and nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from redis.exceptions import RedisError

from service.embedded import Supervisor
from service.feeds.pushed import pushed_key
from service.feeds.tables import ArrivedFile
from service.jobs.job import Job, JobInput, new_job_id
from service.jobs.queue import check_broker
from service.store import input_key, job_prefix, result_key, upload_key
from workers import reconcile
from workers.context import WorkerContext, open_context
from workers.sweep import sweep

HOUR, WEEK, YEAR = timedelta(hours=1), timedelta(weeks=1), timedelta(days=365)


def put(context: WorkerContext, key: str, age: timedelta) -> None:
    """Store an object that was written so long ago."""
    assert context.store.folder is not None
    path = context.store.folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    then = time.time() - age.total_seconds()
    os.utime(path, (then, then))


def stored(context: WorkerContext) -> set[str]:
    assert context.store.folder is not None
    return {str(path.relative_to(context.store.folder)) for path in context.store.folder.rglob("*") if path.is_file()}


def accepted(context: WorkerContext) -> str:
    return context.ledger.create(Job(model="auto", steps=1, inputs=[JobInput(name="a", key="k", size=1)])).id


def successful(context: WorkerContext) -> str:
    job = context.ledger.claim(accepted(context), 60)
    assert job is not None
    assert context.ledger.succeed(job, result_key=result_key(job.id), input_key=input_key(job.id))
    return job.id


def swept(context: WorkerContext, needed: dict[str, timedelta], left: dict[str, timedelta]) -> None:
    """Check that of these objects, with their ages, the ones that are needed stay, and those alone."""
    for key, age in (needed | left).items():
        put(context, key, age)
    sweep(context)
    assert stored(context) == needed.keys()


def test_files_that_were_sent_to_a_feed_and_never_recorded_are_deleted(context: WorkerContext) -> None:
    context.feed_ledger.register("north", "push")
    waits, lost = f"{'a' * 32}/f.h5", f"{'b' * 32}/f.h5"
    context.feed_ledger.receive("north", ArrivedFile(name=waits, size=1, modified_ns=1))
    needed = {pushed_key("north", waits): WEEK, pushed_key("north", f"{'c' * 32}/f.h5"): HOUR}
    swept(context, needed, {pushed_key("north", lost): WEEK})


def test_uploads_and_tiles_are_deleted_once_their_job_has_ended_or_was_never_recorded(context: WorkerContext) -> None:
    waits, done, unknown, arrives = accepted(context), successful(context), new_job_id(), new_job_id()
    tile = f"{job_prefix(done)}/tiles/1/0-0.input"
    swept(
        context,
        needed={upload_key(waits, 0): YEAR, upload_key(arrives, 0): HOUR, f"{job_prefix(waits)}/tiles/1/a.input": WEEK},
        left={upload_key(done, 0): WEEK, upload_key(unknown, 0): WEEK, upload_key(unknown, 1): WEEK, tile: WEEK},
    )


def test_results_without_a_job_are_kept_for_the_retention(context: WorkerContext) -> None:
    done, unknown = successful(context), new_job_id()
    swept(
        context,
        needed={result_key(done): YEAR, input_key(done): YEAR, input_key(unknown): WEEK},
        left={result_key(unknown): YEAR, "health/0123": WEEK},
    )


def test_files_that_a_killed_process_was_writing_are_deleted(context: WorkerContext) -> None:
    done = successful(context)
    swept(
        context,
        needed={result_key(done): WEEK, f"{result_key(done)}#2": HOUR},
        left={f"{result_key(done)}#1": WEEK, f"{upload_key(new_job_id(), 0)}#12": WEEK},
    )


@pytest.fixture
def reconciled(supervisor: Supervisor, lab) -> Iterator[WorkerContext]:
    """A context with a Redis behind it, and no worker."""
    context = open_context(supervisor.settings)
    supervisor.start()

    def responds() -> bool:
        try:
            check_broker(context.settings)
        except RedisError:
            return False
        return True

    lab.wait_until(responds, "Redis")
    yield context
    context.ledger.close()


def test_the_reconciler_sweeps_now_and_then(reconciled: WorkerContext) -> None:
    first, second = upload_key(new_job_id(), 0), upload_key(new_job_id(), 0)
    put(reconciled, first, WEEK)
    reconcile.reconcile(reconciled)
    assert stored(reconciled) == set()
    put(reconciled, second, WEEK)
    reconcile.reconcile(reconciled)
    assert stored(reconciled) == {second}
