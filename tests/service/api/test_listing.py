"""Lists of nowcasts: whose they are, which of them, and pages."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from service.jobs.api_keys import ApiKeys, Scope
from service.jobs.job import Job

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def headers(context):
    """The credentials of two clients and an admin; with their keys the gateway is no longer open."""
    keys = ApiKeys(context.ledger.engine)
    made = {name: keys.create(name, [Scope.READ])[1] for name in ("ann", "bob")}
    made["admin"] = keys.create("ops", [Scope.ADMIN])[1]
    return {name: {"Authorization": f"Bearer {secret}"} for name, secret in made.items()}


@pytest.fixture(scope="module")
def jobs(context):
    """Ids of ann's jobs, one each minute, the newest first: two of each status in turn; bob has one."""
    ledger = context.ledger
    made = []
    for number in range(10):
        created = NOON + timedelta(minutes=number // 2)  # two at the same time
        job = ledger.create(
            Job(model=("auto", "persistence")[number % 2], steps=1, inputs=[], client="ann", created=created)
        )
        if number >= 6:
            claimed = ledger.claim(job.id, 60)
            ledger.record_model(claimed, model_used="rain_ms@2" if number < 8 else "rainXms@2", note="")
            ledger.succeed(claimed, result_key="r", input_key="i")
        made.append(job)
    ledger.create(Job(model="auto", steps=1, inputs=[], client="bob", created=NOON - timedelta(days=1)))
    return [job.id for job in sorted(made, key=lambda job: (job.created, job.id), reverse=True)]


def ids(response):
    assert response.status_code == 200, response.text
    return [nowcast["id"] for nowcast in response.json()["nowcasts"]]


def next_of(response):
    return next((link["href"] for link in response.json()["links"] if link["rel"] == "next"), None)


def test_clients_see_their_own_and_an_admin_all(gateway, headers, jobs):
    assert ids(gateway.get("/v1/nowcasts", headers=headers["ann"])) == jobs
    [own] = ids(gateway.get("/v1/nowcasts", headers=headers["bob"]))
    assert own not in jobs
    assert ids(gateway.get("/v1/nowcasts", headers=headers["admin"])) == [*jobs, own]


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_pages_have_each_nowcast_once_while_others_are_added(gateway, context, headers, jobs, limit):
    found, added, address = [], [], f"/v1/nowcasts?limit={limit}&created_before=2026-06-02T00:00:00Z"
    while address is not None:
        page = gateway.get(address, headers=headers["ann"])
        assert len(ids(page)) <= limit
        found += ids(page)
        address = next_of(page)
        later = NOON + timedelta(hours=1, minutes=len(found))
        added.append(context.ledger.create(Job(model="auto", steps=1, inputs=[], client="ann", created=later)).id)
    for job_id in added:
        context.ledger.dismiss(job_id)
    context.ledger.delete(added)
    assert found == jobs


@pytest.mark.parametrize(
    ("query", "chosen"),
    [
        ("status=successful", range(4)),
        ("status=accepted&status=running", range(4, 10)),
        ("model=rain_ms", range(2, 4)),
        ("model=rain_ms@2", range(2, 4)),
        ("model=rain_ms@1", []),
        ("created_after=2026-06-01T12:03:00Z", range(4)),
        ("created_before=2026-06-01T12:01:00Z", range(8, 10)),
        ("created_after=2026-06-01T14:01:00%2B02:00&created_before=2026-06-01T12:02:00Z", range(6, 8)),
    ],
)
def test_filters(gateway, headers, jobs, query, chosen):
    query = f"{query}&created_before=2026-06-01T12:30:00Z" if "before" not in query else query
    assert ids(gateway.get(f"/v1/nowcasts?{query}", headers=headers["ann"])) == [jobs[number] for number in chosen]


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("status=done", "status.0"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("created_after=yesterday", "created_after"),
        ("created_after=2026-06-01T12:00:00", "created_after"),
        ("created_after=0001-01-01T00:00:00%2B14:00", "created_after"),
        ("created_before=9999-12-31T23:59:59-01:00", "created_before"),
        ("model=a%00", "model"),
        ("cursor=WyI5OTk5LTEyLTMxVDIzOjU5OjU5LTEyOjAwIiwgIngiXQ", "cursor"),
        ("cursor=abc", "cursor"),
        ("cursor=WyIyMDI2LTA2LTAxVDEyOjAwOjAwIiwgIngiXQ", "cursor"),
        ("cursor=W10", "cursor"),
        ("cursor=ÿ", "cursor"),
    ],
)
def test_a_query_that_cannot_be_used(gateway, headers, query, where):
    body = gateway.get(f"/v1/nowcasts?{query}", headers=headers["ann"]).json()
    assert (body["status"], body["type"], body["where"]) == (422, "/problems/invalid-parameter", where)


def test_the_latest_is_the_own_newest_successful_one(gateway, headers, jobs):
    response = gateway.get("/v1/nowcasts/latest", headers=headers["ann"])
    assert (response.status_code, response.headers["location"]) == (307, f"/v1/nowcasts/{jobs[0]}")
    of_model = gateway.get("/v1/nowcasts/latest?model=rain_ms", headers=headers["ann"], follow_redirects=True).json()
    assert (of_model["id"], of_model["model_used"]) == (jobs[2], "rain_ms@2")
    none = gateway.get("/v1/nowcasts/latest", headers=headers["bob"])
    assert (none.status_code, none.json()["type"]) == (404, "/problems/no-nowcast")


def test_lists_are_read_from_an_index(gateway, context, headers, jobs):
    asked = []
    engine = context.ledger.engine
    event.listen(engine, "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
    for who in ("ann", "admin"):
        cursor = next_of(gateway.get("/v1/nowcasts?limit=2", headers=headers[who]))
        assert ids(gateway.get(cursor, headers=headers[who]))
    lists = [(statement, values) for statement, values in asked if "ORDER BY jobs.created" in statement]
    assert len(lists) == 4
    with engine.connect() as connection:
        for statement, values in lists:
            plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all())
            assert "USING INDEX ix_jobs_" in plan
            assert "TEMP B-TREE" not in plan
