"""`callback_url` of a request."""

import pytest

from service.api.app import create_app
from service.api.page.router import SAMPLE
from service.jobs.outbox import Outbox
from service.settings import Settings
from tests.service.api.conftest import NO_REDIS, served
from workers.batch import run
from workers.context import open_context

URL = "https://hooks.example.org/rain"
ON = {"webhook_hosts": "hooks.example.org", "webhook_secret": "0123456789abcdef0123456789abcdef"}


def post(client, **fields):
    files = {"files": ("sample.nc", SAMPLE.read_bytes())}
    headers = {"Idempotency-Key": fields.pop("key")} if "key" in fields else {}
    return client.post(
        "/v1/nowcasts", files=files, data={"model": "extrapolation", "steps": "2"} | fields, headers=headers
    )


def test_webhooks_are_off_by_default(gateway, context, all_jobs):
    before = len(all_jobs(context.ledger))
    response = post(gateway, callback_url=URL)
    assert (response.status_code, response.json()["type"]) == (422, "/problems/callback-refused")
    assert response.json()["what"] == "this service has no webhooks"
    assert len(all_jobs(context.ledger)) == before


@pytest.fixture
def settings_with_webhooks(tmp_path):
    return Settings(data_dir=tmp_path, broker_url=NO_REDIS, threads=1, **ON)


def test_a_listed_address_is_kept_until_the_end_of_every_nowcast(settings_with_webhooks):
    app = create_app(settings_with_webhooks)
    app.state.context.queue.enqueue = lambda job_id: False
    worker = open_context(settings_with_webhooks)
    outbox = Outbox(worker.ledger.engine)
    with served(app) as client:
        refused = post(client, callback_url="https://evil.example.org/")
        assert (refused.status_code, refused.json()["where"]) == (422, "callback_url")
        accepted = post(client, callback_url=URL, key="k")
        assert accepted.status_code == 202, accepted.text
        assert "hooks.example.org" not in accepted.text
        job_id = accepted.json()["id"]
        assert post(client, callback_url=URL, key="k").json()["id"] == job_id
        assert post(client, callback_url=f"{URL}/2", key="k").status_code == 409
        run(job_id, worker)
        assert client.get(f"/v1/nowcasts/{job_id}").json()["status"] == "successful"
        assert outbox.get(job_id).url == URL
        again = post(client, callback_url=f"{URL}/2")
        assert again.status_code == 200, "answered from the stored result"
        assert outbox.get(again.json()["id"]).url == f"{URL}/2"
        assert outbox.get(post(client).json()["id"]) is None
        executed = client.post("/processes/nowcast/execution", json={"inputs": {}, "subscriber": {"successUri": URL}})
        assert (executed.status_code, executed.json()["where"]) == (422, "subscriber")
        assert "callback_url" in client.get("/processes/nowcast").json()["inputs"]
    worker.ledger.close()
