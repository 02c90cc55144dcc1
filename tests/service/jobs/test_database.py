"""Migrations: the tables of the code, made once by concurrent processes."""

from __future__ import annotations

import subprocess
import sys

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from model.core.forecast_output import DETERMINISTIC_OUTPUT
from service.jobs import database
from service.jobs.base import Base
from service.jobs.database import HEAD, MIGRATIONS, allow_time, make_engine, open_engine, reading
from service.jobs.job import Job, JobStatus
from service.jobs.ledger import Ledger
from tests.patience import WAIT_SECONDS
from tests.postgres import postgres_server

NOON = "'2026-06-01 12:00:00'"


def test_the_migrations_make_the_tables_of_the_code(database_url: str) -> None:
    engine = open_engine(database_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
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
        tables = ("feeds", "feed_runs")  # known by names of files, before frames were known by their valid times
        assert [connection.execute(text(f"SELECT * FROM {table}")).all() for table in tables] == [[], []]
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


def test_a_postgresql_that_does_not_answer_is_an_outage_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "CONNECT_SECONDS", 2)
    with postgres_server() as server:
        ledger = Ledger(server.url, patience_seconds=0.1)
        job = ledger.create(Job(model="auto", steps=1, inputs=[]))
        with reading(ledger.engine) as session:  # a statement that is under way
            session.execute(text("SELECT 1"))
            with server.frozen():
                with pytest.raises(OperationalError):
                    session.execute(text("SELECT 1"))
                with pytest.raises(OperationalError):  # a connection of the pool, then a new one
                    ledger.claim(job.id, 60)
        assert ledger.claim(job.id, 60) is not None
        ledger.close()


def test_a_statement_that_takes_too_long_is_ended_and_a_migration_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MARGIN_SECONDS", 0.5)
    with postgres_server() as server:
        engine = make_engine(server.url, patience_seconds=0.1)
        slow = text("SELECT pg_sleep(1.2)")
        with engine.connect() as connection, pytest.raises(OperationalError, match="statement timeout"):
            connection.execute(slow)
        with engine.connect() as connection:
            allow_time(connection)
            connection.execute(slow)
        engine.dispose()
