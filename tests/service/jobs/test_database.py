"""Migrations: the tables of the code, made once by concurrent processes."""

from __future__ import annotations

import subprocess
import sys

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

import service.jobs.api_keys  # noqa: F401 - its table
from model.core.forecast_output import DETERMINISTIC_OUTPUT
from service.jobs.database import HEAD, MIGRATIONS, open_engine
from service.jobs.feed_run import FeedRun
from service.jobs.job import JobStatus
from service.jobs.ledger import Ledger
from tests.patience import WAIT_SECONDS

NOON = "'2026-06-01 12:00:00'"


def test_the_migrations_make_the_tables_of_the_code(database_url: str) -> None:
    engine = open_engine(database_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), FeedRun.metadata) == []
    engine.dispose()


def test_head_is_the_newest_migration() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [HEAD]


def test_a_ledger_of_an_older_version_keeps_its_jobs(database_url: str) -> None:
    older = create_engine(database_url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with older.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        columns = "kind, status, model, note, steps, inputs, progress_done, progress_total, created, attempt"
        values = f"'upload', 'successful', 'auto', '', 1, '[]', 1, 1, {NOON}, 1"
        connection.execute(text(f"INSERT INTO jobs (id, {columns}) VALUES ('old', {values})"))
        problem = '{"code": "no-data", "what": "no rain", "where": "a.h5", "mend": "Give another"}'
        failed = text(f"INSERT INTO jobs (id, {columns}, problem) VALUES ('failed', {values}, :problem)")
        connection.execute(failed, {"problem": problem})
        connection.execute(text(f"INSERT INTO feeds (name, folder, first_seen) VALUES ('f', '/f', {NOON})"))
        columns = "feed, frame, state, size, modified_ns, files, job_id, seen"
        connection.execute(
            text(f"INSERT INTO feed_runs ({columns}) VALUES ('f', 'a.h5', 'done', 1, 1, 1, 'old', {NOON})")
        )
    older.dispose()
    ledger = Ledger(database_url)
    job = ledger.get("old")
    assert (job.status, job.compute_seconds, job.problem) == (JobStatus.SUCCESSFUL, None, None)
    assert job.forecast_output == DETERMINISTIC_OUTPUT
    assert ledger.get("failed").problem == {
        "code": "no-data",
        "what": "no rain",
        "where": "a.h5",
        "hint": "Give another",
    }
    with ledger.engine.connect() as connection:
        assert connection.execute(text("SELECT job_id FROM feed_runs")).scalars().all() == ["old"]
    ledger.close()


def test_processes_that_start_together_make_the_tables_once(database_url: str) -> None:
    program = "import sys; from service.jobs.ledger import Ledger; Ledger(sys.argv[1]).check()"
    started = [
        subprocess.Popen([sys.executable, "-c", program, database_url], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in started:
        _, errors = process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 0, errors
