"""API keys: who may use the service, for what, how much, and until when.

The ledger has the SHA-256 of a key and never the key. A fast hash suffices, as a key has 192 random bits: there is no
dictionary to try (https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html is about secrets
that people choose).
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Literal

from sqlalchemy import JSON, BigInteger, Engine, String, and_, or_, select, update
from sqlalchemy.orm import Mapped, mapped_column

from model.core.errors import InputError
from service.jobs.base import Base
from service.jobs.database import load, writing
from service.jobs.job import ANONYMOUS_ID

KEY_PREFIX: Final = "echocast_"
"""What every key starts with, so that people and secret scanners recognise one: `echocast_[0-9a-f]{48}`."""

KEY_BYTES: Final = 24
USE_RECORDED_EVERY: Final = timedelta(minutes=5)
"""How exact `last_used` is: a busy key costs one write in this time, and no write for each request."""

CLIENT_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class Scope(StrEnum):
    """What a client may do."""

    READ = "read"
    """Follow nowcasts and fetch their results; list models."""
    NOWCAST = "nowcast"
    """Request nowcasts, and cancel them."""
    ADMIN = "admin"
    """All of it, for the nowcasts of every client; promote and roll back models, create and revoke keys."""


@dataclass(frozen=True)
class Quota:
    """What one client may use. None: the service's own limit, from the settings."""

    max_queued_jobs: int | None = None
    max_running_jobs: int | None = None
    requests_per_second: float | None = None
    bytes_per_day: int | None = None


NO_QUOTA: Final = Quota()


class InvalidKey(InputError):
    """A key cannot be created as it was asked for."""

    code = "invalid-key"


class NoSuchKey(InputError):
    """There is no such key."""

    code = "no-such-key"


class ApiKey(Base, kw_only=True):
    """An API key. Times are UTC and timezone-aware.

    `id`: names the key in lists; it is not secret. `client`: whose nowcasts it reaches, so that a client changes its
    key and keeps its nowcasts. `digest`: SHA-256 (hex) of the key. `last_used`: to `USE_RECORDED_EVERY`.
    """

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default_factory=lambda: secrets.token_hex(4))
    client: Mapped[str] = mapped_column(String(128), index=True)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    digest: Mapped[str] = mapped_column(String(64), unique=True, repr=False)
    created: Mapped[datetime] = mapped_column(default_factory=lambda: datetime.now(UTC))
    expires: Mapped[datetime | None] = mapped_column(default=None)
    revoked: Mapped[datetime | None] = mapped_column(default=None)
    last_used: Mapped[datetime | None] = mapped_column(default=None)
    max_queued_jobs: Mapped[int | None] = mapped_column(default=None)
    max_running_jobs: Mapped[int | None] = mapped_column(default=None)
    requests_per_second: Mapped[float | None] = mapped_column(default=None)
    bytes_per_day: Mapped[int | None] = mapped_column(BigInteger, default=None)

    @property
    def state(self) -> Literal["valid", "expired", "revoked"]:
        """Whether the key is accepted now."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= datetime.now(UTC) else "valid"

    @property
    def quota(self) -> Quota:
        """The limits of its client."""
        return Quota(self.max_queued_jobs, self.max_running_jobs, self.requests_per_second, self.bytes_per_day)


class ApiKeys:
    """The keys of a ledger. Safe to share between threads; blocks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._any = False
        self._use_recorded: dict[str, float] = {}

    def create(
        self, client: str, scopes: Iterable[Scope], *, expires: datetime | None = None, quota: Quota | None = None
    ) -> tuple[ApiKey, str]:
        """Create a key; return it, and the secret, which nobody can read again.

        Raises
        ------
        InvalidKey
            The client's name cannot be used.
        """
        if not CLIENT_NAME.fullmatch(client) or client == ANONYMOUS_ID:
            raise InvalidKey(
                f"a client cannot be named {client!r}",
                where="client",
                hint="Use 1 to 63 lower-case letters, digits, dots, hyphens and underscores, such as flood-duty",
            )
        secret = KEY_PREFIX + secrets.token_hex(KEY_BYTES)
        granted = sorted({scope.value for scope in scopes})
        key = ApiKey(client=client, scopes=granted, digest=_digest(secret), expires=expires, **vars(quota or NO_QUOTA))
        with writing(self._engine) as session:
            session.add(key)
        return key, secret

    def find(self, secret: str) -> ApiKey | None:
        """Return the key of a secret, valid or not; None where there is none."""
        return next(iter(load(self._engine, select(ApiKey).where(ApiKey.digest == _digest(secret)))), None)

    def record_use(self, key: ApiKey) -> None:
        """Record that the key is used now, where this process last tried to a while ago."""
        if time.monotonic() < self._use_recorded.get(key.id, 0.0):
            return
        # Before the attempt: while the ledger is locked, only the first request waits for it.
        self._use_recorded[key.id] = time.monotonic() + USE_RECORDED_EVERY.total_seconds()
        now = datetime.now(UTC)
        stale = or_(ApiKey.last_used.is_(None), ApiKey.last_used <= now - USE_RECORDED_EVERY)
        with writing(self._engine) as session:
            session.connection().execute(update(ApiKey).where(ApiKey.id == key.id, stale).values(last_used=now))

    def any(self) -> bool:
        """Whether a key was ever created: also one that has expired or was revoked, so that neither opens a service."""
        if not self._any:
            self._any = bool(load(self._engine, select(ApiKey.id).limit(1)))
        return self._any

    def all(self) -> list[ApiKey]:
        """Return every key, the newest first."""
        return load(self._engine, select(ApiKey).order_by(ApiKey.created.desc(), ApiKey.id))

    def revoke(self, key_id: str) -> ApiKey:
        """Refuse a key from now on; a second time changes nothing.

        Raises
        ------
        NoSuchKey
            There is no key of that id.
        """
        with writing(self._engine) as session:
            valid = and_(ApiKey.id == key_id, ApiKey.revoked.is_(None))
            session.connection().execute(update(ApiKey).where(valid).values(revoked=datetime.now(UTC)))
            key = session.get(ApiKey, key_id)
        if key is None:
            raise NoSuchKey(f"no key {key_id!r}", where="id", hint="`echocast keys list` has the ids")
        return key


def is_key(credentials: str) -> bool:
    """Whether credentials look like an API key, and not like a token."""
    return credentials.startswith(KEY_PREFIX)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
