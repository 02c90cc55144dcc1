"""Outages: failures of what the gateway depends on, which may pass. The request gets 503, and when to try again."""

from __future__ import annotations

import errno
import sqlite3
from typing import Final, NamedTuple

from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.api.access.errors import IssuerUnavailable
from service.api.event_streams import TooManyStreams
from service.jobs.queue import NoBroker
from service.store import StoreUnavailable

FULL_ERRNOS: Final = (errno.ENOSPC, errno.EDQUOT)
SQLITE_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
POSTGRES_FULL: Final = "53100"
POSTGRES_BUSY: Final = ("55P03", "57014")
"""SQLSTATE of a lock that was not granted in time, and of a statement that took too long."""


class Outage(NamedTuple):
    """The problem's code, what is wrong, and the seconds after which a client may try again."""

    code: str
    what: str
    retry_after: int


LEDGER_DOWN: Final = Outage("ledger-unavailable", "the ledger of nowcasts does not respond", 5)
LEDGER_BUSY: Final = Outage("ledger-unavailable", "the ledger of nowcasts is locked by another process", 5)
STORE_DOWN: Final = Outage("store-unavailable", "the object store does not respond", 10)
ISSUER_DOWN: Final = Outage("issuer-unavailable", "the issuer of tokens does not respond", 10)
BROKER_DOWN: Final = Outage("broker-unavailable", "the broker does not respond", 5)
MANY_STREAMS: Final = Outage("too-many-streams", "as many event streams are open as the gateway allows a client", 10)
NO_SPACE: Final = Outage("no-space", "no space is left for uploads and results", 60)


def outage_of(error: BaseException) -> Outage | None:
    """Return the outage that an exception of a driver stands for; None where it is a fault of the service."""
    match error:
        case StoreUnavailable():
            return NO_SPACE if error.full else STORE_DOWN
        case IssuerUnavailable():
            return ISSUER_DOWN
        case TooManyStreams():
            return MANY_STREAMS
        case DBAPIError():
            return _ledger_outage(error)
        case PoolTimeout():
            return LEDGER_BUSY
        case RedisError() | BrokerError() | NoBroker():
            return BROKER_DOWN
        case OSError() if error.errno in FULL_ERRNOS:
            return NO_SPACE
    return None


def _ledger_outage(error: DBAPIError) -> Outage | None:
    """Return the outage of a database error; a statement that the database refuses is none."""
    sqlite_code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # the low byte of an extended code
    sqlstate = getattr(error.orig, "sqlstate", None)
    if sqlite_code == sqlite3.SQLITE_FULL or sqlstate == POSTGRES_FULL:
        return NO_SPACE
    if sqlite_code in SQLITE_BUSY or sqlstate in POSTGRES_BUSY:
        return LEDGER_BUSY
    return LEDGER_DOWN if isinstance(error, OperationalError | InterfaceError) else None
