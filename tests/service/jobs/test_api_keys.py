"""API keys in the ledger, on SQLite and PostgreSQL."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from service.jobs.api_keys import USE_RECORDED_EVERY, ApiKeys, InvalidKey, NoSuchKey, Quota, Scope
from service.jobs.job import IdempotencyConflict, Job, UnknownJob
from service.jobs.ledger import Ledger


@pytest.fixture
def api_keys(ledger: Ledger) -> ApiKeys:
    return ApiKeys(ledger.engine)


def test_a_key_is_found_by_its_secret_which_is_kept_nowhere(ledger: Ledger, api_keys: ApiKeys) -> None:
    quota = Quota(max_queued_jobs=3, bytes_per_day=5_000_000_000, requests_per_second=0.5)
    key, secret = api_keys.create("flood-duty", [Scope.NOWCAST, Scope.READ], quota=quota)
    assert re.fullmatch(r"echocast_[0-9a-f]{48}", secret)
    found = api_keys.find(secret)
    assert found is not None
    assert (found.id, found.client, found.scopes, found.quota) == (key.id, "flood-duty", ["nowcast", "read"], quota)
    assert api_keys.find(secret[:-1] + ("0" if secret[-1] != "0" else "1")) is None
    with ledger.engine.connect() as connection:
        assert secret[9:] not in str(connection.execute(text("SELECT * FROM api_keys")).all())
    assert found.digest not in repr(found)


def test_secrets_differ(api_keys: ApiKeys) -> None:
    assert len({api_keys.create("one", [Scope.READ])[1] for _ in range(20)}) == 20


def test_a_key_expires_and_can_be_revoked(api_keys: ApiKeys) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    expired, _ = api_keys.create("a", [Scope.READ], expires=past)
    valid, _ = api_keys.create("b", [Scope.READ], expires=past + timedelta(days=1))
    assert [key.state for key in (expired, valid)] == ["expired", "valid"]
    first = api_keys.revoke(valid.id)
    assert (first.state, api_keys.revoke(valid.id).revoked) == ("revoked", first.revoked)
    with pytest.raises(NoSuchKey, match="no key"):
        api_keys.revoke("nope")
    assert {key.id: key.state for key in api_keys.all()} == {expired.id: "expired", valid.id: "revoked"}


def test_keys_that_no_longer_work_do_not_open_the_service(api_keys: ApiKeys) -> None:
    assert not api_keys.any()
    key, _ = api_keys.create("a", [Scope.READ])
    api_keys.revoke(key.id)
    assert api_keys.any()


def test_the_last_use_is_recorded_now_and_then(ledger: Ledger, api_keys: ApiKeys) -> None:
    key, secret = api_keys.create("a", [Scope.READ])
    api_keys.record_use(key)
    used = api_keys.find(secret)
    assert used is not None
    assert used.last_used is not None
    api_keys.record_use(used)
    ApiKeys(ledger.engine).record_use(key)  # another process, which has read the key before
    again = api_keys.find(secret)
    assert again is not None
    assert again.last_used == used.last_used
    with ledger.engine.begin() as connection:
        earlier = datetime.now(UTC) - 2 * USE_RECORDED_EVERY
        connection.execute(text("UPDATE api_keys SET last_used = :earlier"), {"earlier": earlier})
    old = api_keys.find(secret)
    assert old is not None
    ApiKeys(ledger.engine).record_use(old)  # of another process: this one has recorded a use just now
    again = api_keys.find(secret)
    assert again is not None
    assert again.last_used is not None
    assert again.last_used >= used.last_used


@pytest.mark.parametrize("name", ["", "anonymous", "Upper", "a b", "-a", "a" * 64, "a/b", "a\n"])
def test_names_of_clients_are_plain(api_keys: ApiKeys, name: str) -> None:
    with pytest.raises(InvalidKey):
        api_keys.create(name, [Scope.READ])


def test_jobs_and_idempotency_keys_belong_to_their_client(ledger: Ledger) -> None:
    def create(client: str, digest: str = "d") -> Job:
        job = Job(model="auto", steps=1, inputs=[], client=client, idempotency_key="k", request_digest=digest)
        return ledger.create(job)

    mine, other = create("a"), create("b", digest="another request")
    assert mine.id != other.id
    assert create("a").id == mine.id
    with pytest.raises(IdempotencyConflict):
        create("a", digest="another request")
    assert ledger.get(mine.id, owner="a").id == ledger.get(mine.id).id == mine.id
    with pytest.raises(UnknownJob, match=mine.id):
        ledger.get(mine.id, owner="b")
