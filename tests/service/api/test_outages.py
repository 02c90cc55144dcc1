"""What a client is told while the ledger, the store or the disk fails: 503, when to try again, and then it works."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial

import pytest
from sqlalchemy import create_engine, text

from service.api import context as context_module
from service.api.app import create_app
from service.api.health import checks
from service.jobs import database
from service.settings import Settings
from tests.postgres import postgres_server
from tests.service.api.conftest import NO_REDIS, served


@contextmanager
def gateway_of(folder, **changes):
    """A gateway with little patience and no broker: its client and its context."""
    app = create_app(Settings(data_dir=folder, broker_url=NO_REDIS, min_free_mb=0, **changes))
    app.state.context.queue.enqueue = lambda job_id: False
    with served(app) as client:
        yield client, app.state.context


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch):
    monkeypatch.setattr(context_module, "PATIENCE_SECONDS", 0.3)


def post(client, size=10):
    return client.post("/v1/nowcasts", files=[("files", ("radar.nc", bytes(size)))])


def assert_outage(response, code):
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert (response.status_code, body["type"], body["status"]) == (503, f"/problems/{code}", 503)
    assert int(response.headers["retry-after"]) > 0
    assert "Try again" in body["hint"]
    for secret in ("sqlite", "psycopg", "SELECT", "INSERT", "/tmp", "os error"):
        assert secret not in response.text


def fill(path):
    """Write a file until the disk is full."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


def uploads(context):
    return list(context.settings.data_dir.rglob("upload"))


def test_while_postgresql_is_stopped(tmp_path):
    with postgres_server() as server, gateway_of(tmp_path, database_url=server.url) as (client, context):
        job = post(client).json()["id"]
        before = uploads(context)
        server.stop()
        assert_outage(client.get(f"/v1/nowcasts/{job}"), "ledger-unavailable")
        assert_outage(client.delete(f"/v1/nowcasts/{job}"), "ledger-unavailable")
        assert_outage(post(client), "ledger-unavailable")
        assert client.get("/healthz").status_code == 200
        server.start()
        assert client.get(f"/v1/nowcasts/{job}").json()["status"] == "accepted"
        assert post(client).status_code == 202
        assert before[0].is_dir()


def test_while_postgresql_accepts_statements_and_answers_none(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "CACHE_SECONDS", 0.0)
    monkeypatch.setattr(database, "CONNECT_SECONDS", 2)
    with postgres_server() as server, gateway_of(tmp_path, database_url=server.url) as (client, _):
        job = post(client).json()["id"]
        with server.frozen(), ThreadPoolExecutor(3) as pool:
            requests = (partial(client.get, f"/v1/nowcasts/{job}"), partial(post, client))
            readiness, *answers = [pool.submit(call) for call in (partial(client.get, "/readyz"), *requests)]
            assert client.get("/healthz").status_code == 200
            for answer in answers:
                assert_outage(answer.result(), "ledger-unavailable")
            parts = {part["name"]: part["detail"] for part in readiness.result().json()["parts"]}
            assert parts["ledger"] == "the ledger of nowcasts does not respond"
        assert client.get(f"/v1/nowcasts/{job}").json()["status"] == "accepted"
        assert post(client).status_code == 202


def test_nul_characters_are_no_failure_of_postgresql(tmp_path):
    with postgres_server() as server, gateway_of(tmp_path, database_url=server.url) as (client, _):
        assert client.get("/v1/nowcasts/%00").status_code == 404
        assert client.get("/v1/nowcasts?model=%00").status_code == 422
        files = {"files": ("a.nc", b"x")}
        assert client.post("/v1/nowcasts", files=files, data={"variable": "a\0b"}).json()["where"] == "variable"


def test_while_another_session_locks_the_table_in_postgresql(tmp_path):
    with postgres_server() as server, gateway_of(tmp_path, database_url=server.url) as (client, _):
        other = create_engine(server.url)
        with other.begin() as connection:
            connection.execute(text("LOCK TABLE jobs"))
            assert_outage(post(client), "ledger-unavailable")
        other.dispose()
        assert post(client).status_code == 202


def test_while_another_process_locks_sqlite_requests_are_refused_and_jobs_can_be_followed(tmp_path):
    with gateway_of(tmp_path) as (client, context):
        job = post(client).json()["id"]
        before = uploads(context)
        other = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert_outage(post(client), "ledger-unavailable")
        assert_outage(client.delete(f"/v1/nowcasts/{job}"), "ledger-unavailable")
        assert client.get(f"/v1/nowcasts/{job}").status_code == 200
        assert uploads(context) == before
        other.close()
        assert post(client).status_code == 202


def test_while_the_disk_of_the_store_is_full(tmp_path, small_disk):
    with gateway_of(tmp_path, store_url=small_disk.as_uri()) as (client, _):
        assert_outage(post(client, 2_000_000), "no-space")
        assert [path for path in small_disk.rglob("*") if path.is_file()] == []
        assert post(client, 1000).status_code == 202


def test_while_the_disk_of_the_ledger_is_full(tmp_path, small_disk):
    with gateway_of(small_disk, store_url=(tmp_path / "store").as_uri()) as (client, _):
        job = post(client).json()["id"]
        filler = small_disk / "filler"
        fill(filler)
        answers = [post(client) for _ in range(20)]  # the pages that the write-ahead log has already still take some
        assert_outage(answers[-1], "no-space")
        assert client.get(f"/v1/nowcasts/{job}").status_code == 200
        filler.unlink()
        assert post(client).status_code == 202


def test_while_the_bucket_does_not_respond(tmp_path, monkeypatch):
    for name, value in {"ENDPOINT": "http://127.0.0.1:1", "ALLOW_HTTP": "true", "REGION": "eu"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with gateway_of(tmp_path, store_url="s3://bucket") as (client, _):
        assert_outage(post(client), "store-unavailable")


def test_while_the_folder_of_temporary_files_is_full(tmp_path, small_disk, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    with gateway_of(tmp_path) as (client, _):
        assert_outage(post(client, 3_000_000), "no-space")
        assert post(client, 1000).status_code == 202
