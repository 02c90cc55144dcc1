"""Outboxes: messages that are recorded with what they tell, in the same transaction, until they are delivered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from sqlalchemy import Engine, Index, String, Text, and_, inspect, select, update
from sqlalchemy.orm import Mapped, MappedAsDataclass, Session, mapped_column

from service.jobs.base import Base
from service.jobs.database import load, writing


class Delivery(MappedAsDataclass, kw_only=True):
    """The columns of a message that is to be delivered. Times are UTC and timezone-aware.

    `due`: when it is to be tried, None once nothing is left to do. A try moves it on by a lease, so that another worker
    repeats the call if this one dies. `attempts`: how many tries were begun. `error`: why the last one failed.
    `response_status`: the HTTP status of its response, None where there was none.
    """

    due: Mapped[datetime | None] = mapped_column(default_factory=lambda: datetime.now(UTC))
    attempts: Mapped[int] = mapped_column(default=0)
    delivered: Mapped[datetime | None] = mapped_column(default=None)
    given_up: Mapped[datetime | None] = mapped_column(default=None)
    error: Mapped[str] = mapped_column(Text, default="")
    response_status: Mapped[int | None] = mapped_column(default=None)


class Webhook(Delivery, Base, kw_only=True):
    """The call of one nowcast's webhook, recorded with the end of the nowcast."""

    __tablename__ = "webhooks"

    job_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    url: Mapped[str] = mapped_column(Text)

    __table_args__ = (Index("ix_webhooks_due", "due"),)


D = TypeVar("D", bound=Delivery)


def post(session: Session, job_id: str, url: str | None) -> None:
    """Record the webhook of a job that ends in this transaction, if it has one."""
    if url is not None:
        session.add(Webhook(job_id=job_id, url=url))


class Outbox(Generic[D]):
    """The messages of one table of the ledger. Each is delivered at least once, or given up."""

    def __init__(self, engine: Engine, table: type[D]) -> None:
        self._engine = engine
        self._table = table
        self._id: Any = inspect(table).primary_key[0]

    def get(self, message_id: str) -> D | None:
        """Return a message by its id; None where there is none."""
        return next(iter(load(self._engine, select(self._table).where(self._id == message_id))), None)

    def claim(self, limit: int, lease_seconds: float) -> list[D]:
        """Begin a try of the messages that are due, the oldest first."""
        table, now = self._table, datetime.now(UTC)
        ids = load(self._engine, select(self._id).where(table.due <= now).order_by(table.due).limit(limit))
        if not ids:
            return []
        claimed = (
            update(table)
            .where(self._id.in_(ids), table.due <= now)
            .values(attempts=table.attempts + 1, due=now + timedelta(seconds=lease_seconds))
            .returning(table)
        )
        with writing(self._engine) as session:
            return list(session.scalars(claimed, execution_options={"synchronize_session": False}))

    def record_delivered(self, message: D, response_status: int | None = None) -> None:
        """Record that the receiver has accepted the message."""
        now = datetime.now(UTC)
        self._end_try(message, due=None, delivered=now, error="", response_status=response_status)

    def record_failed(
        self, message: D, error: str, retry_seconds: float | None, response_status: int | None = None
    ) -> None:
        """Record a failed try: the next one comes after that time, or none where it is None."""
        now = datetime.now(UTC)
        due = None if retry_seconds is None else now + timedelta(seconds=retry_seconds)
        given_up = now if due is None else None
        self._end_try(message, due=due, given_up=given_up, error=error, response_status=response_status)

    def _end_try(self, message: D, **values: datetime | str | int | None) -> None:
        """Change a message, unless its lease expired and another worker tries it again."""
        table = self._table
        own_id = getattr(message, self._id.key)
        mine = and_(self._id == own_id, table.attempts == message.attempts, table.due.is_not(None))
        with writing(self._engine) as session:
            session.execute(update(table).where(mine).values(**values), execution_options=_PLAIN)


_PLAIN = {"synchronize_session": False}
