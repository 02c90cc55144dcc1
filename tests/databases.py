"""Ledgers on SQLite and on a real PostgreSQL, where one is installed.

Their tables are there at once, copied: migrations take longer than most tests.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from service.jobs.ledger import Ledger
from tests.postgres import postgres_server


@cache
def _empty() -> Path:
    """A file with the newest tables, made once in each process."""
    folder = Path(tempfile.mkdtemp(prefix="echocast-ledger-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "ledger.sqlite"
    Ledger(f"sqlite:///{path}").close()
    return path


def put_empty_ledger(path: Path) -> str:
    """Copy an empty SQLite ledger to `path`, whose folder is made, and return its URL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(_empty(), path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[str]:
    """URL of a private PostgreSQL server, reached by a Unix socket."""
    with postgres_server() as server:
        yield server.url


@pytest.fixture(scope="session")
def postgres_template(postgres_cluster: str) -> str:
    """Name of a database that has the tables, and nobody uses."""
    name = "with_tables"
    Ledger(_created(postgres_cluster, name)).close()
    return name


@pytest.fixture
def postgres_url(postgres_cluster: str) -> str:
    """URL of a new, empty database."""
    return _created(postgres_cluster, f"test_{uuid.uuid4().hex}")


def _created(cluster: str, name: str, template: str = "template1") -> str:
    """Create a database, and return its URL."""
    engine = create_engine(cluster, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    engine.dispose()
    return cluster.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger, whose tables are there."""
    if request.param == "sqlite":
        url = put_empty_ledger(tmp_path / "ledger.sqlite")
    else:
        cluster, template = (request.getfixturevalue(name) for name in ("postgres_cluster", "postgres_template"))
        url = _created(cluster, f"test_{uuid.uuid4().hex}", template)
    opened = Ledger(url)
    yield opened
    opened.close()
