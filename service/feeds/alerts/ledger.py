"""The alerts' part of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from service.feeds.alerts import recording
from service.feeds.alerts.recording import Found
from service.feeds.alerts.rule import AlertRule
from service.feeds.alerts.tables import Alert, AlertDelivery, AlertEvent
from service.jobs.database import load, reading, writing
from service.jobs.ledger import Ledger
from service.metrics.instruments import ALERT_EVENTS

TRIES: Final = 8
"""Processes that record events at the same moment want the same number; all but one try again."""


class AlertLedger:
    """States, events and messages of alerts, in the same database as the jobs."""

    def __init__(self, ledger: Ledger) -> None:
        self.engine = ledger.engine

    def record(self, feed: str, rule: AlertRule, found: Found) -> list[AlertEvent]:
        """Record what a rule says by a nowcast, or of its feed; return the events that follow."""
        return self._recorded(lambda session: recording.record_found(session, feed, rule, found))

    def record_unknown(self, feed: str, rule: AlertRule, reason: str | None) -> list[AlertEvent]:
        """Record that a rule cannot be judged; None: that it still cannot, if so."""
        return self._recorded(lambda session: recording.record_unknown(session, feed, rule, reason))

    def remove(self, alert: Alert) -> list[AlertEvent]:
        """Delete the alert of a rule that is no longer there."""
        return self._recorded(lambda session: recording.remove(session, alert))

    def _recorded(self, change: Callable[[Session], list[AlertEvent]]) -> list[AlertEvent]:
        for left in reversed(range(TRIES)):
            try:
                with writing(self.engine) as session:
                    events = change(session)
                break
            except IntegrityError:
                if not left:
                    raise
        for event in events:
            ALERT_EVENTS.labels(event.change.value).inc()
        return events

    def alerts(self, feed: str | None = None) -> list[Alert]:
        """Return the states of all alerts, or of those of a feed."""
        query = select(Alert).order_by(Alert.feed, Alert.rule)
        return load(self.engine, query if feed is None else query.where(Alert.feed == feed))

    def event(self, event_id: str) -> AlertEvent | None:
        """Return an event; None where there is none."""
        with reading(self.engine) as session:
            return session.get(AlertEvent, event_id)

    def events(self, feed: str, limit: int) -> list[AlertEvent]:
        """Return the newest events of a feed, the newest first."""
        query = select(AlertEvent).where(AlertEvent.feed == feed).order_by(AlertEvent.number.desc())
        return load(self.engine, query.limit(limit))

    def events_after(self, number: int, feed: str | None, limit: int) -> list[AlertEvent]:
        """Return the events after a number, in order; of all feeds, or of one."""
        query = select(AlertEvent).where(AlertEvent.number > number).order_by(AlertEvent.number)
        return load(self.engine, (query if feed is None else query.where(AlertEvent.feed == feed)).limit(limit))

    def newest_number(self) -> int:
        """Return the number of the newest event; 0 before the first one."""
        with reading(self.engine) as session:
            return session.scalar(select(func.max(AlertEvent.number))) or 0

    def deliveries(self, event_ids: Collection[str]) -> list[AlertDelivery]:
        """Return the messages about events."""
        query = select(AlertDelivery).where(AlertDelivery.event_id.in_(event_ids))
        return load(self.engine, query.order_by(AlertDelivery.id))

    def count_states(self) -> dict[str, int]:
        """Return how many alerts have each state."""
        with reading(self.engine) as session:
            rows = session.execute(select(Alert.state, func.count()).group_by(Alert.state))
            return {state.value: count for state, count in rows}

    def delete_events(self, before: datetime) -> None:
        """Delete events from before a time with their messages; not the newest one, after which others are counted."""
        self._delete_events(AlertEvent.occurred < before)

    def delete_events_of_others(self, feeds: Collection[str]) -> None:
        """Delete events of other feeds than these with their messages; not the newest one."""
        self._delete_events(AlertEvent.feed.not_in(feeds))

    def _delete_events(self, where: ColumnElement[bool]) -> None:
        newest = self.newest_number()
        with writing(self.engine) as session:
            session.connection().execute(delete(AlertEvent).where(where, AlertEvent.number < newest))
