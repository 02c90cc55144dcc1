"""The part of the ledger that web push has."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from model.core.errors import InputError
from model.core.warning_condition import Judgement
from service.feeds.alerts.recording import Found, evidence_of, judge
from service.feeds.alerts.transition import Change
from service.jobs.database import load, reading, writing
from service.jobs.ledger import Ledger
from service.web_push.tables import PushMessage, PushSubscription

AT_A_TIME: Final = 500
"""Subscriptions that are judged in one transaction: others that write wait for it."""

LATE: Final = timedelta(minutes=5)
"""How long after the onset a message may still arrive."""


class TooManySubscriptions(InputError):
    """As many places are subscribed to as may be."""

    code = "too-many-subscriptions"


class PushLedger:
    """Subscriptions and messages, in the same database as the jobs."""

    def __init__(self, ledger: Ledger) -> None:
        self.engine = ledger.engine

    def subscribe(self, wanted: PushSubscription, *, most: int, most_of_client: int) -> PushSubscription:
        """Record a subscription, and return it; where there is one of the same place, renew that.

        Raises
        ------
        TooManySubscriptions
            It would be one more than there may be in all, or of the client.
        """
        try:
            return self._subscribe(wanted, most=most, most_of_client=most_of_client)
        except IntegrityError:  # the same was asked for twice at once, and the other request came first
            return self._subscribe(wanted, most=most, most_of_client=most_of_client)

    def _subscribe(self, wanted: PushSubscription, *, most: int, most_of_client: int) -> PushSubscription:
        with writing(self.engine) as session:
            known = session.get(PushSubscription, wanted.id, with_for_update=True)
            if known is None:
                _check_room(session, wanted.client, most, most_of_client)
                session.add(wanted)
                return wanted
            if known.rule() != wanted.rule():
                session.delete(known)
                session.flush()
                session.add(wanted)
                return wanted
            known.p256dh, known.auth, known.client = wanted.p256dh, wanted.auth, wanted.client
            known.name, known.language, known.renewed = wanted.name, wanted.language, wanted.renewed
            return known

    def find(self, subscription_id: str) -> PushSubscription | None:
        """Return a subscription; None where there is none."""
        with reading(self.engine) as session:
            return session.get(PushSubscription, subscription_id)

    def of_feed(self, feed: str) -> list[PushSubscription]:
        """Return the subscriptions of a feed."""
        query = select(PushSubscription).where(PushSubscription.feed == feed).order_by(PushSubscription.id)
        return load(self.engine, query)

    def unsubscribe(self, subscription_id: str) -> bool:
        """Delete a subscription with its messages; return whether there was one."""
        gone = delete(PushSubscription).where(PushSubscription.id == subscription_id)
        with writing(self.engine) as session:
            return bool(session.connection().execute(gone).rowcount)

    def delete_endpoint(self, endpoint: str) -> None:
        """Delete every subscription of a browser that no longer has one at its push service."""
        with writing(self.engine) as session:
            session.connection().execute(delete(PushSubscription).where(PushSubscription.endpoint == endpoint))

    def delete_outdated(self, renewed_before: datetime) -> None:
        """Delete the subscriptions whose page was last opened before a time, and messages that are over."""
        with writing(self.engine) as session:
            session.connection().execute(delete(PushSubscription).where(PushSubscription.renewed < renewed_before))
            session.connection().execute(delete(PushMessage).where(PushMessage.expires < datetime.now(UTC)))

    def delete_of_others(self, feeds: Collection[str]) -> None:
        """Delete the subscriptions of other feeds than these with their messages."""
        with writing(self.engine) as session:
            session.connection().execute(delete(PushSubscription).where(PushSubscription.feed.not_in(feeds)))

    def record(self, found: Mapping[str, Found]) -> int:
        """Record what was found for subscriptions, by their ids; return how many are told."""
        ids, told = sorted(found), 0
        for start in range(0, len(ids), AT_A_TIME):
            query = select(PushSubscription).where(PushSubscription.id.in_(ids[start : start + AT_A_TIME]))
            with writing(self.engine) as session:
                for subscription in session.scalars(query.with_for_update()):
                    told += _record(session, subscription, found[subscription.id])
        return told

    def delete_message(self, message_id: str) -> None:
        """Delete a message of which nothing is left to tell."""
        with writing(self.engine) as session:
            session.connection().execute(delete(PushMessage).where(PushMessage.id == message_id))


def _check_room(session: Session, client: str, most: int, most_of_client: int) -> None:
    count = select(func.count()).select_from(PushSubscription)
    if (session.scalar(count.where(PushSubscription.client == client)) or 0) >= most_of_client:
        what = f"{most_of_client} places are subscribed to, as many as may be"
        raise TooManySubscriptions(what, where="subscription", hint="Remove the bell of another place")
    if (session.scalar(count) or 0) >= most:
        what = "as many places are subscribed to as this service permits"
        hint = "The operator may raise ECHOCAST_MAX_PUSH_SUBSCRIPTIONS"
        raise TooManySubscriptions(what, where="subscription", hint=hint)


def _record(session: Session, subscription: PushSubscription, found: Found) -> int:
    judged = judge(subscription, subscription.rule(), found, datetime.now(UTC))
    if judged is None:
        return 0
    judgement, change = judged
    if change is not Change.RAISED or judgement.onset is None:
        return 0
    parts = (subscription.id, found.reference_time.isoformat(), found.revision)
    message_id = hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]
    content = _content(subscription, found, judgement)
    expires = datetime.now(UTC) + timedelta(minutes=judgement.lead_minutes or 0.0) + LATE
    session.add(PushMessage(id=message_id, subscription_id=subscription.id, content=content, expires=expires))
    return 1


def _content(subscription: PushSubscription, found: Found, judgement: Judgement) -> dict[str, Any]:
    """Return what the service worker of the page makes a notification of."""
    place = f"{round(subscription.lat, 4)},{round(subscription.lon, 4)}"
    return {
        "id": subscription.id,
        "name": subscription.name,
        "language": subscription.language,
        "address": f"?feed={quote(subscription.feed)}&place={place},{quote(subscription.name)}",
        "limit": subscription.rain_rate,
        "of_probability": subscription.probability is not None,
        "reference_time": found.reference_time.isoformat(),
        **evidence_of(judgement),
    }
