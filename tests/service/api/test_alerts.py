"""Alerts over HTTP: their states, and their events as a stream. No secret leaves."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from model.core.warning_condition import Judgement
from service.feeds.alerts.recording import Found
from service.feeds.arrivals import DecodedFrame
from service.feeds.tables import ArrivedFile

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
FEEDS = """
[[feed]]
name = "north"
folder = "/radar"
clock = "frames"
[[feed.alert]]
name = "town"
lon = 5
lat = 52
rain_rate = 5
within = 50
severity = "severe"
channels = ["https://duty.example.org/hook?word=hidden", "mailtos://me:hidden@example.org"]
[[feed.alert]]
name = "data"
max_data_age = 20
[[feed]]
name = "south"
folder = "/radar"
"""


@pytest.fixture(autouse=True)
def _feeds(settings, context):
    settings.feeds_path.write_text(FEEDS)
    yield
    for alert in context.alerts.alerts():
        context.alerts.remove(alert)
    settings.feeds_path.unlink()


@pytest.fixture
def judge(context):
    """Record that a rule holds, or not, by the nowcast of so many minutes after noon."""

    def record(minutes, holds, rule="town", feed="north"):
        found = context.feeds().find("north")
        time = NOON + timedelta(minutes=minutes)
        judgement = Judgement(
            holds=holds, onset=time + timedelta(minutes=10) if holds else None, lead_minutes=10, rain_rate_mm_h=7.126
        )
        [of_rule] = [each for each in found.alert if each.name == rule]
        return context.alerts.record(feed, of_rule, Found(reference_time=time, to_raise=judgement, to_stay=judgement))

    return record


@pytest.fixture
def newest_frame(context):
    """Record that a frame of so many minutes after noon has arrived."""

    def record(minutes):
        time = NOON + timedelta(minutes=minutes)
        frame = DecodedFrame(valid_time=time, key="k", digest="d", grid="g", pixels=4, size=1, coverage=1.0)
        file = ArrivedFile(name=f"{minutes}.h5", size=1, modified_ns=1)
        context.feed_ledger.record_frames("north", file, [frame])

    yield record
    context.feed_ledger.delete_frames("north", datetime(2100, 1, 1, tzinfo=UTC))


@contextmanager
def stream(gateway, path="/v1/alerts/events", **headers):
    """An open stream; yields an iterator of its events."""
    with gateway.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield parse(response.iter_lines())


def parse(lines):
    event = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line:
            event[name] = value
        else:
            if "data" in event:
                yield event["id"], json.loads(event["data"])
            event = {}


def test_a_feed_tells_its_rules_before_they_are_judged(gateway):
    told = gateway.get("/v1/feeds/north/alerts")
    assert told.headers["cache-control"] == "no-store"
    assert [(rule["rule"], rule["state"], rule["watches"]) for rule in told.json()["alerts"]] == [
        ("town", "unknown", "point"),
        ("data", "unknown", "feed"),
    ]
    assert told.json()["alerts"][0]["channels"] == ["https", "mailtos"]
    assert gateway.get("/v1/feeds/south/alerts").json()["alerts"] == []
    assert gateway.get("/v1/feeds/atlantis/alerts").json()["type"] == "/problems/no-such-feed"


def test_states_and_events_are_told_without_secrets(gateway, judge, newest_frame):
    newest_frame(5)
    judge(0, False)
    judge(5, True)
    told = gateway.get("/v1/feeds/north/alerts")
    [town, _] = told.json()["alerts"]
    assert (town["state"], town["severity"], town["rain_rate"]) == ("raised", "severe", 7.13)
    assert (town["reference_time"], town["onset"]) == ("2026-06-01T12:05:00Z", "2026-06-01T12:15:00Z")
    [event, *_] = told.json()["events"]
    assert (event["change"], event["title"]) == ("raised", "town raised (severe), feed north")
    assert [(each["channel"], each["state"]) for each in event["messages"]] == [
        ("https", "pending"),
        ("mailtos", "pending"),
    ]
    assert "hidden" not in told.text
    assert "duty.example.org" not in told.text


def test_an_alert_that_nobody_judges_any_more_is_not_told_as_cleared(gateway, judge, newest_frame):
    judge(0, False)
    newest_frame(10)
    assert gateway.get("/v1/feeds/north/alerts").json()["alerts"][0]["state"] == "cleared"
    newest_frame(45)
    town = gateway.get("/v1/feeds/north/alerts").json()["alerts"][0]
    assert (town["state"], town["reason"]) == ("unknown", "the newest nowcast is 45 min old")


def test_a_client_that_resumes_gets_what_it_missed_and_nothing_twice(gateway, judge):
    with stream(gateway) as events:
        [raised] = judge(0, True)
        number, event = next(events)
        assert (number, event["id"], event["change"]) == (str(raised.number), raised.id, "raised")
    judge(5, False)
    judge(10, True)
    with stream(gateway, **{"Last-Event-ID": number}) as events:
        assert [next(events)[1]["change"] for _ in range(2)] == ["cleared", "raised"]
        judge(15, False)
        assert next(events)[1]["reference_time"] == "2026-06-01T12:15:00Z"


def test_a_stream_may_be_of_one_feed(gateway, judge):
    with stream(gateway, "/v1/alerts/events?feed=south", **{"Last-Event-ID": "0"}) as events:
        judge(0, True)
        judge(0, True, feed="south")
        assert next(events)[1]["feed"] == "south"
    response = gateway.get("/v1/alerts/events?feed=atlantis")
    assert (response.status_code, response.json()["type"]) == (404, "/problems/no-such-feed")
    assert gateway.get("/v1/alerts/events", headers={"Last-Event-ID": "x"}).status_code == 422
    assert gateway.head("/v1/alerts/events").headers["content-type"].startswith("text/event-stream")


def test_metrics_count_states_and_events(gateway, judge):
    judge(0, True)
    text = gateway.get("/metrics").text
    assert 'echocast_alerts{state="raised"} 1.0' in text
    assert 'echocast_alert_events_total{change="raised"}' in text
