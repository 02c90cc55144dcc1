"""Webhooks from the outbox to a real receiver."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from service.embedded import Supervisor, environment_of
from service.jobs.job import Job, JobInput
from service.jobs.ledger import Ledger
from service.jobs.outbox import Outbox, Webhook
from service.settings import Settings
from service.status import status_of
from tests.patience import WAIT_SECONDS
from tests.receiver import Receiver, receiver, verified
from workers.outbox_sender import pause_seconds
from workers.webhooks import WebhookSender

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as opened:
        yield opened


@pytest.fixture
def settings(settings: Settings, server: Receiver) -> Settings:
    hosts = f"127.0.0.1:{server.port}"
    return Settings(**{**settings.model_dump(), "webhook_secret": SECRET, "webhook_private_hosts": hosts})


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    opened = Ledger(settings.database)
    yield opened
    opened.close()


def ended_job(ledger: Ledger, server: Receiver) -> Job:
    url = f"http://127.0.0.1:{server.port}/rain?word=hidden"
    inputs = [JobInput(name="a", key="k", size=1)]
    job = ledger.create(Job(model="auto", steps=2, inputs=inputs, callback_url=url))
    assert ledger.dismiss(job.id)
    return ledger.get(job.id)


def webhook_of(ledger: Ledger, job: Job) -> Webhook:
    webhook = Outbox(ledger.engine, Webhook).get(job.id)
    assert webhook is not None
    return webhook


def make_due(ledger: Ledger) -> None:
    """Let the pause be over."""
    with ledger.engine.begin() as connection:
        past = datetime.now(UTC) - timedelta(seconds=1)
        connection.execute(update(Webhook).where(Webhook.due.is_not(None)).values(due=past))


def test_the_receiver_gets_the_status_that_get_returns(settings, ledger, server) -> None:
    job = ended_job(ledger, server)
    sender = WebhookSender(settings, ledger)
    assert sender.send_due() == 1
    [got] = server.calls
    assert verified(SECRET, got.headers, got.body)
    assert got.body.decode() == status_of(job).model_dump_json(exclude_none=True)
    assert json.loads(got.body)["status"] == "dismissed"
    assert got.headers["Echocast-Id"] == job.id
    assert webhook_of(ledger, job).delivered is not None
    assert sender.send_due() == 0


def test_a_call_that_fails_is_repeated_after_a_pause(settings, ledger, server) -> None:
    job = ended_job(ledger, server)
    server.statuses = [500, 302]
    sender = WebhookSender(settings, ledger)
    assert sender.send_due() == 1
    failed = webhook_of(ledger, job)
    assert (failed.error, failed.delivered) == ("the receiver responded with 500", None)
    assert failed.due > datetime.now(UTC)
    assert sender.send_due() == 0, "the pause is not over"
    for _ in range(2):
        make_due(ledger)
        assert sender.send_due() == 1
    assert [call.headers["Echocast-Id"] for call in server.calls] == [job.id] * 3
    assert all(verified(SECRET, call.headers, call.body) for call in server.calls)
    assert (webhook_of(ledger, job).attempts, webhook_of(ledger, job).error) == (3, "")


def test_a_webhook_is_given_up_after_the_last_try_and_the_log_says_so(settings, ledger, server, caplog) -> None:
    job = ended_job(ledger, server)
    server.statuses = [503] * 9
    sender = WebhookSender(settings.model_copy(update={"webhook_attempts": 2}), ledger)
    for _ in range(3):
        sender.send_due()
        make_due(ledger)
    assert len(server.calls) == 2
    assert webhook_of(ledger, job).given_up is not None
    assert f"job {job.id}: its webhook is given up after try 2: the receiver responded with 503" in caplog.text
    assert not [word for word in (SECRET, "hidden") if word in caplog.text]


def test_pauses_double_up_to_an_hour() -> None:
    for attempts, longest in ((1, 5), (2, 10), (5, 80), (20, 3600), (5000, 3600)):
        pauses = [pause_seconds(attempts) for _ in range(50)]
        assert longest / 2 <= min(pauses) < max(pauses) <= longest


def test_a_host_that_is_no_longer_listed_is_not_called(settings, ledger, server) -> None:
    job = ended_job(ledger, server)
    elsewhere = settings.model_copy(update={"webhook_private_hosts": "127.0.0.1:1"})
    WebhookSender(elsewhere, ledger).send_due()
    assert server.connections == 0
    assert "not https" in webhook_of(ledger, job).error


def test_a_call_whose_worker_is_killed_is_repeated(settings, ledger, server, lab) -> None:
    job = ended_job(ledger, server)
    server.gate.clear()
    program = (
        "import workers.outbox_sender as w\nfrom workers.webhooks import WebhookSender\n"
        "from service.jobs.ledger import Ledger\n"
        "from service.settings import load_settings\nw.LEASE_SECONDS = 1.0\ns = load_settings()\n"
        "WebhookSender(s, Ledger(s.database)).send_due()"
    )
    environment = {**os.environ, **environment_of(settings)}
    worker = subprocess.Popen([sys.executable, "-c", program], env=environment)
    try:
        lab.wait_until(lambda: server.calls, "the first call")
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait(WAIT_SECONDS)
    server.gate.set()
    assert webhook_of(ledger, job).delivered is None
    sender = WebhookSender(settings, ledger)
    lab.wait_until(sender.send_due, "the lease to expire")
    assert [call.headers["Echocast-Id"] for call in server.calls] == [job.id] * 2
    assert webhook_of(ledger, job).delivered is not None


def test_a_worker_sends_the_end_of_its_nowcast(supervisor: Supervisor, server, lab, tmp_path) -> None:
    hosts = {"webhook_secret": SECRET, "webhook_private_hosts": f"127.0.0.1:{server.port}"}
    settings = Settings(**{**supervisor.settings.model_dump(), **hosts})
    running = Supervisor(settings)
    ledger = Ledger(settings.database)
    try:
        job = ledger.create(
            Job(model="extrapolation", steps=2, inputs=[], callback_url=f"http://127.0.0.1:{server.port}/")
        )
        running.start()
        running.start_workers()
        lab.wait_until(lambda: server.calls, "the call")
        assert json.loads(server.calls[0].body)["id"] == job.id
        assert json.loads(server.calls[0].body)["status"] == "failed", "it has no files"
        assert verified(SECRET, server.calls[0].headers, server.calls[0].body)
    finally:
        running.stop()
        ledger.close()
