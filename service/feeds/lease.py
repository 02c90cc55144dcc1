"""Leases of a feed: what one process at a time does for it, its scan, and what follows its publications."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from sqlalchemy import Engine, or_, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.elements import ColumnElement

from service.feeds.tables import RegisteredFeed
from service.jobs.database import writing

log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Another process has taken the lease over."""


class FeedLease:
    """A lease of a registered feed, which a thread renews until the block ends.

    Until when it is held is what it is known by. A process that is killed loses it after `seconds`, and so does one
    that cannot reach the ledger for that long.

    Parameters
    ----------
    engine
        That of the ledger.
    feed
        The feed; another process may hold another lease of it.
    column
        The column of `RegisteredFeed` that has until when the lease is held.
    seconds
        How long it is held, if it is not renewed.

    Attributes
    ----------
    held : bool
        Whether this process has got it: False where another one has it.
    """

    def __init__(
        self, engine: Engine, feed: str, column: InstrumentedAttribute[datetime | None], seconds: float
    ) -> None:
        self.held = False
        self._engine = engine
        self._feed = feed
        self._column = column
        self._seconds = seconds
        self._until: datetime | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_closed, name=f"lease-{feed[:8]}", daemon=True)

    def __enter__(self) -> Self:
        self.held = self._set(or_(self._column.is_(None), self._column < datetime.now(UTC)), self._end())
        if self.held:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.held:
            self._closed.set()
            self._thread.join()
            self._set(self._column == self._until, None)

    def renew(self) -> None:
        """Renew the lease; to be called before what is not to happen twice.

        Raises
        ------
        LeaseLost
            Another process has taken it over.
        """
        with self._lock:
            if not self._set(self._column == self._until, self._end()):
                raise LeaseLost(self._feed)

    def _renew_until_closed(self) -> None:
        while not self._closed.wait(self._seconds / 4):
            try:
                self.renew()
            except LeaseLost:
                return
            except SQLAlchemyError as error:
                log.warning("feed %s: %s cannot be renewed: %s", self._feed, self._column.key, error)

    def _set(self, where: ColumnElement[bool], until: datetime | None) -> bool:
        query = update(RegisteredFeed).where(RegisteredFeed.name == self._feed, where)
        with writing(self._engine) as session:
            changed = session.connection().execute(query.values({self._column.key: until})).rowcount == 1
        if changed:
            self._until = until
        return changed

    def _end(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._seconds)
