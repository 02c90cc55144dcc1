"""What a client is refused, and when it may try again."""

from __future__ import annotations

import base64
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

import service.api.context
from service.api.app import create_app
from service.embedded import Supervisor
from service.jobs.heartbeat import live_workers
from service.jobs.job import Job, JobStatus
from service.settings import Settings
from tests.patience import WAIT_SECONDS, wait_until
from tests.service.api.conftest import NO_REDIS, served


@pytest.fixture
def limited(tmp_path):
    """Starts a gateway with these settings, whose jobs nobody runs; returns a client and the gateway's context."""
    with ExitStack() as stack:

        def start(**settings):
            given = {"data_dir": tmp_path / "data", "broker_url": NO_REDIS, "max_upload_mb": 1, **settings}
            app = create_app(Settings(**given))
            app.state.context.queue.enqueue = lambda job_id: False
            return stack.enter_context(served(app)), app.state.context

        yield start


def post(client, size=1000, **headers):
    return client.post("/v1/nowcasts", files={"files": ("a.h5", b"x" * size)}, headers=headers)


def check_refused(response, status, code):
    problem = response.json()
    assert (response.status_code, problem["type"]) == (status, f"/problems/{code}"), problem
    assert response.headers["content-type"] == "application/problem+json"
    assert 1 <= int(response.headers["Retry-After"]) <= 3600
    assert problem["what"]
    assert problem["hint"]
    return problem


def uploads(context, job_id):
    folder = context.store.folder / "nowcasts" / job_id
    return sorted(path.name for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []


def test_a_full_queue_is_refused_with_the_position_before_the_body_is_read(limited):
    client, context = limited(max_queued_jobs=2)
    first = post(client, **{"Idempotency-Key": "k"})
    assert [first.status_code, post(client).status_code] == [202, 202]
    assert check_refused(post(client), 429, "queue-full")["position"] == 3
    assert len(list((context.store.folder / "nowcasts").iterdir())) == 2, "nothing is left of what was refused"
    assert post(client, **{"Idempotency-Key": "k"}).json()["id"] == first.json()["id"]
    check_refused(post(client, **{"Idempotency-Key": "new"}), 429, "queue-full")
    context.ledger.create(Job(kind="feed", model="auto", steps=1, inputs=[], feed="north"))
    client.delete(f"/v1/nowcasts/{first.json()['id']}")
    assert post(client).status_code == 202, "feeds do not count"


def test_retry_after_is_what_the_waiting_nowcasts_are_expected_to_take(limited):
    client, context = limited(max_queued_jobs=1)
    context.ledger.create(Job(client="a", model="auto", steps=1, inputs=[], cost_seconds=500.0))
    assert context.fair_share.claim_next("", 60, max_attempts=3)
    context.ledger.create(Job(client="a", model="auto", steps=1, inputs=[], cost_seconds=10.0))
    assert post(client).headers["Retry-After"] == "500"


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}], ids=["before the body", "after the body"])
def test_a_refusal_needs_one_connection_to_the_ledger_at_a_time(limited, headers):
    client, context = limited(max_queued_jobs=1)
    context.ledger.create(Job(client="a", model="auto", steps=1, inputs=[]))
    engine = context.ledger.engine
    with ExitStack() as stack:
        for _ in range(engine.pool.size() + engine.pool._max_overflow - 1):
            stack.enter_context(engine.connect())
        check_refused(post(client, **headers), 429, "queue-full")


def test_one_client_cannot_fill_the_queue(limited):
    client, context = limited(max_client_queued_jobs=2)
    context.ledger.create(Job(client="another", model="auto", steps=1, inputs=[]))
    assert [post(client).status_code for _ in range(2)] == [202, 202]
    check_refused(post(client), 429, "too-many-jobs")


def test_a_key_has_its_own_limits(limited):
    from service.jobs.api_keys import ApiKeys, Quota, Scope

    client, context = limited(max_client_queued_jobs=0, max_client_running_jobs=3)
    quota = Quota(max_queued_jobs=1, max_running_jobs=2, requests_per_second=2.0, bytes_per_day=None)
    _, secret = ApiKeys(context.ledger.engine).create("small", [Scope.NOWCAST, Scope.READ], quota=quota)
    headers = {"Authorization": f"Bearer {secret}"}
    accepted = post(client, **headers)
    assert accepted.status_code == 202, accepted.text
    assert context.ledger.get(accepted.json()["id"]).running_limit == 2
    check_refused(post(client, **headers), 429, "too-many-jobs")
    answers = [client.get("/v1/models", headers=headers).status_code for _ in range(8)]
    assert 429 in answers


def test_bytes_of_a_day_are_limited_and_the_next_day_is_free(limited, tmp_path):
    client, _ = limited(max_client_mb_per_day=1)
    assert post(client, 700_000).status_code == 202
    problem = check_refused(post(client, 700_000), 429, "daily-bytes-exceeded")
    assert "0.7 MB" in problem["what"]
    assert post(client, 200_000).status_code == 202


def test_a_store_that_holds_as_much_as_it_may_is_507(limited):
    client, context = limited(max_store_mb=1)
    accepted = post(client, 700_000)
    check_refused(post(client, 700_000), 507, "store-full")
    client.delete(f"/v1/nowcasts/{accepted.json()['id']}")
    assert post(client, 700_000).status_code == 202, "the files of the cancelled one are gone"
    assert len(list((context.store.folder / "nowcasts").rglob("0000"))) == 1


@pytest.mark.parametrize("kind", ["UPLOAD", "EXECUTION"])
def test_uploads_wait_in_a_line_of_their_own_that_ends(limited, monkeypatch, kind):
    monkeypatch.setattr(service.api.context, f"{kind}_THREADS", 1)
    monkeypatch.setattr(service.api.context, f"{kind}S_WAITING", 0)
    client, context = limited()
    body = json.dumps({"inputs": {"files": base64.b64encode(b"x").decode()}})
    put, began, goes_on = context.store.put, threading.Event(), threading.Event()

    def slow_put(*args, **kwargs):
        if not began.is_set():  # the first one alone: a second one that is not refused is done at once
            began.set()
            assert goes_on.wait(WAIT_SECONDS)
        return put(*args, **kwargs)

    def send():
        if kind == "UPLOAD":
            return post(client)
        headers = {"Content-Type": "application/json"}
        return client.post("/processes/nowcast/execution", content=body, headers=headers)

    monkeypatch.setattr(context.store, "put", slow_put)
    with ThreadPoolExecutor(1) as first:
        sent = first.submit(send)
        try:
            assert began.wait(WAIT_SECONDS)
            check_refused(send(), 503, "busy")
            assert client.get("/v1/nowcasts").status_code == 200
        finally:
            goes_on.set()
        assert sent.result().status_code in (201, 202)
    assert send().status_code in (201, 202)


def test_uploads_are_refused_before_the_disk_is_full(limited, tmp_path):
    free_mb = shutil.disk_usage(tmp_path).free // 1_000_000
    client, _ = limited(min_free_mb=2 * free_mb)
    check_refused(post(client), 503, "no-space")


def test_files_of_a_cancelled_nowcast_go_at_once(limited):
    client, context = limited()
    job_id = post(client).json()["id"]
    assert uploads(context, job_id) == ["0000"]
    assert client.delete(f"/v1/nowcasts/{job_id}").status_code == 200
    assert uploads(context, job_id) == []
    assert context.ledger.get(job_id).status is JobStatus.DISMISSED


def test_too_many_requests_are_refused_without_redis_too_and_others_are_not_counted(limited):
    client, _ = limited(max_client_requests_per_second=1.0)
    answers = [client.get("/v1/models") for _ in range(5)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[:2] == [200, 200]
    check_refused(next(answer for answer in answers if answer.status_code != 200), 429, "too-many-requests")
    assert client.get("/healthz").status_code == 200
    wait_until(lambda: client.get("/v1/models").status_code == 200, "the limit to pass")


def test_gateways_share_the_count_by_redis_and_survive_its_end(limited, tmp_path):
    supervisor = Supervisor(Settings(data_dir=tmp_path / "redis", broker_url=None))
    supervisor.start()
    try:
        wait_until(lambda: _responds(supervisor.settings), "Redis")
        settings = {"broker_url": supervisor.settings.broker_url, "max_client_requests_per_second": 0.5}
        one, _ = limited(**settings)
        other, _ = limited(**settings)
        assert one.get("/v1/models").status_code == 200
        check_refused(other.get("/v1/models"), 429, "too-many-requests")
    finally:
        supervisor.stop()
    assert one.get("/v1/models").status_code == 200, "it counts by itself, from the beginning"
    check_refused(one.get("/v1/models"), 429, "too-many-requests")


def _responds(settings):
    try:
        return live_workers(settings) == []
    except Exception:
        return False
