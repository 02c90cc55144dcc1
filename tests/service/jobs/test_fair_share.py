"""Fair turns, on SQLite and PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from model.core.forecast_output import DETERMINISTIC_OUTPUT, ForecastOutput
from service.jobs.costs import work_of, work_of_files
from service.jobs.database import writing
from service.jobs.fair_share import FairShare
from service.jobs.job import Job, JobInput, Timings
from service.jobs.ledger import Ledger


@pytest.fixture
def fair_share(ledger: Ledger) -> FairShare:
    return FairShare(ledger)


def upload(client: str, seconds: float, **columns: Any) -> Job:
    inputs = [JobInput(name="a.npz", key="k/0", size=7)]
    return Job(client=client, cost_seconds=seconds, **{"model": "auto", "steps": 12, "inputs": inputs, **columns})


def feed_job(**columns: Any) -> Job:
    return Job(kind="feed", model="auto", steps=1, inputs=[], feed="north", **columns)


def claim(fair_share: FairShare, message: str = "of another job") -> Job | None:
    return fair_share.claim_next(message, 60, max_attempts=3)


def took(ledger: Ledger, job: Job | None, seconds: float) -> None:
    """The job ends, after so many seconds."""
    assert job is not None
    timings = Timings(queue_seconds=0, read_seconds=0, compute_seconds=seconds, write_seconds=0)
    assert ledger.succeed(job, result_key="r", input_key="i", timings=timings)


def clients_in_turn(fair_share: FairShare, ledger: Ledger) -> str:
    """The clients of all waiting jobs in the order in which one worker takes them; each takes as long as expected."""
    order = ""
    while (job := claim(fair_share)) is not None:
        order += job.client
        took(ledger, job, job.cost_seconds)
    return order


def test_clients_take_turns_by_what_their_nowcasts_cost(ledger: Ledger, fair_share: FairShare) -> None:
    for client, seconds in [("a", 60.0)] * 4 + [("b", 60.0)] * 2 + [("c", 20.0)] * 4:
        ledger.create(upload(client, seconds))
    assert clients_in_turn(fair_share, ledger) == "abccc" + "abcaa"


def test_the_message_of_a_large_job_takes_the_small_one_of_another_client(
    ledger: Ledger, fair_share: FairShare
) -> None:
    large = [ledger.create(upload("a", 300)) for _ in range(8)]
    running = claim(fair_share, large[0].id)
    assert running is not None
    assert running.id == large[0].id
    small = ledger.create(upload("b", 1))
    assert fair_share.estimate(small).position == 1
    taken = claim(fair_share, large[1].id)
    assert taken is not None
    assert taken.id == small.id
    second = claim(fair_share, small.id)
    assert second is not None
    assert second.id == large[1].id, "the messages that are left belong to the jobs that are left"


def test_what_counts_is_the_time_that_a_nowcast_took_and_not_the_one_that_was_expected(
    ledger: Ledger, fair_share: FairShare
) -> None:
    for client in "ab":
        ledger.create(upload(client, 10 if client == "b" else 1))
    took(ledger, claim(fair_share), 500)
    took(ledger, claim(fair_share), 2)
    for client in "ab":
        ledger.create(upload(client, 1))
    assert clients_in_turn(fair_share, ledger) == "ba"


def test_a_nowcast_that_was_dismissed_while_it_ran_counts_and_an_old_one_does_not(
    ledger: Ledger, fair_share: FairShare
) -> None:
    ledger.create(upload("a", 100))
    job = claim(fair_share)
    assert job is not None
    assert ledger.dismiss(job.id)
    for client in "ab":
        ledger.create(upload(client, 1))
    first = claim(fair_share)
    assert first is not None
    assert first.client == "b"
    took(ledger, first, 50)
    with writing(ledger.engine) as session:
        session.execute(update(Job).where(Job.id == job.id).values(finished=datetime.now(UTC) - timedelta(minutes=11)))
    ledger.create(upload("b", 1))
    assert clients_in_turn(fair_share, ledger) == "ab"


def test_no_more_jobs_of_a_client_run_than_its_limit(ledger: Ledger, fair_share: FairShare) -> None:
    for _ in range(3):
        ledger.create(upload("a", 1, running_limit=2))
    running = [claim(fair_share) for _ in range(3)]
    assert [job is not None for job in running] == [True, True, False]
    took(ledger, running[0], 1)
    assert claim(fair_share) is not None


def test_a_job_that_was_started_before_is_claimed_by_its_own_message_alone(
    ledger: Ledger, fair_share: FairShare
) -> None:
    made = ledger.create(upload("a", 1))
    job = claim(fair_share)
    assert job is not None
    assert ledger.release(job)
    assert claim(fair_share) is None, "the store that failed may need a while"
    ledger.create(upload("b", 1))
    again = claim(fair_share, made.id)
    assert again is not None
    assert (again.id, again.attempt) == (made.id, 2)


def test_similar_jobs_are_claimed_together_feeds_first_then_uploads_in_turn(
    ledger: Ledger, fair_share: FairShare
) -> None:
    first, *of_a = [ledger.create(upload("a", 10)) for _ in range(4)]
    of_b = [ledger.create(upload("b", 10)) for _ in range(2)]
    other = ledger.create(upload("c", 1, model="extrapolation"))
    feed = ledger.create(feed_job())
    job = ledger.claim(first.id, 60)
    assert job is not None
    taken = fair_share.claim_similar(job, 4, 60)
    assert [one.id for one in taken] == [feed.id, of_b[0].id, of_a[0].id, of_b[1].id]
    assert all(ledger.renew_lease(one, 60) for one in taken)
    assert ledger.claim(feed.id, 60) is None, "its message in the queue finds it taken"
    assert [one.id for one in fair_share.claim_similar(job, 4, 60)] == [of_a[1].id, of_a[2].id]
    assert fair_share.claim_similar(job, 4, 60) == []
    assert claim(fair_share).id == other.id


def test_concurrent_workers_never_claim_the_same_job(ledger: Ledger, fair_share: FairShare) -> None:
    made = [ledger.create(upload(client, 1)).id for client in "abcd" * 5]
    first = claim(fair_share)
    assert first is not None
    with ThreadPoolExecutor(8) as pool:
        similar = pool.map(lambda _: fair_share.claim_similar(first, 2, 60), range(4))
        taken = [job for job in pool.map(lambda _: claim(fair_share), range(30)) if job is not None]
        taken += [job for jobs in similar for job in jobs]
    assert sorted(job.id for job in [first, *taken]) == sorted(made)


def test_only_small_jobs_are_claimed_in_place_of_a_running_one_feeds_first(
    ledger: Ledger, fair_share: FairShare
) -> None:
    assert fair_share.claim_small(5, 60) is None
    ledger.create(upload("a", 100))
    small = ledger.create(upload("b", 4))
    feed = ledger.create(feed_job(cost_seconds=3.0))
    claimed = [fair_share.claim_small(5, 60) for _ in range(3)]
    assert [job and job.id for job in claimed] == [feed.id, small.id, None]


def test_position_and_wait_follow_from_what_is_ahead(ledger: Ledger, fair_share: FairShare) -> None:
    ledger.create(upload("a", 100))
    running = claim(fair_share)
    assert running is not None
    assert ledger.renew_lease(running, 60, progress_done=9)
    waiting = [ledger.create(upload(client, seconds)) for client, seconds in (("a", 40), ("b", 20), ("b", 10))]
    assert fair_share.estimate(ledger.get(running.id)) == (0, 0.0, pytest.approx(25))
    estimates = [fair_share.estimate(job) for job in waiting]
    assert [estimate.position for estimate in estimates] == [3, 1, 2]
    assert [estimate.seconds_to_start for estimate in estimates] == pytest.approx([55, 25, 45])
    assert [estimate.seconds_to_finish for estimate in estimates] == pytest.approx([95, 45, 55])
    assert fair_share.seconds_to_place() == pytest.approx(25)
    took(ledger, running, 1)
    assert fair_share.estimate(ledger.get(running.id)) is None


def test_seconds_are_measured_by_model(ledger: Ledger, fair_share: FairShare) -> None:
    for model, seconds in (("auto", 30.0), ("extrapolation", 3.0)):
        ledger.create(upload("a", 1, model=model, work=10.0))
        took(ledger, claim(fair_share), seconds)
    assert fair_share.cost_seconds("auto", 100) == pytest.approx(300)
    assert fair_share.cost_seconds("extrapolation", 100) == pytest.approx(30)
    assert fair_share.cost_seconds("another", 100) == pytest.approx(25), "that of a network on two cores"


def test_work_grows_with_pixels_steps_members_and_probabilities() -> None:
    assert work_of(1e6, 12, DETERMINISTIC_OUTPUT) == 12
    assert work_of(1e6, 12, ForecastOutput(members=20)) > 3 * 12
    assert 12 < work_of(1e6, 12, ForecastOutput(thresholds_mm_h=(0.5, 2.0))) < 15
    one, eight = (work_of_files(800_000, files, 12, DETERMINISTIC_OUTPUT) for files in (1, 8))
    assert 0 < eight < one
