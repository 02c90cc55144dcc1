"""What a judgement changes in the ledger, in one transaction: the state of the alert, its event, and the messages.

The row of the alert is locked meanwhile, and a nowcast by which it was judged before changes nothing: each event is
recorded once, whoever judges it, and however often.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from model.core.warning_condition import Judgement
from service.feeds.alerts import messages
from service.feeds.alerts.rule import AlertRule
from service.feeds.alerts.tables import Alert, AlertDelivery, AlertEvent, Evidence, Judged
from service.feeds.alerts.transition import AlertState, Change, Standing, advance

PAIRS: Final = ({Change.RAISED, Change.CLEARED}, {Change.UNKNOWN, Change.KNOWN})
"""Changes of which the second takes back the first."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a rule says by one nowcast, or of the feed at one time.

    `to_raise` judges by the limits that raise the alert, `to_stay` by those below which a raised one clears.
    """

    reference_time: datetime
    revision: int = 0
    to_raise: Judgement
    to_stay: Judgement


def record_found(session: Session, feed: str, rule: AlertRule, found: Found) -> list[AlertEvent]:
    """Record what a rule says; return the events that follow. Older than the newest judgement, it changes nothing."""
    now = datetime.now(UTC)
    alert = _taken_up(session, feed, rule, now)
    judged = judge(alert, rule, found, now)
    if judged is None:
        return []
    judgement, change_of_state = judged
    changes = [_change_of_knowledge(alert, rule, judgement.holds, now), change_of_state]
    alert.reason, alert.evidence = judgement.reason, evidence_of(judgement)
    return _tell(session, alert, rule, [change for change in changes if change], judgement, now)


def judge(judged: Judged, rule: AlertRule, found: Found, now: datetime) -> tuple[Judgement, Change | None] | None:
    """Bring a state up to what a rule says; return the judgement that counts, and how the state has changed.

    None: it was judged by this nowcast, or by a newer one, before.
    """
    newest = None if judged.reference_time is None else (judged.reference_time, judged.revision)
    if newest is not None and (found.reference_time, found.revision) <= newest:
        return None
    corrects = judged.reference_time == found.reference_time
    before = judged.previous if corrects else judged.standing
    judgement = found.to_stay if before.state is AlertState.RAISED else found.to_raise
    after = advance(before, judgement.holds, raise_after=rule.raise_after, clear_after=rule.clear_after)
    if judged.state is AlertState.RAISED and after.state is AlertState.UNKNOWN:
        after = Standing(AlertState.RAISED)
    change = _change_of_state(judged.state, after.state)
    _set_standing(judged, after, now)
    judged.previous_state, judged.previous_streak = before.state, before.streak
    judged.reference_time, judged.revision = found.reference_time, found.revision
    return judgement, change


def record_unknown(session: Session, feed: str, rule: AlertRule, reason: str | None) -> list[AlertEvent]:
    """Record that a rule cannot be judged; None: that it still cannot, if so, for the reason of before.

    A raised alert stays raised.
    """
    now = datetime.now(UTC)
    alert = _taken_up(session, feed, rule, now)
    if reason is None and alert.unknown_since is None:
        return []
    reason = alert.reason if reason is None else reason
    judgement = Judgement(holds=None, reason=reason)
    change = _change_of_knowledge(alert, rule, None, now)
    if alert.state is not AlertState.RAISED:
        _set_standing(alert, Standing(AlertState.UNKNOWN, alert.streak), now)
    alert.reason = reason
    return _tell(session, alert, rule, [change] if change else [], judgement, now)


def remove(session: Session, alert: Alert) -> list[AlertEvent]:
    """Delete the alert of a rule that is no longer there; clear it before, where it is raised or said to be unknown."""
    current = session.get(Alert, (alert.feed, alert.rule), with_for_update=True)
    if current is None:
        return []
    now, events = datetime.now(UTC), []
    changes = [Change.CLEARED] if current.state is AlertState.RAISED else []
    changes += [Change.KNOWN] if current.unknown_told else []
    for change in changes:
        event = _add_event(session, current, change, messages.REMOVED, now, reference_time=now)
        for number, url in enumerate(current.channels):
            _post(session, event, number, url, due=now, now=now)
        events.append(event)
    session.delete(current)
    return events


def evidence_of(judgement: Judgement) -> Evidence:
    """Return what a judgement rests on, as it is stored."""
    evidence = Evidence()
    if judgement.onset is not None and judgement.lead_minutes is not None:
        evidence["onset"] = judgement.onset.isoformat()
        evidence["lead_minutes"] = round(judgement.lead_minutes, 1)
    if judgement.rain_rate_mm_h is not None:
        evidence["rain_rate"] = round(judgement.rain_rate_mm_h, 2)
    if judgement.probability is not None:
        evidence["probability"] = round(judgement.probability, 3)
    return evidence


def _taken_up(session: Session, feed: str, rule: AlertRule, now: datetime) -> Alert:
    """Return the alert of a rule, locked; after a change of the rule it is judged anew, and stays raised until then."""
    alert = session.get(Alert, (feed, rule.name), with_for_update=True)
    digest = rule.digest()
    if alert is None:
        alert = Alert(
            feed=feed, rule=rule.name, digest=digest, severity=rule.severity, channels=list(rule.channels), since=now
        )
        session.add(alert)
        session.flush()
    if alert.digest != digest:
        alert.digest, alert.taken_up, alert.streak = digest, now, 0
        alert.reference_time, alert.revision = None, 0
    alert.severity, alert.channels = rule.severity, list(rule.channels)
    return alert


def _set_standing(judged: Judged, after: Standing, now: datetime) -> None:
    if judged.state is not after.state:
        judged.since = now
    judged.state, judged.streak = after.state, after.streak


def _change_of_state(before: AlertState, after: AlertState) -> Change | None:
    if after is AlertState.RAISED and before is not AlertState.RAISED:
        return Change.RAISED
    return Change.CLEARED if before is AlertState.RAISED and after is AlertState.CLEARED else None


def _change_of_knowledge(alert: Alert, rule: AlertRule, holds: bool | None, now: datetime) -> Change | None:
    """Record since when a rule cannot be judged; return the change that is to be told."""
    if holds is not None:
        told, alert.unknown_told, alert.unknown_since = alert.unknown_told, False, None
        return Change.KNOWN if told else None
    alert.unknown_since = alert.unknown_since or now
    if rule.unknown_after is None or alert.unknown_told:
        return None
    if now - alert.unknown_since < timedelta(minutes=rule.unknown_after):
        return None
    alert.unknown_told = True
    return Change.UNKNOWN


def _tell(
    session: Session, alert: Alert, rule: AlertRule, changes: Sequence[Change], judgement: Judgement, now: datetime
) -> list[AlertEvent]:
    """Record an event for each change, and its messages."""
    events = []
    for change in changes:
        text = messages.text_of(rule, change, judgement, alert.reference_time, alert.revision)
        of_state = change in PAIRS[0] and alert.reference_time is not None
        reference_time = alert.reference_time if of_state and alert.reference_time is not None else now
        event = _add_event(session, alert, change, text, now, reference_time=reference_time)
        for number, url in enumerate(rule.channels):
            due = _due(session, rule, event, url, now)
            _post(session, event, number, url, due=due, now=now)
        events.append(event)
    return events


def _add_event(
    session: Session, alert: Alert, change: Change, text: str, now: datetime, *, reference_time: datetime
) -> AlertEvent:
    parts = (alert.feed, alert.rule, alert.taken_up, reference_time, alert.revision, change.value)
    event = AlertEvent(
        id=hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32],
        number=(session.scalar(select(func.max(AlertEvent.number))) or 0) + 1,
        feed=alert.feed,
        rule=alert.rule,
        change=change,
        severity=alert.severity,
        reference_time=reference_time,
        revision=alert.revision,
        title=messages.title_of(alert.feed, alert.rule, change, alert.severity),
        message=text,
        evidence=alert.evidence,
        occurred=now,
    )
    session.add(event)
    session.flush()
    return event


def _due(session: Session, rule: AlertRule, event: AlertEvent, url: str, now: datetime) -> datetime | None:
    """Return when a message may be sent to a channel; None: never, as it takes back one that was not sent."""
    of_pair = next(pair for pair in PAIRS if event.change in pair)
    of_rule = select(AlertEvent.id).where(
        AlertEvent.feed == event.feed, AlertEvent.rule == event.rule, AlertEvent.change.in_(of_pair)
    )
    waits = update(AlertDelivery).where(
        AlertDelivery.event_id.in_(of_rule),
        AlertDelivery.url == url,
        AlertDelivery.deferred,
        AlertDelivery.attempts == 0,
        AlertDelivery.due.is_not(None),
    )
    withdrawn = session.execute(
        waits.values(withdrawn=now, due=None).returning(AlertDelivery.id),
        execution_options={"synchronize_session": False},
    ).all()
    if withdrawn:
        return None
    due = now
    if event.change is Change.RAISED and rule.min_interval:
        last = session.scalar(
            select(func.max(func.coalesce(AlertDelivery.delivered, AlertDelivery.due)))
            .join(AlertEvent, AlertDelivery.event_id == AlertEvent.id)
            .where(AlertEvent.feed == event.feed, AlertEvent.rule == event.rule, AlertEvent.change == Change.RAISED)
            .where(AlertDelivery.url == url)
        )
        if last is not None:
            due = max(due, _utc(last) + timedelta(minutes=rule.min_interval))
    return (rule.quiet.end_after(due) if rule.quiet else None) or due


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _post(session: Session, event: AlertEvent, number: int, url: str, *, due: datetime | None, now: datetime) -> None:
    """Record a message; without `due` it is withdrawn from the start."""
    session.add(
        AlertDelivery(
            id=f"{event.id}-{number}",
            event_id=event.id,
            url=url,
            due=due,
            deferred=due is not None and due > now,
            withdrawn=now if due is None else None,
        )
    )
