"""A service is ready exactly while a nowcast could be made, and names what is missing."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.api import context as context_module
from service.api.app import create_app
from service.api.health import checks
from service.jobs.heartbeat import remove_heartbeat, send_heartbeat
from service.jobs.queue import redis_client
from service.settings import Settings
from tests.service.api.conftest import served


@pytest.fixture
def settings(tmp_path, redis_url):
    """Of a service whose worker and beat are alive."""
    settings = Settings(data_dir=tmp_path / "data", broker_url=redis_url, max_upload_mb=1)
    send_heartbeat(settings, "worker", seconds=600)
    send_heartbeat(settings, "beat", "beat", seconds=600)
    return settings


@pytest.fixture
def ready_gateway(settings, monkeypatch):
    """A gateway that checks at each request."""
    monkeypatch.setattr(checks, "CACHE_SECONDS", 0.0)
    monkeypatch.setattr(context_module, "PATIENCE_SECONDS", 0.3)
    with served(create_app(settings)) as client:
        yield client


def missing(client):
    response = client.get("/readyz")
    bad = {part["name"]: part["detail"] for part in response.json()["parts"] if part["state"] == "bad"}
    assert response.status_code == (503 if bad else 200)
    assert response.json()["ready"] is not bad
    return bad


def test_with_all_that_a_nowcast_needs(ready_gateway):
    assert missing(ready_gateway) == {}


def test_without_a_worker_or_a_beat(ready_gateway, settings):
    remove_heartbeat(settings, "worker")
    assert missing(ready_gateway) == {"workers": "no worker with a loaded model is alive"}
    send_heartbeat(settings, "worker")
    with redis_client(settings) as redis:
        redis.delete("echocast:beat:beat")
    assert missing(ready_gateway).keys() == {"schedule"}


def test_with_a_broker_that_takes_no_messages(ready_gateway, settings):
    with redis_client(settings) as redis:
        redis.config_set("maxmemory", 1)
    assert missing(ready_gateway) == {"broker": "the broker does not respond"}


def test_with_a_ledger_that_is_locked(ready_gateway, settings):
    other = sqlite3.connect(settings.data_dir / "ledger.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert missing(ready_gateway) == {"ledger": "the ledger of nowcasts is locked by another process"}
    other.close()
    assert missing(ready_gateway) == {}


def test_with_too_little_room(settings, small_disk, monkeypatch):
    monkeypatch.setattr(checks, "CACHE_SECONDS", 0.0)
    with served(create_app(settings.model_copy(update={"store_url": small_disk.as_uri()}))) as client:
        [detail] = missing(client).values()
        assert detail == "1 MB are free, 2 MB are needed"
        refused = client.post("/v1/nowcasts", files={"files": ("a.h5", b"x")})
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/no-space")
    enough = settings.model_copy(update={"store_url": small_disk.as_uri(), "min_free_mb": 1})
    with served(create_app(enough)) as client:
        assert missing(client) == {}
        assert client.post("/v1/nowcasts", files={"files": ("a.h5", b"x")}).status_code == 202


def test_many_requests_share_one_check(settings, monkeypatch):
    monkeypatch.setattr(checks, "CACHE_SECONDS", 60.0)
    app = create_app(settings)
    count = 0
    check = app.state.context.store.check

    def counted():
        nonlocal count
        count += 1
        check()

    monkeypatch.setattr(app.state.context.store, "check", counted)
    with served(app) as client, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: client.get("/readyz").status_code, range(64)))
    assert answers == [200] * 64
    assert count == 1
