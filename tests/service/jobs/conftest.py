"""A ledger on SQLite and on a real PostgreSQL, where one is installed."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import create_engine, text

from service.jobs.ledger import Ledger
from tests.patience import WAIT_SECONDS, wait_until


def postgres_programs() -> Path | None:
    """The folder of initdb and postgres."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return folders[-1].parent if folders else None


def unprivileged() -> pwd.struct_passwd | None:
    """Return the user to run PostgreSQL as, which refuses to run as root."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.skip("no user that PostgreSQL may run as")


def _wait_until_ready(psycopg: ModuleType, server: subprocess.Popen[bytes], folder: Path) -> None:
    def responds() -> bool:
        try:
            psycopg.connect(host=str(folder), user="echocast", dbname="postgres", connect_timeout=5).close()
        except psycopg.OperationalError:
            assert server.poll() is None, (folder / "log").read_text()
            return False
        return True

    wait_until(responds, f"PostgreSQL, whose log is {folder / 'log'}")


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[str]:
    """URL of a private PostgreSQL server, reached by a Unix socket."""
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    user = unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="echocast-pg-"))
    run_as = {}
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
        run_as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    data = folder / "data"
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "echocast", "-A", "trust", "-E", "UTF8", "--no-sync"],
        check=True,
        capture_output=True,
        cwd=folder,
        **run_as,
    )
    options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, *options], stdout=log, stderr=log, cwd=folder, **run_as
        )
    try:
        _wait_until_ready(psycopg, server, folder)
        yield f"postgresql+psycopg://echocast@/postgres?host={folder}"
    finally:
        server.send_signal(signal.SIGQUIT)  # immediate shutdown: the data is deleted anyway
        server.wait(WAIT_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)


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
