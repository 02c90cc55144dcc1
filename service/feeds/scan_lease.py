"""The lease of a scan: while one process reads the files of a feed, no other reads them."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self
from uuid import uuid4

from sqlalchemy import Engine, and_, or_, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.elements import ColumnElement

from service.feeds.tables import RegisteredFeed
from service.jobs.database import writing

log = logging.getLogger(__name__)


class ScanLease:
    """The lease of a registered feed, which a thread renews until the block ends.

    A process that is killed loses it after `seconds`; one that cannot reach the ledger reads on, as what it records is
    recorded once.

    Attributes
    ----------
    held : bool
        Whether this process has it: False where another one scans the feed.
    """

    def __init__(self, engine: Engine, feed: str, seconds: float) -> None:
        self.held = False
        self._engine = engine
        self._feed = feed
        self._seconds = seconds
        self._token = uuid4().hex
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_closed, name=f"scan-{feed[:8]}", daemon=True)

    def __enter__(self) -> Self:
        free = or_(RegisteredFeed.scan_lease_until.is_(None), RegisteredFeed.scan_lease_until < datetime.now(UTC))
        self.held = self._update(free, self._token, self._until())
        if self.held:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.held:
            self._closed.set()
            self._thread.join()
            self._update(RegisteredFeed.scan_lease == self._token, None, None)

    def _renew_until_closed(self) -> None:
        while not self._closed.wait(self._seconds / 4):
            try:
                self._update(RegisteredFeed.scan_lease == self._token, self._token, self._until())
            except SQLAlchemyError as error:
                log.warning("feed %s: the lease of the scan cannot be renewed: %s", self._feed, error)

    def _update(self, where: ColumnElement[bool], token: str | None, until: datetime | None) -> bool:
        values = {"scan_lease": token, "scan_lease_until": until}
        query = update(RegisteredFeed).where(and_(RegisteredFeed.name == self._feed, where)).values(values)
        with writing(self._engine) as session:
            return session.connection().execute(query).rowcount == 1

    def _until(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._seconds)
