"""Feeds as server-sent events: what happens to them as it happens, and all of it again after a break."""

import json
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from threading import Event

import httpx

from service.api.feeds import events as feed_events
from service.api.feeds.feed_snapshot import FeedSnapshot
from service.api.watcher import POLL_SECONDS
from service.feeds.health import feed_health
from service.feeds.overview import feed_states
from tests.patience import WAIT_SECONDS
from tests.service.api.conftest import NO_REDIS

PATH = "/v1/feeds/events"


@contextmanager
def stream(gateway, path=PATH):
    """An open stream; yields an iterator of its events: name and data."""
    with gateway.stream("GET", path) as response:
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
                yield event["event"], json.loads(event["data"])
            event = {}


def until(events, condition):
    """Return the changes up to the event that meets a condition, and the feed in it."""
    changes = set()
    for name, event in events:
        changes |= set(event.get("changes", ()))
        if name == "feed" and condition(event["feed"]):
            return changes, event["feed"]
    raise AssertionError("the stream has ended")


def test_the_first_event_has_the_feed_as_the_list_has_it(gateway, published):
    with stream(gateway) as events:
        name, event = next(events)
    assert (name, event["changes"]) == ("feed", [])
    assert [event["feed"]] == gateway.get("/v1/feeds").json()["feeds"]
    assert event["feed"]["latest"]["reference_time"] == "2026-06-01T12:00:00Z"


def test_frames_nowcasts_and_states_are_told_as_they_change(gateway, publish, finished, feed, arrive):
    arrive(-65)
    with stream(gateway) as events:
        until(events, lambda found: found["latest"] is None and found["newest_frame"] == "2026-06-01T10:55:00Z")
        arrive(-50)
        assert "frame" in until(events, lambda found: found["newest_frame"] == "2026-06-01T11:10:00Z")[0]
        publish(finished)
        changes, found = until(events, lambda found: found["latest"] is not None)
        assert changes >= {"frame", "nowcast"}
        assert found["latest"]["status"] == "successful"
        arrive(5, coverage=0.5)
        changes, found = until(events, lambda found: found["status"] == "partial")
        assert changes == {"frame", "status"}
        assert "the newest frame has data on 50%" in found["reason"]
        arrive(5, content="b")
        assert until(events, lambda found: found["status"] == "ok")[0] == {"frame", "status"}


def test_a_client_that_comes_back_has_missed_nothing(gateway, published, arrive):
    with stream(gateway) as events:
        next(events)
    arrive(5)
    with stream(gateway) as events:
        until(events, lambda found: found["newest_frame"] == "2026-06-01T12:05:00Z")


def test_a_stream_may_be_of_one_feed_and_tells_its_end(gateway, settings, published):
    both = settings.feeds_path.read_text() + '[[feed]]\nname = "south"\nfolder = "/radar"\n'
    settings.feeds_path.write_text(both)
    with stream(gateway, f"{PATH}?feed=south") as events:
        assert next(events)[1]["feed"]["name"] == "south"
        settings.feeds_path.write_text(both.replace("south", "west"))
        assert next(events) == ("removed", {"name": "south"})


def test_the_age_of_a_late_frame_is_no_event(feed, context, arrive):
    feed(clock="system", delay=4, interval=5)
    newest = arrive(0)
    [configured] = context.feeds().feeds
    [state] = feed_states([configured], context.feed_ledger)

    def after(age):
        health = feed_health(configured, None, [newest], newest.valid_time + timedelta(minutes=age))
        return FeedSnapshot.of(replace(state, health=health))

    late, later, gone = after(12), after(13), after(40)
    assert later.info.reason == "the newest frame is 13 min old; the next one was due after 9 min"
    assert later.changes_since(late) == []
    assert gone.changes_since(later) == ["status"]


def test_changes_of_other_feeds_do_not_put_off_the_comment_that_keeps_a_stream_open(
    gateway, settings, published, arrive, monkeypatch
):
    monkeypatch.setattr(feed_events, "HEARTBEAT_SECONDS", 1.5 * POLL_SECONDS)
    settings.feeds_path.write_text(settings.feeds_path.read_text() + '[[feed]]\nname = "south"\nfolder = "/radar"\n')
    commented = Event()

    def change():
        for number in range(20):
            arrive(5, content=f"{number}")
            if commented.wait(POLL_SECONDS / 4):
                return "meanwhile"
        return "once nothing changed"

    with ThreadPoolExecutor(1) as pool, gateway.stream("GET", f"{PATH}?feed=south") as response:
        lines = response.iter_lines()
        next(line for line in lines if line.startswith("data"))
        changing = pool.submit(change)
        next(line for line in lines if line.startswith(":"))
        commented.set()
        assert changing.result() == "meanwhile"


def test_what_is_refused(gateway, feed, context):
    response = gateway.get(f"{PATH}?feed=atlantis")
    assert (response.status_code, response.json()["type"]) == (404, "/problems/no-such-feed")
    assert gateway.head(PATH).headers["content-type"].startswith("text/event-stream")
    feed(name="events")
    assert gateway.get("/v1/feeds").json() == {"feeds": []}
    assert "the address of the events of all feeds" in context.feeds().problems[0]["what"]


def test_a_gateway_that_stops_ends_its_streams(tmp_path):
    environment = {**os.environ, "ECHOCAST_BROKER_URL": NO_REDIS}
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0", "--data-dir", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as gateway:
        url = next(found[1] for line in gateway.stderr if (found := re.search(r"serves (http://\S+)", line)))
        paths = (PATH, "/v1/alerts/events")
        with (
            httpx.Client(timeout=WAIT_SECONDS) as client,
            client.stream("GET", url + paths[0]) as feeds,
            client.stream("GET", url + paths[1]) as alerts,
        ):
            streams = [response.iter_lines() for response in (feeds, alerts)]
            for lines in streams:
                next(lines)
            gateway.send_signal(signal.SIGTERM)
            assert ["data" in "".join(lines) for lines in streams] == [False, False], "they end, and are not cut off"
        rest = gateway.stderr.read()
        assert gateway.wait(WAIT_SECONDS) == 0
    assert "Traceback" not in rest
