"""The outbox: webhooks of nowcasts that have ended, recorded with the end itself, until they are delivered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, Index, String, Text, and_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from service.jobs.base import Base
from service.jobs.database import load, writing


class Webhook(Base, kw_only=True):
    """The call of one nowcast's webhook. Times are UTC and timezone-aware.

    `due`: when it is to be tried, None once nothing is left to do. A try moves it on by a lease, so that another worker
    repeats the call if this one dies. `attempts`: how many tries were begun. `error`: why the last one failed.
    `response_status`: the HTTP status of its response, None where there was none.
    """

    __tablename__ = "webhooks"

    job_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    url: Mapped[str] = mapped_column(Text)
    due: Mapped[datetime | None] = mapped_column(default_factory=lambda: datetime.now(UTC))
    attempts: Mapped[int] = mapped_column(default=0)
    delivered: Mapped[datetime | None] = mapped_column(default=None)
    given_up: Mapped[datetime | None] = mapped_column(default=None)
    error: Mapped[str] = mapped_column(Text, default="")
    response_status: Mapped[int | None] = mapped_column(default=None)

    __table_args__ = (Index("ix_webhooks_due", "due"),)


def post(session: Session, job_id: str, url: str | None) -> None:
    """Record the webhook of a job that ends in this transaction, if it has one."""
    if url is not None:
        session.add(Webhook(job_id=job_id, url=url))


class Outbox:
    """The webhooks of the ledger. Each is delivered at least once, or given up."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, job_id: str) -> Webhook | None:
        """Return the webhook of a job that has ended; None where it has none."""
        return next(iter(load(self._engine, select(Webhook).where(Webhook.job_id == job_id))), None)

    def claim(self, limit: int, lease_seconds: float) -> list[Webhook]:
        """Begin a try of the webhooks that are due, the oldest first."""
        now = datetime.now(UTC)
        due = select(Webhook.job_id).where(Webhook.due <= now).order_by(Webhook.due).limit(limit)
        job_ids = load(self._engine, due)
        if not job_ids:
            return []
        claimed = (
            update(Webhook)
            .where(Webhook.job_id.in_(job_ids), Webhook.due <= now)
            .values(attempts=Webhook.attempts + 1, due=now + timedelta(seconds=lease_seconds))
            .returning(Webhook)
        )
        with writing(self._engine) as session:
            return list(session.scalars(claimed, execution_options={"synchronize_session": False}))

    def record_delivered(self, webhook: Webhook, response_status: int) -> None:
        """Record that the receiver has accepted the call."""
        now = datetime.now(UTC)
        self._end_try(webhook, due=None, delivered=now, error="", response_status=response_status)

    def record_failed(
        self, webhook: Webhook, error: str, retry_seconds: float | None, response_status: int | None = None
    ) -> None:
        """Record a failed try: the next one comes after that time, or none where it is None."""
        now = datetime.now(UTC)
        due = None if retry_seconds is None else now + timedelta(seconds=retry_seconds)
        given_up = now if due is None else None
        self._end_try(webhook, due=due, given_up=given_up, error=error, response_status=response_status)

    def _end_try(self, webhook: Webhook, **values: datetime | str | int | None) -> None:
        """Change a webhook, unless its lease expired and another worker tries it again."""
        mine = and_(Webhook.job_id == webhook.job_id, Webhook.attempts == webhook.attempts, Webhook.due.is_not(None))
        with writing(self._engine) as session:
            session.execute(update(Webhook).where(mine).values(**values), execution_options=_PLAIN)


_PLAIN = {"synchronize_session": False}
