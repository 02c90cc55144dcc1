"""Ledger, store and broker: whether they answer, can be written, have room, and agree with this clock."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from service.doctor.finding import Finding, State, describe, host_of
from service.settings import Settings

CONNECT_SECONDS: Final = 2.0
MIN_POSTGRESQL: Final = 14
MIN_REDIS: Final = (6, 2)
LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
MB: Final = 10**6


def check_ledger(settings: Settings) -> Iterator[Finding]:
    """Check the database: its migration, a read, a write that is undone, and its clock."""
    from sqlalchemy import make_url, text

    from service.jobs.database import make_engine

    url = make_url(settings.database)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        yield Finding("ledger", "ok", f"{url.database} is made when Echocast starts")
        return
    where = url.database if url.get_backend_name() == "sqlite" else f"{url.host or 'PostgreSQL'}/{url.database}"
    engine = make_engine(settings.database)
    try:
        yield _migration(engine, str(where))
        with engine.execution_options(echocast_write=True).connect() as connection:
            if engine.dialect.name == "postgresql":
                version = str(connection.execute(text("SHOW server_version")).scalar())
                major = int(version.partition(".")[0])
                hint = "" if major >= MIN_POSTGRESQL else f"Upgrade it to PostgreSQL {MIN_POSTGRESQL} or newer"
                yield Finding("versions", "warning" if hint else "ok", f"PostgreSQL {version}", hint)
                if connection.execute(text("SHOW transaction_read_only")).scalar() == "on":
                    hint = "Name the primary in ECHOCAST_DATABASE_URL, not a standby, and a user who may write"
                    yield Finding("ledger", "bad", f"{where} is read-only", hint)
                before = time.time()
                now = float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
                yield _clock("the database", now - (before + time.time()) / 2, settings)
            else:
                connection.execute(text("SELECT 1"))
            connection.rollback()
    except Exception as error:  # of SQLAlchemy, or of the driver
        cause = getattr(error, "orig", None) or error
        hint = "Start the database, and check ECHOCAST_DATABASE_URL: host, port, user, password, name"
        if engine.dialect.name == "sqlite":
            hint = "Check that the file is a ledger and may be written; restore it from a backup where it is damaged"
        yield Finding("ledger", "bad", f"{where}: {describe(cause)}", hint)
    finally:
        engine.dispose()


def _migration(engine: object, where: str) -> Finding:
    from sqlalchemy import Engine

    from service.jobs.database import HEAD, revision

    assert isinstance(engine, Engine)  # noqa: S101
    found = revision(engine)
    if found == HEAD:
        return Finding("ledger", "ok", f"{where} has the tables of this version (migration {found})")
    if found is None:
        return Finding("ledger", "ok", f"{where} is empty: the tables are made when Echocast starts")
    if found < HEAD:
        what = f"{where} is at migration {found}, this version has {HEAD}"
        return Finding("ledger", "warning", what, "Stop every older gateway and worker; the next start migrates it")
    what = f"{where} is at migration {found}, which this version ({HEAD}) does not know"
    return Finding("ledger", "bad", what, "Install the Echocast that wrote it, or restore the backup from before")


def check_store(settings: Settings) -> Iterator[Finding]:
    """Check that an object can be written, read and deleted, and how much room is left."""
    from service.store import ObjectStore

    parts = urlsplit(settings.store)
    if parts.scheme not in ("", "file"):
        where = f"{parts.scheme}://{host_of(settings.store)}"
        hint = "Check bucket, region and the credential variables of the cloud"
        try:
            ObjectStore(settings.store).check()
        except Exception as error:
            yield Finding("store", "bad", f"{where}: {describe(error)}", hint)
        else:
            yield Finding("store", "ok", f"{where}: an object was written, read and deleted")
        return
    folder = Path(unquote(parts.path))
    if not folder.is_dir():
        yield Finding("store", "ok", f"{folder} is made when Echocast starts")
    else:
        try:
            ObjectStore(settings.store).check()
            yield Finding("store", "ok", f"{folder}: an object was written, read and deleted")
        except Exception as error:
            yield Finding(
                "store", "bad", f"{folder}: {describe(error)}", "Make the folder writable for Echocast's user"
            )
    yield room("store", folder, settings)


def room(part: str, folder: Path, settings: Settings) -> Finding:
    """Check the free space of the disk of a folder, which need not exist yet."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    usage = shutil.disk_usage(existing)
    free, needed = usage.free / MB, settings.room_mb
    what = f"{free / 1000:.1f} GB free of {usage.total / MB / 1000:.1f} GB at {folder}"
    if free < needed:
        hint = f"Free some: one upload takes up to {settings.max_upload_mb} MB, its nowcast as much again"
        return Finding(part, "bad", what, hint)
    if free < 10 * needed and usage.free < usage.total / 10:
        return Finding(part, "warning", what, "Free some, or lower ECHOCAST_RETENTION_DAYS")
    return Finding(part, "ok", what)


def check_broker(settings: Settings) -> Iterator[Finding]:
    """Check Redis: whether it answers, accepts writes and keeps the queue; its version, password and clock."""
    from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, RedisError

    from service.jobs.queue import redis_client

    assert settings.broker_url is not None  # noqa: S101
    where = f"Redis at {host_of(settings.broker_url)}"
    try:
        with redis_client(settings) as redis:
            before = time.time()
            seconds, microseconds = redis.time()
            offset = seconds + microseconds / 1e6 - (before + time.time()) / 2
            info = redis.info()
            yield Finding("broker", "ok", f"{where} answers")
            yield from _redis_state(info, where, settings)
            yield _clock("Redis", offset, settings)
    except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
        hint = "Put the password into ECHOCAST_BROKER_URL: redis://:PASSWORD@HOST:6379/0"
        yield Finding("broker", "bad", f"{where}: {describe(error)}", hint)
    except (RedisError, OSError, ValueError) as error:
        hint = "Start Redis, and check ECHOCAST_BROKER_URL: redis://:PASSWORD@HOST:6379/0"
        yield Finding("broker", "bad", f"{where}: {describe(error)}", hint)


def _redis_state(info: dict[str, object], where: str, settings: Settings) -> Iterator[Finding]:
    version = str(info.get("redis_version", "0"))
    numbers = tuple(int(part) for part in version.split(".")[:2])
    hint = "" if numbers >= MIN_REDIS else "Upgrade it to Redis 6.2 or Valkey 7.2, or newer"
    yield Finding("versions", "warning" if hint else "ok", f"{info.get('server_name', 'redis')} {version}", hint)
    if info.get("role") != "master":
        yield Finding("broker", "bad", f"{where} is a read-only replica", "Name its primary in ECHOCAST_BROKER_URL")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        what = f"{where} may drop the queue when its memory is full (maxmemory-policy is {policy})"
        yield Finding("broker", "warning", what, "Set maxmemory-policy to noeviction")
    parts = urlsplit(settings.broker_url or "")
    if parts.hostname and parts.hostname not in LOCAL_HOSTS and not parts.password:
        what = f"{where} asks for no password: who reaches it can start jobs and read their ids"
        yield Finding("broker", "warning", what, "Set requirepass in Redis, and the password in ECHOCAST_BROKER_URL")


def embedded_broker(settings: Settings) -> Settings | None:
    """Return the settings with the private Redis of a running `echocast serve`; None where none runs here."""
    path = settings.data_dir.absolute() / "redis" / "redis.sock"
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(CONNECT_SECONDS)
        try:
            client.connect(str(path))
        except OSError:  # no such file, or one that a killed process left
            return None
    return settings.model_copy(update={"broker_url": f"redis+socket://{path}"})


def _clock(of: str, offset: float, settings: Settings) -> Finding:
    """Compare a clock with this machine's; leases end by the clocks of all machines."""
    limit = settings.lease_seconds / 4
    state: State = "ok" if abs(offset) < 1 else "warning" if abs(offset) < limit else "bad"
    direction = "behind" if offset > 0 else "ahead of"
    what = f"this clock is {abs(offset):.1f} s {direction} that of {of}" if state != "ok" else f"agrees with {of}"
    hint = "Synchronise the clocks of all machines by NTP (systemd-timesyncd, chrony)"
    return Finding("clock", state, what, "" if state == "ok" else hint)
