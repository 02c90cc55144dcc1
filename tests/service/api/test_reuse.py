"""The same request twice: what is answered from the stored result, and what must not be."""

import base64
import shutil
from pathlib import Path

import pytest

from model.core.errors import BadPackage
from service.api.app import create_app
from service.api.page.router import SAMPLE
from service.settings import Settings
from service.store import StoreUnavailable, job_prefix
from tests.packages import copied, crown
from tests.service.api.conftest import NO_REDIS, served
from workers.batch import run
from workers.context import open_context


class Service:
    """A gateway, and a worker in this process."""

    def __init__(self, client, gateway, worker):
        self.client = client
        self.gateway = gateway
        self.worker = worker

    def post(self, content=None, headers=None, **fields):
        files = {"files": ("sample.nc", SAMPLE.read_bytes() if content is None else content)}
        data = {"model": "extrapolation", "steps": "2"} | fields
        return self.client.post("/v1/nowcasts", files=files, data=data, headers=headers)

    def make(self, **fields):
        """A nowcast that a worker has made."""
        response = self.post(**fields)
        assert response.status_code == 202, response.text
        run(response.json()["id"], self.worker)
        made = self.client.get(response.headers["location"]).json()
        assert made["status"] == "successful", made
        return made

    def result(self, job_id):
        response = self.client.get(f"/v1/nowcasts/{job_id}/result")
        assert response.status_code == 200, response.text
        return response.content


@pytest.fixture
def service(tmp_path):
    settings = Settings(data_dir=tmp_path, broker_url=NO_REDIS, threads=1)
    app = create_app(settings)
    app.state.context.queue.enqueue = lambda job_id: False
    worker = open_context(settings)
    with served(app) as client:
        yield Service(client, app.state.context, worker)
    worker.ledger.close()


def counted(service):
    """The bytes of results in the ledger."""
    with service.gateway.ledger.engine.connect() as connection:
        return connection.exec_driver_sql("SELECT sum(result_bytes) FROM jobs").scalar()


def stored(service):
    """The bytes of all objects of the store."""
    return sum(path.stat().st_size for path in service.gateway.store.folder.rglob("*") if path.is_file())


def test_the_same_request_is_answered_at_once_as_a_nowcast_of_its_own(service):
    first = service.make()
    again = service.post()
    body = again.json()
    assert (again.status_code, body["status"], body["model_used"]) == (200, "successful", first["model_used"])
    assert again.headers["location"] == f"/v1/nowcasts/{body['id']}" != f"/v1/nowcasts/{first['id']}"
    assert body["progress"] == {"done": 2, "total": 2}
    assert "the result of the same request of " in body["note"]
    assert body["created"] > first["created"]
    assert service.client.get(again.headers["location"]).json() == body
    assert service.result(body["id"]) == service.result(first["id"])
    assert service.client.get(f"/v1/nowcasts/{body['id']}/frames").json()["frames"][0]["kind"] == "observed"
    service.gateway.store.delete_prefix(job_prefix(first["id"]))
    service.gateway.ledger.delete([first["id"]])
    assert service.result(body["id"])
    assert service.post().status_code == 202, "the first one is deleted: nothing answers, but nothing fails either"


def test_another_request_is_a_nowcast_to_be_made(service):
    service.make()
    assert service.post(steps="3").status_code == 202
    assert service.post(model="persistence").status_code == 202
    assert service.post(probabilities="default").status_code == 202
    assert service.post(content=SAMPLE.read_bytes() + b"\0").status_code == 202
    assert service.post(headers={"Cache-Control": "no-cache"}).status_code == 202
    assert service.post().status_code == 200


def test_another_clients_result_answers_nobody_else(service):
    first = service.make()
    with service.gateway.ledger.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET client = 'somebody else'")
    assert service.post().status_code == 202
    assert first["status"] == "successful"


def test_an_idempotency_key_names_the_answered_nowcast(service):
    service.make()
    one, two = (service.post(headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert one.status_code == two.status_code == 200
    assert one.json() == two.json()


def test_every_object_counts_for_the_limit_of_the_store(service):
    first = service.make()
    again = service.post().json()
    for _ in range(2):
        assert service.client.get(f"/v1/nowcasts/{again['id']}/result?format=geotiff").status_code == 200
    assert counted(service) == stored(service) > 0
    service.gateway.store.delete_prefix(job_prefix(first["id"]))
    service.gateway.ledger.delete([first["id"]])
    assert counted(service) == stored(service) > 0, "the answer outlives the nowcast that it was copied from"


def test_a_geotiff_that_the_store_does_not_take_does_not_count(service, monkeypatch):
    made = service.make()
    before = counted(service)

    def full(*args, **kwargs):
        raise StoreUnavailable("no space", full=True)

    with monkeypatch.context() as patch:
        patch.setattr(service.gateway.store, "put", full)
        assert service.client.get(f"/v1/nowcasts/{made['id']}/result?format=geotiff").status_code == 503
    assert counted(service) == before


def test_what_was_sent_counts_though_a_stored_result_answers(service):
    service.make()
    assert service.post().status_code == 200
    assert 3 * SAMPLE.stat().st_size < 1_000_000 < 4 * SAMPLE.stat().st_size
    with served(create_app(service.gateway.settings.model_copy(update={"max_client_mb_per_day": 1}))) as client:
        service.client = client
        assert service.post(headers={"Idempotency-Key": "k"}).status_code == 200
        for headers in (None, {"Idempotency-Key": "new"}):
            refused = service.post(headers=headers)
            assert (refused.status_code, refused.json()["type"]) == (429, "/problems/daily-bytes-exceeded")
        assert service.post(headers={"Idempotency-Key": "k"}).status_code == 200, "it was accepted before"


def test_a_result_that_is_gone_from_the_store_is_made_again(service):
    first = service.make()
    service.gateway.store.delete_prefix(job_prefix(first["id"]))
    assert service.post().status_code == 202
    [added] = Path(service.gateway.store.folder, "nowcasts").iterdir()
    assert [path.name for path in added.iterdir()] == ["upload"]


def test_a_model_that_is_no_longer_the_one_answers_nothing(service):
    packages = service.gateway.settings.packages_folder
    first = copied(packages, "mine@1")
    service.make(model="mine")
    service.make(model="auto")
    assert service.post(model="mine").status_code == service.post(model="auto").status_code == 200
    crown(first)  # auto now means another model
    assert (service.post(model="mine").status_code, service.post(model="auto").status_code) == (200, 202)
    copied(packages, "mine@2")
    assert service.post(model="mine").status_code == 202, "a newer version"
    assert service.post(model="mine@1").status_code == 202, "another name of the same model has not been asked for"
    shutil.rmtree(packages)
    assert service.post(model="mine").status_code == 422, "retired"


def test_a_model_that_ran_in_the_place_of_another_answers_nothing(service, monkeypatch):
    get = service.worker.models.get

    def broken(info, patience=None):
        if info.folder is not None:
            raise BadPackage("it cannot be loaded for now", where="memory", hint="")
        return get(info, patience)

    with monkeypatch.context() as patch:
        patch.setattr(service.worker.models, "get", broken)
        made = service.make(model="auto")
    assert made["model_used"] == "extrapolation@1"
    assert service.post(model="auto").status_code == 202


def test_an_execute_request_asks_for_a_fresh_nowcast_too(service):
    def execute(**headers):
        files = {"value": base64.b64encode(SAMPLE.read_bytes()).decode(), "encoding": "base64"}
        inputs = {"files": files, "model": "extrapolation", "steps": 2}
        return service.client.post("/processes/nowcast/execution", json={"inputs": inputs}, headers=headers).json()

    run(execute()["jobID"], service.worker)
    assert execute()["status"] == "successful"
    assert execute(**{"Cache-Control": "no-cache"})["status"] == "accepted"
