"""The ledger's database engine, sessions and migrations.

Migrations run at start, under a lock: gateway, worker and beat may start at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import Connection, Dialect, Engine, Select, create_engine, event, inspect, make_url, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from model.core.locks import file_lock

if TYPE_CHECKING:
    from service.jobs.bounded_connection import BoundedConnection

HEAD: Final = "0022"
"""The newest migration, so that a start without migrations need not load Alembic."""

MIGRATIONS: Final = Path(__file__).parent / "migrations"
LOCK_ID: Final = 0x6563686F
"""Id of PostgreSQL's advisory lock for migrations."""

PATIENCE_SECONDS: Final = 15.0
"""How long a process waits for another one's lock, by default."""

CONNECT_SECONDS: Final = 5
MARGIN_SECONDS: Final = 2.0
"""How much longer a statement may take than it may wait for a lock, and its answer than the statement (PostgreSQL)."""

T = TypeVar("T")


def open_engine(url: str, *, patience_seconds: float = PATIENCE_SECONDS) -> Engine:
    """Return an engine of the ledger, whose tables are migrated to the newest ones."""
    engine = make_engine(url, patience_seconds=patience_seconds)
    upgrade(engine)
    return engine


def make_engine(url: str, *, patience_seconds: float = PATIENCE_SECONDS) -> Engine:
    """Return an engine for SQLite (WAL; a writer locks at the start of its transaction) or PostgreSQL.

    A lock of another process, and a connection of the pool, are waited for at most `patience_seconds`; a PostgreSQL
    that does not answer, a little longer.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, connect_args={"timeout": patience_seconds}, pool_timeout=patience_seconds)
        event.listen(engine, "connect", partial(_sqlite_connect, patience_seconds))
        event.listen(engine, "begin", _sqlite_begin)
    else:
        # A machine that vanishes without closing its connections is noticed by TCP.
        tcp = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}
        engine = create_engine(
            parsed,
            pool_pre_ping=True,
            pool_timeout=patience_seconds,
            connect_args={"connect_timeout": CONNECT_SECONDS, **tcp},
        )
        event.listen(engine, "do_connect", _bounded_connect)
        event.listen(engine, "connect", partial(_limit_time, patience_seconds))
    return engine


def reading(engine: Engine) -> Session:
    """Return a session for queries. Its objects stay readable after it is closed."""
    return Session(engine, expire_on_commit=False)


def load(engine: Engine, query: Select[T]) -> list[T]:
    """Return the objects, or the values of the only column, that a query selects."""
    with reading(engine) as session:
        return list(session.scalars(query))


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """Run a short transaction that writes; its objects stay readable after it."""
    options = engine.execution_options(echocast_write=True)
    with Session(options, expire_on_commit=False) as session, session.begin():
        yield session


def upgrade(engine: Engine) -> None:
    """Migrate the tables to `HEAD`, one process at a time."""
    if revision(engine) == HEAD:
        return
    with _migration_lock(engine):
        if revision(engine) == HEAD:
            return
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        with engine.execution_options(echocast_write=True).connect() as connection, connection.begin():
            if engine.dialect.name == "postgresql":
                allow_time(connection)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def revision(engine: Engine) -> str | None:
    """Return the migration of the tables; None where there are none."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


@contextmanager
def _migration_lock(engine: Engine) -> Iterator[None]:
    if engine.dialect.name == "sqlite":
        with file_lock(Path(f"{engine.url.database}.migrating"), wait=True):
            yield
        return
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:id)"), {"id": LOCK_ID})
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:id)"), {"id": LOCK_ID})


def _sqlite_connect(patience_seconds: float, connection: Any, record: ConnectionPoolEntry) -> None:  # noqa: ANN401 - a DBAPI connection
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout={round(1000 * patience_seconds)}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _bounded_connect(
    dialect: Dialect, record: ConnectionPoolEntry, arguments: list[Any], options: dict[str, Any]
) -> BoundedConnection:
    from service.jobs.bounded_connection import BoundedConnection

    return BoundedConnection.connect(*arguments, **options)


def _limit_time(patience_seconds: float, connection: Any, record: ConnectionPoolEntry) -> None:  # noqa: ANN401 - a DBAPI connection
    """Limit how long a statement waits for a lock, how long it takes, and how long its answer is waited for."""
    statement_seconds = patience_seconds + MARGIN_SECONDS
    connection.answer_seconds = statement_seconds + MARGIN_SECONDS
    connection.execute(f"SET lock_timeout = {round(1000 * patience_seconds)}")
    connection.execute(f"SET statement_timeout = {round(1000 * statement_seconds)}")
    connection.commit()


def allow_time(connection: Connection) -> None:
    """Let a connection take any time: a migration may rewrite a table."""
    driver: Any = connection.connection.driver_connection
    driver.answer_seconds = None
    connection.execute(text("SET statement_timeout = 0"))
    connection.detach()  # closed after its use: it is no longer one of the pool


def _sqlite_begin(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once with "database is locked", without regard to
    # busy_timeout, where another one has written meanwhile (https://sqlite.org/lang_transaction.html).
    if connection.get_execution_options().get("echocast_write"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
