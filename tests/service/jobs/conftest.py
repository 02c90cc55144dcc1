"""A ledger on SQLite and on a real PostgreSQL, where one is installed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from service.jobs.ledger import Ledger
from tests.postgres import postgres_server


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[str]:
    """URL of a private PostgreSQL server, reached by a Unix socket."""
    with postgres_server() as server:
        yield server.url


@pytest.fixture
def postgres_url(postgres_cluster: str) -> str:
    """URL of a new, empty database."""
    name = f"test_{uuid.uuid4().hex}"
    engine = create_engine(postgres_cluster, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return postgres_cluster.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """An empty ledger."""
    opened = Ledger(database_url)
    yield opened
    opened.close()
