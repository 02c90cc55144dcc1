"""Server-sent events of a nowcast: what a client that follows it receives."""

import json
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from service.api.app import create_app
from service.api.nowcasts import events as events_module
from service.jobs.job import Job, Timings
from service.jobs.queue import redis_client
from service.settings import Settings
from tests.patience import WAIT_SECONDS, wait_until
from tests.service.api.conftest import served


@contextmanager
def stream(gateway, job_id, **headers):
    """An open stream; yields an iterator of its events, each a dictionary of its fields. Comments are `{"": text}`."""
    with gateway.stream("GET", f"/v1/nowcasts/{job_id}/events", headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield parse(response.iter_lines())


def parse(lines):
    event = {}
    for line in lines:
        name, _, value = line.partition(":")
        if line:
            event[name] = value.removeprefix(" ")
        elif "retry" not in event:
            yield event
            event = {}
        else:
            event = {}


def status(event):
    assert event["event"] == "status"
    body = json.loads(event["data"])
    return body["status"], body["progress"]["done"]


def test_each_change_is_sent_until_the_end(gateway, context, accepted):
    with stream(gateway, accepted.id) as events:
        assert status(next(events)) == ("accepted", 0)
        job = context.ledger.claim(accepted.id, 60)
        assert status(next(events)) == ("running", 0)
        context.ledger.renew_lease(job, 60, progress_done=3)
        assert status(next(events)) == ("running", 3)
        context.ledger.succeed(job, result_key="r", input_key="i")
        assert status(next(events)) == ("successful", 4)
        assert list(events) == []


def test_a_client_that_resumes_gets_what_it_missed_and_nothing_twice(gateway, context, running):
    with stream(gateway, running.id) as events:
        first = next(events)
    with stream(gateway, running.id, **{"Last-Event-ID": first["id"]}) as events:
        context.ledger.renew_lease(running, 60, progress_done=3)
        assert status(next(events)) == ("running", 3)
    gateway.delete(f"/v1/nowcasts/{running.id}")
    with stream(gateway, running.id, **{"Last-Event-ID": first["id"]}) as events:
        [last] = events
        assert status(last)[0] == "dismissed"
    again = gateway.get(f"/v1/nowcasts/{running.id}/events", headers={"Last-Event-ID": last["id"]})
    assert (again.status_code, again.content) == (204, b"")


def test_an_unknown_nowcast_has_no_events(gateway):
    response = gateway.get("/v1/nowcasts/0123/events")
    assert (response.status_code, response.json()["type"]) == (404, "/problems/unknown-job")


def test_head_ends_at_once(gateway, accepted):
    assert gateway.head(f"/v1/nowcasts/{accepted.id}/events").headers["content-type"].startswith("text/event-stream")


def test_a_comment_comes_while_nothing_changes(gateway, running, monkeypatch):
    monkeypatch.setattr(events_module, "HEARTBEAT_SECONDS", 0.1)
    with stream(gateway, running.id) as events:
        assert status(next(events)) == ("running", 2)
        assert next(events) == {"": "ping"}


@pytest.fixture
def redis_gateway(tmp_path, redis_url):
    """A gateway with a real Redis, whose poll of the ledger never comes, and two streams of a client at most."""
    app = create_app(Settings(data_dir=tmp_path / "data", broker_url=redis_url, max_event_streams=8))
    with served(app) as client:
        yield client, app.state.context


def test_redis_brings_changes_between_polls_of_the_ledger(redis_gateway, monkeypatch):
    monkeypatch.setattr("service.api.job_watcher.POLL_SECONDS", 1000.0)
    gateway, context = redis_gateway
    job = context.ledger.create(Job(model="auto", steps=4, inputs=[]))
    with stream(gateway, job.id) as events:
        assert status(next(events)) == ("accepted", 0)
        with redis_client(context.settings) as redis:
            wait_until(lambda: redis.pubsub_numsub("echocast:changed")[0][1] == 1, "a subscription")
        claimed = context.ledger.claim(job.id, 60)
        context.queue.notify_changed(job.id)
        assert status(next(events)) == ("running", 0)
        context.ledger.renew_lease(claimed, 60, progress_done=3)
        context.queue.notify_changed(job.id)
        assert status(next(events)) == ("running", 3)
        assert gateway.delete(f"/v1/nowcasts/{job.id}").status_code == 200
        assert status(next(events))[0] == "dismissed"


def test_further_streams_are_refused_and_places_become_free(redis_gateway):
    gateway, context = redis_gateway
    job = context.ledger.create(Job(model="auto", steps=4, inputs=[]))
    with stream(gateway, job.id) as one, stream(gateway, job.id) as two:
        next(one), next(two)
        with gateway.stream("GET", f"/v1/nowcasts/{job.id}/events") as refused:
            assert refused.status_code == 503  # before its body, which of a stream has no end
            assert json.loads(refused.read())["type"] == "/problems/too-many-streams"
            assert int(refused.headers["retry-after"]) > 0
        transport = httpx.HTTPTransport(local_address="127.0.0.2")
        another = httpx.Client(base_url=gateway.base_url, timeout=WAIT_SECONDS, transport=transport)
        with another, stream(another, job.id) as events:
            assert status(next(events)) == ("accepted", 0)
        assert gateway.get(f"/v1/nowcasts/{job.id}").status_code == 200

    def free():
        with gateway.stream("GET", f"/v1/nowcasts/{job.id}/events") as response:
            return response.status_code == 200

    wait_until(free, "the streams that were left to be counted as closed")


def test_the_expected_end_is_told_from_measured_nowcasts_alone(redis_gateway):
    gateway, context = redis_gateway
    files = {"files": ("radar.nc", bytes(100_000))}
    first = gateway.post("/v1/nowcasts", files=files, data={"model": "persistence"}).json()
    assert first["queue_position"] == 1
    assert "estimated_completion" not in first
    claimed = context.ledger.claim(first["id"], 60)
    timings = Timings(queue_seconds=0, read_seconds=10, compute_seconds=80, write_seconds=10)
    context.ledger.succeed(claimed, result_key="r", input_key="i", timings=timings)
    context.fair_share._costs._measured -= 60
    made = [gateway.post("/v1/nowcasts", files=files, data={"model": "persistence"}).json() for _ in range(2)]
    time.sleep(1.1)
    body = [gateway.get(f"/v1/nowcasts/{one['id']}").json() for one in made]
    assert [one["queue_position"] for one in body] == [1, 2]
    ends = [datetime.fromisoformat(one["estimated_completion"]) - datetime.now(UTC) for one in body]
    assert timedelta(seconds=80) < ends[0] < timedelta(seconds=101)
    assert timedelta(seconds=180) < ends[1] < timedelta(seconds=201)
    assert "estimated_completion" not in gateway.get(f"/v1/nowcasts/{first['id']}").json()
