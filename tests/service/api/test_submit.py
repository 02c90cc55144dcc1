"""Requests for a nowcast: what is accepted, and what is refused at once."""

import http.client
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from model.core.forecast_output import ForecastOutput
from service.jobs.queue import JobQueue
from tests.packages import SHIPPED_REFERENCE
from tests.patience import WAIT_SECONDS, wait_until

RADAR = ("files", ("radar.nc", b"not really", "application/x-netcdf"))


def post(gateway, files=(RADAR,), data=None, **headers):
    return gateway.post("/v1/nowcasts", files=list(files), data=data or {}, headers=headers)


def uploads(context):
    """Folders of uploaded files in the store."""
    return len(list(context.settings.data_dir.rglob("upload")))


def problem(response):
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert body["title"]
    assert body["detail"]
    return body


def test_a_nowcast_is_accepted_and_can_be_followed(gateway, context):
    response = post(gateway, data={"model": "persistence", "steps": "3"})
    assert response.status_code == 202
    body = response.json()
    assert response.headers["location"] == f"/v1/nowcasts/{body['id']}"
    assert (body["status"], body["model_asked"], body["steps"]) == ("accepted", "persistence", 3)
    assert body["progress"] == {"done": 0, "total": 3}
    assert gateway.get(response.headers["location"]).json()["files"] == ["radar.nc"]
    [item] = context.ledger.get(body["id"]).inputs
    assert context.store.get(item["key"]) == b"not really"


def test_probabilities_and_members_are_recorded_with_the_nowcast(gateway, context):
    asked = {"model": "extrapolation", "probabilities": "0.5,2", "members": "20", "seed": "7"}
    body = post(gateway, data=asked).json()
    assert {name: body.get(name) for name in ("field", "probabilities", "members", "seed")} == {
        "field": None,
        "probabilities": [0.5, 2.0],
        "members": 20,
        "seed": 7,
    }
    output = context.ledger.get(body["id"]).forecast_output
    assert output == ForecastOutput(thresholds_mm_h=(0.5, 2.0), members=20, seed=7)
    body = post(gateway, data={"probabilities": "default"}).json()
    assert (body["probabilities"], body["members"]) == ([0.1, 0.5, 2.0, 5.0, 10.0], 0)


def test_what_a_model_can_give_is_said_where_it_cannot_give_what_was_asked(gateway):
    body = problem(post(gateway, data={"model": "persistence", "members": "20"}))
    assert body["what"] == "persistence@1 makes no members: it has no distribution"
    assert "Ask for probabilities, which it gives" in body["hint"]


def test_file_names_of_clients_never_become_paths(gateway, context):
    body = post(gateway, files=[("files", ("../../etc/r\u202ear.nc", b"x"))]).json()
    [item] = context.ledger.get(body["id"]).inputs
    assert item["name"] == "r?ar.nc"
    assert item["key"].startswith(f"nowcasts/{body['id']}/upload/")


@pytest.mark.parametrize(
    ("data", "code", "where"),
    [
        ({"model": "skynet"}, "unknown-model", "model"),
        ({"steps": "0"}, "steps-out-of-range", "steps"),
        ({"steps": "9999"}, "steps-out-of-range", "steps"),
        ({"steps": "many"}, "invalid-parameter", "steps"),
        ({"field": "mean"}, "invalid-parameter", "field"),
        ({"field": "sharp", "model": "extrapolation"}, "bad-input", "field"),
        ({"probabilities": "often"}, "bad-input", "probabilities"),
        ({"probabilities": "5,0.5"}, "bad-input", "probabilities"),
        ({"probabilities": ",".join(str(n) for n in range(1, 18))}, "bad-input", "probabilities"),
        ({"members": "some"}, "invalid-parameter", "members"),
        ({"members": "1", "model": "extrapolation"}, "bad-input", "members"),
        ({"members": "51", "model": "extrapolation"}, "bad-input", "members"),
        ({"members": "20", "model": "persistence"}, "bad-input", "members"),
        ({"seed": "-1"}, "bad-input", "seed"),
        ({"zr": "magic"}, "bad-input", "zr"),
        ({"stepps": "3"}, "invalid-parameter", "stepps"),
        ({"variable": "v" * 300}, "invalid-parameter", "variable"),
    ],
)
def test_a_field_that_cannot_be_used_is_refused_at_once(gateway, data, code, where):
    body = problem(post(gateway, data=data))
    assert (body["status"], body["type"], body["where"]) == (422, f"/problems/{code}", where)
    assert body["hint"]


def test_an_empty_file_and_no_file_are_refused_by_name(gateway):
    body = problem(post(gateway, files=[RADAR, ("files", ("empty.nc", b""))]))
    assert (body["type"], body["where"]) == ("/problems/empty-file", "empty.nc")
    body = problem(post(gateway, files=[("other", ("a.nc", b"x"))]))
    assert body["type"] == "/problems/no-files"
    body = problem(gateway.post("/v1/nowcasts", json={"files": []}))
    assert (body["status"], body["type"]) == (415, "/problems/not-multipart")
    body = problem(gateway.post("/v1/nowcasts", content=b"--", headers={"Content-Type": "multipart/form-data"}))
    assert body["type"] == "/problems/invalid-parameter"


def test_too_many_bytes_are_refused_with_the_limit(gateway, context):
    before = uploads(context)
    body = problem(post(gateway, files=[("files", ("big.nc", bytes(1_100_000)))]))
    assert (body["status"], body["type"]) == (413, "/problems/too-large")
    assert "1 MB" in body["what"]
    assert uploads(context) == before


def test_too_many_bytes_are_refused_without_content_length(gateway):
    taken = 0

    def pieces():
        nonlocal taken
        yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.nc"\r\n\r\n'
        for _ in range(100):
            taken += 1
            yield bytes(100_000)

    body = problem(
        gateway.post("/v1/nowcasts", content=pieces(), headers={"Content-Type": "multipart/form-data; boundary=b"})
    )
    assert body["type"] == "/problems/too-large"


def test_too_many_files_are_refused_with_the_limit(gateway):
    body = problem(post(gateway, files=[("files", (f"{n}.nc", b"x")) for n in range(4)]))
    assert (body["status"], body["type"]) == (413, "/problems/too-many-files")
    assert "3" in body["what"]


def test_the_same_key_and_request_give_the_same_nowcast(gateway, context):
    before = uploads(context)
    first = post(gateway, data={"steps": "3"}, **{"Idempotency-Key": "k1"})
    again = post(gateway, data={"steps": "3"}, **{"Idempotency-Key": "k1"})
    assert first.status_code == again.status_code == 202
    assert first.json()["id"] == again.json()["id"]
    for other in ({"steps": "4"}, {"steps": "3", "probabilities": "default"}):
        body = problem(post(gateway, data=other, **{"Idempotency-Key": "k1"}))
        assert (body["status"], body["type"]) == (409, "/problems/idempotency-key-reused")
    assert uploads(context) == before + 1


def test_without_a_broker_a_nowcast_is_still_accepted(gateway, context, monkeypatch):
    """The ledger has it: the reconciler queues it when the broker is back."""
    monkeypatch.setattr(context, "queue", JobQueue(context.settings, context.ledger))
    response = post(gateway, Prefer="wait=0")
    assert response.status_code == 202
    assert response.headers["preference-applied"] == "wait=0"
    assert response.json()["status"] == "accepted"


def test_all_waiting_requests_are_answered_without_redis(gateway, context, all_jobs):
    """Without Redis the ledger is polled."""
    before = {job.id for job in all_jobs(context.ledger)}
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(post, gateway, Prefer="wait=60") for _ in range(4)]
        wait_until(lambda: len(all_jobs(context.ledger)) == len(before) + 4, "the four to be accepted")
        made = [job for job in all_jobs(context.ledger) if job.id not in before]
        for job in made[:3]:
            claimed = context.ledger.claim(job.id, 60)
            context.ledger.succeed(claimed, result_key="r", input_key="i")
        context.ledger.dismiss(made[3].id)
        responses = [future.result() for future in waiting]
    assert sorted(response.status_code for response in responses) == [200, 200, 200, 410]


@contextmanager
def broken_database(engine, begins, times):
    """Make the first `times` statements with this beginning fail, as if the connection were lost."""
    left = times

    def fail(connection, cursor, statement, parameters, execution_context, executemany):
        nonlocal left
        if left and statement.startswith(begins):
            left -= 1
            raise OperationalError(statement, parameters, ConnectionResetError())

    event.listen(engine, "before_cursor_execute", fail)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", fail)


@pytest.mark.parametrize("times", [1, 99])
def test_the_uploads_of_a_recorded_nowcast_stay_after_later_failures(gateway, context, all_jobs, times):
    before = uploads(context)
    with broken_database(context.ledger.engine, "SELECT jobs", times):
        # no-cache: the ledger is not asked for a stored result, and is first read after the nowcast is recorded
        assert post(gateway, **{"Cache-Control": "no-cache"}).status_code == 202
    job = all_jobs(context.ledger)[0]
    assert job.status == "accepted"
    assert context.store.get(job.inputs[0]["key"]) == b"not really"
    assert uploads(context) == before + 1


def test_the_uploads_of_a_nowcast_that_could_not_be_recorded_are_deleted(gateway, context):
    before = uploads(context)
    with broken_database(context.ledger.engine, "INSERT", 1):
        assert problem(post(gateway))["type"] == "/problems/ledger-unavailable"
    assert uploads(context) == before


def test_an_unhandled_failure_keeps_the_connection(gateway, context, monkeypatch):
    def fail(job_id):
        raise RuntimeError

    monkeypatch.setattr(context.ledger, "get", fail)
    connection = http.client.HTTPConnection(gateway.base_url.host, gateway.base_url.port, timeout=WAIT_SECONDS)
    connection.request("GET", "/v1/nowcasts/any")
    response = connection.getresponse()
    assert (response.status, response.read()[:1]) == (500, b"{")
    socket = connection.sock
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    assert socket is not None
    assert connection.sock is socket
    connection.close()


@pytest.mark.parametrize("model", ["auto", "rain-ms-predrnn", SHIPPED_REFERENCE])
def test_too_many_steps_are_refused_with_the_maximum_of_the_model(gateway, model):
    body = problem(post(gateway, data={"model": model, "steps": "121"}))
    assert body["type"] == "/problems/steps-out-of-range"
    assert "1 to 36 where frames are 5 min apart" in body["what"]
    assert "120" not in body["detail"]


def test_auto_accepts_the_steps_of_every_model_that_it_may_resolve_to(gateway):
    assert post(gateway, data={"model": "auto", "steps": "120"}).status_code == 202
    assert post(gateway, data={"model": "rain-ms-predrnn", "steps": "120"}).status_code == 422


def test_a_recorded_nowcast_that_cannot_be_queued_is_accepted(gateway, context, monkeypatch):
    def fail(job_id):
        raise ImportError("what nobody thought of")

    monkeypatch.setattr(context.queue, "enqueue", fail)
    response = post(gateway)
    assert response.status_code == 202
    assert context.ledger.get(response.json()["id"]).status == "accepted"


@pytest.mark.parametrize("name", ["radar.grib2.gz", "radar.h5.bz2", "radar.zip"])
def test_compressed_files_are_left_to_the_reader(gateway, context, name):
    [item] = context.ledger.get(post(gateway, files=[("files", (name, b"\x1f\x8b"))]).json()["id"]).inputs
    assert item["name"] == name
