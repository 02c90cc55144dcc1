"""What must hold after a run, whatever failed during it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

from model.core.locks import file_lock
from service.jobs.job import Job, JobStatus
from service.locked_folder import LOCK
from service.store import input_key, result_key
from tests.faults.clients import AGAIN, Crowd, Log, Requested
from tests.faults.stacks import Stack
from tests.patience import wait_until
from tests.workers.conftest import Lab
from workers.sweep import sweep

SOUND: Final = (0, 200, 202, *AGAIN)
OLD: Final = timedelta(days=400)
"""An age at which everything that has no owner is deleted."""


class Ending(NamedTuple):
    """What was wrong, the jobs of the ledger, and how many objects of the store had to be swept."""

    broken: list[str]
    jobs: list[Job]
    swept: int


def ending(stack: Stack, requested: list[Requested], crowd: Crowd, undisturbed: Crowd) -> Ending:
    """Check everything once the last fault is over; stops the service."""
    wait_until(lambda: not stack.context.ledger.count_unfinished(), "all jobs to finish")
    make_old(stack.temporary)
    make_old(stack.settings.data_dir / "store")
    jobs, log = Lab.jobs(stack.context.ledger), crowd.log
    swept = len(_stored(stack) - _expected(jobs))
    stack.restart()
    sweep(stack.context)
    crowd.look_again()
    broken = [
        *(f"undisturbed: {complaint}" for complaint in undisturbed.log.complaints),
        *log.complaints,
        *(f"answered {count} times: {answer}" for answer, count in log.answers.items() if answer[1] not in SOUND),
        *_jobs(jobs, requested, log, undisturbed.log),
        *_results(requested, log, undisturbed.log),
        *(f"{key} is missing in the store" for key in sorted(_expected(jobs) - _stored(stack))),
        *(f"{key} is left in the store" for key in sorted(_stored(stack) - _expected(jobs))),
        *(f"{name} is left in the temporary folder" for name in left_in_temporary_folder(stack)),
    ]
    stack.stop()
    broken += [f"process {pid} is left" for pid in stack.left_processes()]
    return Ending(broken, jobs, swept)


def _jobs(jobs: list[Job], requested: list[Requested], log: Log, undisturbed: Log) -> Iterator[str]:
    accepted = {outcome.job_id for outcome in (*log.outcomes.values(), *undisturbed.outcomes.values())}
    in_ledger = {job.id: job for job in jobs}
    yield from (f"job {job_id} was accepted, and is not in the ledger" for job_id in accepted - in_ledger.keys())
    yield from (f"job {job_id} was made by no client" for job_id in in_ledger.keys() - accepted)
    yield from (f"job {job.id} is {job.status}" for job in jobs if not job.status.finished)
    yield from (f"job {job.id} has what was not committed" for job in jobs if "not committed" in job.note)
    yield from (f"job {job.id} is finished, and leased" for job in jobs if job.lease is not None)
    for nowcast in requested:
        outcome = log.outcomes.get(nowcast.number)
        if outcome is None:
            yield f"nowcast {nowcast.number} has no outcome"
            continue
        job = in_ledger.get(outcome.job_id)
        expected = ("failed", "worker-lost") if nowcast.poison else ("successful", "")
        if (outcome.status, outcome.code) != expected:
            yield f"nowcast {nowcast.number} is {outcome}"
        if job is not None and job.status != outcome.status:
            yield f"nowcast {nowcast.number} is {outcome.status} for its client, and {job.status} in the ledger"


def _results(requested: list[Requested], log: Log, undisturbed: Log) -> Iterator[str]:
    for nowcast in requested:
        if nowcast.number in log.outcomes and not nowcast.poison:
            digest, other = log.outcomes[nowcast.number].digest, undisturbed.outcomes[nowcast.number].digest
            if digest != other:
                yield f"nowcast {nowcast.number} has other values than undisturbed"


def _expected(jobs: list[Job]) -> set[str]:
    """Return the keys of what the store holds of jobs that have ended."""
    successful = [job.id for job in jobs if job.status is JobStatus.SUCCESSFUL]
    return {key(job_id) for job_id in successful for key in (input_key, result_key)}


def _stored(stack: Stack) -> set[str]:
    """Return the keys of all files of the store, half-written ones too."""
    folder = stack.context.store.folder
    assert folder is not None
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def left_in_temporary_folder(stack: Stack) -> list[str]:
    """Return what lies in the temporary folder and belongs to no process that runs."""
    found = []
    for path in stack.temporary.iterdir():
        with suppress(TimeoutError, FileNotFoundError):
            lock = path / LOCK
            if lock.is_file():
                with file_lock(lock, wait=False):
                    found.append(path.name)
            else:
                found.append(path.name)
    return sorted(found)


def make_old(folder: Path) -> None:
    """Make all files below a folder older, so that what deletes leftovers finds them."""
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            time = path.lstat().st_mtime - OLD.total_seconds()
            os.utime(path, (time, time), follow_symlinks=False)
