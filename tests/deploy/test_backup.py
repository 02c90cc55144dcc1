"""The restore drill of docs/operations.md, by its very commands: back up, lose everything, restore, read."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from service.jobs.job import JobStatus, UnknownJob
from service.settings import Settings
from service.store import input_key, result_key
from tests.patience import WAIT_SECONDS
from workers.batch import run
from workers.context import WorkerContext, open_context


@dataclass
class Installation:
    """An installation whose ledger is in either database, and whose store is a folder; and the commands of the docs."""

    settings: Settings
    backup: Path
    blocks: list[str]

    def open(self) -> WorkerContext:
        return open_context(self.settings)

    def block(self, start: str) -> str:
        """The block of the docs that starts so."""
        [found] = [block for block in self.blocks if block.startswith(start)]
        return found

    def shell(self, commands: str) -> str:
        """Run commands, and return their output."""
        database = (self.settings.database_url or "").replace("postgresql+psycopg:", "postgresql:")
        environment = {"DATA": str(self.settings.data_dir), "BACKUP": str(self.backup), "DATABASE": database}
        done = subprocess.run(
            ["sh", "-euc", commands],
            env={"PATH": os.environ["PATH"], **environment},
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(params=["sqlite", "postgresql"])
def installation(request: pytest.FixtureRequest, project: Path, tmp_path: Path) -> Installation:
    for program in ("sqlite3",) if request.param == "sqlite" else ("pg_dump", "pg_restore"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    url = None if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))
    page = (project / "docs" / "operations.md").read_text()
    blocks = [
        re.sub(r"^ +", "", found, flags=re.MULTILINE) for found in re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    ]
    (tmp_path / "backup").mkdir()
    settings = Settings(data_dir=tmp_path / "data", database_url=url, broker_url=None)
    return Installation(settings, tmp_path / "backup", blocks)


def destroy(installation: Installation) -> None:
    """Lose the ledger and the store."""
    shutil.rmtree(installation.settings.data_dir)
    if installation.settings.database_url is not None:
        engine = create_engine(installation.settings.database_url)
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        engine.dispose()


def test_nowcasts_of_before_during_and_after_a_backup(installation: Installation, lab, tmp_path: Path) -> None:
    """The ledger is backed up before the store, and a nowcast ends between; another is interrupted by the loss."""
    is_sqlite = installation.settings.database_url is None
    backup_ledger, backup_store = installation.block('sqlite3 "').split("\n", 1)
    restore_folder, restore_ledger, restore_store = re.split(r"\n(?=rm|cp -a)", installation.block("mkdir"))
    if not is_sqlite:
        backup_ledger, restore_ledger = installation.block("pg_dump"), installation.block("pg_restore")
    frames = lab.write_frames(tmp_path / "frames.npz", count=3)
    context = installation.open()
    interrupted = lab.upload(context.ledger, context.store, frames)
    assert context.ledger.claim(interrupted.id, lease_seconds=0.0), "by a worker that dies"
    before = lab.upload(context.ledger, context.store, frames)
    run(before.id, context)
    during = lab.upload(context.ledger, context.store, frames)
    installation.shell(backup_ledger)
    run(during.id, context)
    after = lab.upload(context.ledger, context.store, frames)
    installation.shell(backup_store)
    results = {job.id: context.store.get(result_key(job.id)) for job in (before, during)}
    context.ledger.close()

    destroy(installation)
    for commands in (restore_folder, restore_ledger, restore_store):
        installation.shell(commands)

    context = installation.open()
    assert context.ledger.get(before.id).status is JobStatus.SUCCESSFUL
    assert context.ledger.get(during.id).status is JobStatus.ACCEPTED
    for job in (during, interrupted):
        run(job.id, context)
        assert context.ledger.get(job.id).status is JobStatus.SUCCESSFUL
        assert context.ledger.get(job.id).result_key == result_key(job.id)
        assert context.ledger.get(job.id).result_bytes == context.store.size(result_key(job.id), input_key(job.id))
    assert {job.id: context.store.get(result_key(job.id)) for job in (before, during)} == results
    with pytest.raises(UnknownJob):
        context.ledger.get(after.id)
    context.ledger.close()
    if is_sqlite:
        assert installation.shell(installation.block("sqlite3 -readonly")).split() == [after.id]
