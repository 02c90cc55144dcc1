"""What becomes of alerts: each change is one event, told once. What databases do differently, on both of them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from model.core.warning_condition import Judgement
from service.feeds.alerts.ledger import AlertLedger
from service.feeds.alerts.recording import Found
from service.feeds.alerts.rule import AlertRule
from service.feeds.alerts.tables import Alert, AlertDelivery, AlertEvent
from service.feeds.alerts.transition import AlertState
from service.jobs.ledger import Ledger
from service.jobs.outbox import Outbox
from tests.databases import put_empty_ledger

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOOK = "https://duty.example.org/rain"
NOW = datetime.now(UTC)
QUIET = f"{NOW - timedelta(hours=3):%H:%M}-{NOW + timedelta(hours=3):%H:%M}"


@pytest.fixture
def alerts(tmp_path: Path) -> Iterator[AlertLedger]:
    opened = Ledger(put_empty_ledger(tmp_path / "ledger.sqlite"))
    yield AlertLedger(opened)
    opened.close()


@pytest.fixture
def anywhere(ledger: Ledger) -> AlertLedger:
    """On SQLite and PostgreSQL."""
    return AlertLedger(ledger)


def a_rule(**keys) -> AlertRule:
    return AlertRule(**{"name": "town", "lon": 5, "lat": 52, "rain_rate": 5, "within": 60, "channels": [HOOK], **keys})


def found(minutes: int, holds: bool | None, *, stays: bool | None = None, revision: int = 0) -> Found:
    """What a nowcast says from so many minutes after noon; `stays`: by the limits to clear, where they differ."""
    reason = "no data" if holds is None else ""
    to_raise = Judgement(holds=holds, reason=reason, rain_rate_mm_h=6.0)
    to_stay = to_raise if stays is None else Judgement(holds=stays)
    time = NOON + timedelta(minutes=minutes)
    return Found(reference_time=time, revision=revision, to_raise=to_raise, to_stay=to_stay)


def changes(alerts: AlertLedger) -> list[str]:
    return [event.change.value for event in reversed(alerts.events("north", 100))]


def state(alerts: AlertLedger) -> Alert:
    [alert] = alerts.alerts("north")
    return alert


def messages(alerts: AlertLedger) -> list[tuple[str, str]]:
    """The messages in the order of their events: what each says, and what has become of it."""
    said = {event.id: event.change.value for event in reversed(alerts.events("north", 100))}
    of_events = {delivery.event_id: delivery for delivery in alerts.deliveries(said)}
    return [(said[event], _outcome(of_events[event])) for event in said if event in of_events]


def _outcome(delivery: AlertDelivery) -> str:
    if delivery.withdrawn:
        return "withdrawn"
    return "deferred" if delivery.deferred else "due"


def test_an_alert_is_raised_once_and_cleared_once(alerts: AlertLedger) -> None:
    for minutes, holds in enumerate([False, True, True, False, False, True]):
        alerts.record("north", a_rule(), found(5 * minutes, holds))
    assert changes(alerts) == ["raised", "cleared", "raised"]
    [newest, *_] = alerts.events("north", 1)
    assert (newest.number, newest.reference_time, newest.severity) == (3, NOON + timedelta(minutes=25), "moderate")
    assert newest.title == "town raised (moderate), feed north"
    assert "up to 6.0 mm/h" in newest.message
    assert state(alerts).state is AlertState.RAISED


def test_a_nowcast_that_is_judged_again_changes_nothing(anywhere: AlertLedger) -> None:
    for _ in range(2):
        anywhere.record("north", a_rule(), found(0, True))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: anywhere.record("north", a_rule(), found(5, False)), range(8)))
    assert changes(anywhere) == ["raised", "cleared"]
    assert len(messages(anywhere)) == 2


def test_rules_that_are_judged_at_the_same_moment_get_numbers_without_a_gap(anywhere: AlertLedger) -> None:
    rules = [a_rule(name=f"town{number}") for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda rule: anywhere.record("north", rule, found(0, True)), rules))
    assert [event.number for event in anywhere.events_after(0, None, 100)] == [1, 2, 3, 4, 5, 6]


def test_a_late_nowcast_changes_nothing(alerts: AlertLedger) -> None:
    alerts.record("north", a_rule(), found(10, True))
    assert alerts.record("north", a_rule(), found(5, False)) == []
    assert state(alerts).state is AlertState.RAISED


def test_a_raised_alert_clears_by_its_own_limits(alerts: AlertLedger) -> None:
    alerts.record("north", a_rule(), found(0, True))
    assert alerts.record("north", a_rule(), found(5, False, stays=True)) == []
    alerts.record("north", a_rule(), found(10, False, stays=False))
    assert changes(alerts) == ["raised", "cleared"]
    assert alerts.record("north", a_rule(), found(15, False, stays=True)) == [], "it is not raised by them"


def test_several_nowcasts_in_a_row_raise_and_clear(alerts: AlertLedger) -> None:
    rule = a_rule(raise_after=2, clear_after=3)
    told = [bool(alerts.record("north", rule, found(n, holds))) for n, holds in enumerate([True, False, True, True])]
    assert told == [False, False, False, True]
    spoken = [False, False, True, False, False, None, False, False, False]
    told = [bool(alerts.record("north", rule, found(10 + n, holds))) for n, holds in enumerate(spoken)]
    assert told == [False] * 8 + [True]


def test_what_cannot_be_judged_does_not_clear_and_is_not_dry(alerts: AlertLedger) -> None:
    alerts.record("north", a_rule(), found(0, True))
    assert alerts.record("north", a_rule(), found(5, None)) == []
    assert state(alerts).state is AlertState.RAISED
    assert state(alerts).unknown_since is not None
    alerts.record("north", a_rule(), found(10, False))
    alerts.record("north", a_rule(), found(15, None))
    assert (state(alerts).state, state(alerts).reason) == (AlertState.UNKNOWN, "no data")
    assert changes(alerts) == ["raised", "cleared"]


def test_that_a_rule_cannot_be_judged_is_told_after_a_while_and_so_is_its_end(alerts: AlertLedger) -> None:
    rule = a_rule(unknown_after=30)
    assert alerts.record_unknown("north", rule, "the newest nowcast is 40 min old") == []
    passed = datetime.now(UTC) - timedelta(minutes=31)
    with alerts.engine.begin() as connection:
        connection.execute(update(Alert).values(unknown_since=passed))
    [told] = alerts.record_unknown("north", rule, None)
    assert "not known" in told.message
    assert "40 min old" in told.message
    assert alerts.record_unknown("north", rule, None) == []
    alerts.record("north", rule, found(0, False))
    assert changes(alerts) == ["unknown", "known"]
    assert state(alerts).unknown_since is None


def test_a_frame_that_was_issued_again_corrects(alerts: AlertLedger) -> None:
    alerts.record("north", a_rule(), found(0, False))
    alerts.record("north", a_rule(), found(5, True))
    [event] = alerts.record("north", a_rule(), found(5, False, stays=True, revision=1))
    assert (event.change.value, event.revision) == ("cleared", 1), "it was never to be raised"
    assert "issued again" in event.message
    [event] = alerts.record("north", a_rule(), found(5, True, revision=2))
    assert event.change.value == "raised"
    assert alerts.record("north", a_rule(), found(5, None, revision=3)) == []
    assert state(alerts).state is AlertState.RAISED


def test_a_rule_that_changes_is_judged_anew_and_stays_raised_until_then(alerts: AlertLedger) -> None:
    alerts.record("north", a_rule(), found(5, True))
    other = a_rule(rain_rate=50)
    assert alerts.record_unknown("north", other, None) == []
    assert state(alerts).state is AlertState.RAISED
    assert [event.change.value for event in alerts.record("north", other, found(5, False))] == ["cleared"]
    assert [event.change.value for event in alerts.record("north", a_rule(), found(5, True))] == ["raised"]


def test_a_rule_that_is_removed_is_cleared_in_its_channels(anywhere: AlertLedger) -> None:
    anywhere.record("north", a_rule(quiet_hours=QUIET), found(0, True))
    [event] = anywhere.remove(state(anywhere))
    assert "no longer in the file" in event.message
    assert messages(anywhere)[-1] == ("cleared", "due")
    assert anywhere.alerts() == []
    anywhere.record("north", a_rule(), found(0, False))
    assert anywhere.remove(state(anywhere)) == []


def test_in_quiet_hours_only_what_is_still_so_is_told_later(alerts: AlertLedger) -> None:
    rule = a_rule(quiet_hours=QUIET)
    alerts.record("north", rule, found(0, True))
    assert messages(alerts) == [("raised", "deferred")]
    assert Outbox(alerts.engine, AlertDelivery).claim(10, 60) == []
    alerts.record("north", rule, found(5, False))
    alerts.record("north", rule, found(10, True))
    assert messages(alerts) == [("raised", "withdrawn"), ("cleared", "withdrawn"), ("raised", "deferred")]
    assert changes(alerts) == ["raised", "cleared", "raised"], "the stream has all"


def test_repeats_keep_a_minimum_time_and_all_clears_do_not_wait(anywhere: AlertLedger) -> None:
    rule = a_rule(min_interval=30)
    for minutes, holds in enumerate([True, False, True]):
        anywhere.record("north", rule, found(minutes, holds))
    assert messages(anywhere) == [("raised", "due"), ("cleared", "due"), ("raised", "deferred")]
    first, last = (anywhere.deliveries([anywhere.events("north", 3)[n].id])[0] for n in (2, 0))
    assert last.due - first.due == timedelta(minutes=30)
    anywhere.record("north", rule, found(9, False))
    assert messages(anywhere)[2:] == [("raised", "withdrawn"), ("cleared", "withdrawn")]


def test_old_events_go_with_their_messages_but_for_the_newest(anywhere: AlertLedger) -> None:
    for minutes, holds in enumerate([True, False, True]):
        anywhere.record("north", a_rule(), found(minutes, holds))
    with anywhere.engine.begin() as connection:
        connection.execute(update(AlertEvent).values(occurred=NOON))
    anywhere.delete_events(NOON + timedelta(days=1))
    assert [event.number for event in anywhere.events_after(0, None, 10)] == [3]
    assert len(messages(anywhere)) == 1
    anywhere.record("north", a_rule(), found(9, False))
    assert anywhere.newest_number() == 4
