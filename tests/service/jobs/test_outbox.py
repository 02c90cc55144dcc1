"""The outbox, on SQLite and PostgreSQL: every end of a nowcast puts its webhook there."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from service.jobs.job import IdempotencyConflict, Job, JobInput, JobStatus, Problem
from service.jobs.ledger import Ledger
from service.jobs.outbox import Outbox, Webhook

URL = "https://hooks.example.org/rain"
PROBLEM = Problem(code="internal", what="w", where="", hint="")


def new_job(url: str | None = URL, **columns) -> Job:
    return Job(model="auto", steps=2, inputs=[JobInput(name="a", key="k", size=1)], callback_url=url, **columns)


def claimed(ledger: Ledger, job: Job, seconds: float = 60) -> Job:
    found = ledger.claim(job.id, seconds)
    assert found is not None
    return found


ENDS: dict[str, Callable[[Ledger, Job], bool]] = {
    "succeed": lambda ledger, job: ledger.succeed(claimed(ledger, job), result_key="r", input_key="i"),
    "fail": lambda ledger, job: ledger.fail(claimed(ledger, job), PROBLEM),
    "dismiss-accepted": lambda ledger, job: ledger.dismiss(job.id),
    "dismiss-running": lambda ledger, job: bool(claimed(ledger, job)) and ledger.dismiss(job.id),
    "dismiss-claimed": lambda ledger, job: ledger.dismiss_claimed(claimed(ledger, job), "newer"),
    "worker-lost": lambda ledger, job: bool(claimed(ledger, job, -1)) and ledger.fail_lost(ledger.lost()[0], PROBLEM),
    "queue-deadline": lambda ledger, job: ledger.fail_overdue(ledger.overdue(datetime.now(UTC))[0], PROBLEM),
}


@pytest.mark.parametrize("end", ENDS)
def test_every_end_posts_the_webhook_once(ledger: Ledger, end: str) -> None:
    job = ledger.create(new_job())
    outbox = Outbox(ledger.engine, Webhook)
    assert outbox.get(job.id) is None
    assert ENDS[end](ledger, job)
    [webhook] = outbox.claim(10, 60)
    assert (webhook.job_id, webhook.url, webhook.attempts) == (job.id, URL, 1)
    assert not ledger.dismiss(job.id)
    assert outbox.claim(10, 60) == []


def test_a_job_that_is_successful_from_the_start_posts_it_too(ledger: Ledger) -> None:
    job = ledger.create(new_job(status=JobStatus.SUCCESSFUL))
    assert [webhook.job_id for webhook in Outbox(ledger.engine, Webhook).claim(10, 60)] == [job.id]


def test_an_end_that_does_not_happen_and_a_job_without_webhook_post_nothing(ledger: Ledger) -> None:
    job = claimed(ledger, ledger.create(new_job()), -1)
    claimed(ledger, job)
    assert not ledger.succeed(job, result_key="r", input_key="i"), "its lease is another one's"
    assert ledger.dismiss(ledger.create(new_job(None)).id)
    assert Outbox(ledger.engine, Webhook).claim(10, 60) == []


def test_one_of_many_claims_gets_a_webhook(ledger: Ledger) -> None:
    ledger.dismiss(ledger.create(new_job()).id)
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda _: Outbox(ledger.engine, Webhook).claim(10, 60), range(16)))
    assert sum(map(len, claims)) == 1


def test_a_try_whose_worker_is_gone_is_repeated_and_its_end_counts_no_more(ledger: Ledger) -> None:
    job = ledger.create(new_job())
    ledger.dismiss(job.id)
    outbox = Outbox(ledger.engine, Webhook)
    [first] = outbox.claim(10, -1)
    [second] = outbox.claim(10, 60)
    assert second.attempts == 2
    outbox.record_failed(first, "late", None)
    assert outbox.get(job.id) == second
    outbox.record_delivered(second, 200)
    done = outbox.get(job.id)
    assert done is not None
    assert done.delivered is not None
    assert (done.due, done.given_up) == (None, None)
    outbox.record_failed(second, "late", 1)
    assert outbox.get(job.id) == done


def test_a_webhook_goes_with_its_job(ledger: Ledger) -> None:
    job = ledger.create(new_job())
    ledger.dismiss(job.id)
    ledger.delete([job.id])
    assert Outbox(ledger.engine, Webhook).get(job.id) is None


def test_the_same_key_with_another_address_is_a_conflict(ledger: Ledger) -> None:
    keyed = {"idempotency_key": "k", "request_digest": "d"}
    job = ledger.create(new_job(**keyed))
    assert ledger.create(new_job(**keyed)).id == job.id
    with pytest.raises(IdempotencyConflict):
        ledger.create(new_job("https://other.example.org/", **keyed))
