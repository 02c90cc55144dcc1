"""`callback_url` of a request."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from service.api.app import create_app
from service.api.page.router import SAMPLE
from service.jobs.outbox import Outbox, Webhook
from service.settings import Settings
from tests.receiver import receiver
from tests.service.api.conftest import NO_REDIS, served
from workers.batch import run
from workers.context import open_context
from workers.webhooks import WebhookSender

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
    outbox = Outbox(worker.ledger.engine, Webhook)
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


def test_a_client_is_told_whether_its_webhook_was_delivered(tmp_path):
    with receiver() as server:
        hosts = {"webhook_private_hosts": f"127.0.0.1:{server.port}", "webhook_secret": ON["webhook_secret"]}
        settings = Settings(data_dir=tmp_path, broker_url=NO_REDIS, webhook_attempts=2, **hosts)
        app = create_app(settings)
        app.state.context.queue.enqueue = lambda job_id: False
        ledger = app.state.context.ledger
        sender = WebhookSender(settings, ledger)

        def ended(client):
            url = f"http://127.0.0.1:{server.port}/rain"
            status = post(client, callback_url=url, key=str(len(server.calls))).json()
            [path] = [link["href"] for link in status["links"] if link["rel"] == "related"]
            assert delivery(client, path) == {"state": "pending", "attempts": 0}
            client.delete(f"/v1/nowcasts/{status['id']}")
            return path

        def delivery(client, path):
            return client.get(path).json()

        def try_now():
            with ledger.engine.begin() as connection:
                connection.execute(update(Webhook).where(Webhook.due.is_not(None)).values(due=datetime.now(UTC)))
            assert sender.send_due() == 1

        with served(app) as client:
            server.statuses = [503]
            path = ended(client)
            assert delivery(client, path).keys() == {"state", "attempts", "next_try"}
            try_now()
            failed = delivery(client, path)
            assert failed.pop("next_try") > datetime.now(UTC).isoformat()
            assert failed == {"state": "pending", "attempts": 1, "last_status": 503}
            try_now()
            done = delivery(client, path)
            assert done.pop("delivered")
            assert done == {"state": "delivered", "attempts": 2, "last_status": 200}
            server.statuses = [500, 500]
            path = ended(client)
            for _ in range(2):
                try_now()
            lost = delivery(client, path)
            assert lost.pop("given_up")
            assert lost == {"state": "failed", "attempts": 2, "last_status": 500}
            none = client.get(f"/v1/nowcasts/{post(client).json()['id']}/webhook")
            assert (none.status_code, none.json()["type"]) == (404, "/problems/no-webhook")
