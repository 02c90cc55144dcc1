"""Every route of the gateway x who asks, and the answer. A new route is in the table as soon as the gateway has it."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from model.core.settings import BadSetting
from service.api.access.authentication import OPEN_SECONDS
from service.api.access.scopes import PUBLIC, scopes_of_routes
from service.api.app import create_app
from service.jobs.api_keys import ApiKeys, Scope
from service.jobs.job import Job
from service.jobs.ledger import Ledger
from service.settings import Settings
from tests.patience import wait_until
from tests.service.api.conftest import NO_REDIS, served

PARAMETERS = {
    "feed": "north",
    "reference_time": "2026-06-01T12:00:00Z",
    "index": "4",
    "processID": "nowcast",
    "name": "persistence",
    "version": "1",
    "code": "unknown-job",
    "product": "cog",
    "object": "20260601/0123456789ab.zarr/zarr.json",
    "frame": "latest",
    "size": "256",
    "z": "0",
    "x": "0",
    "y": "0",
    "color": "2",
    "options": "1_1",
    "file_format": "png",
    "collectionId": "north",
    "instanceId": "2026-06-01T12:00:00Z",
    "locationId": "town",
    "key_id": "00000000",
}
REFUSALS = {
    "not-authenticated",
    "invalid-credentials",
    "insufficient-scope",
    "unknown-job",
    "wrong-host",
    "cross-origin",
}
OGC_NAMES = {"no-such-job": "unknown-job"}
SERVED = "served"
OTHER_SCOPE = {Scope.READ: Scope.NOWCAST, Scope.NOWCAST: Scope.READ, Scope.ADMIN: Scope.READ}


@pytest.fixture(scope="module")
def secrets(context):
    """Secrets of keys by who has them; with the first, the gateway is no longer open."""
    keys = ApiKeys(context.ledger.engine)
    past = datetime.now(UTC) - timedelta(minutes=1)
    made = {f"only {scope}": keys.create("owner", [scope])[1] for scope in (Scope.READ, Scope.NOWCAST)}
    made["owner"] = keys.create("owner", [Scope.READ, Scope.NOWCAST])[1]
    made["other"] = keys.create("other", [Scope.READ, Scope.NOWCAST])[1]
    made["admin"] = keys.create("ops", [Scope.ADMIN])[1]
    made["expired"] = keys.create("owner", list(Scope), expires=past)[1]
    revoked, made["revoked"] = keys.create("owner", list(Scope))
    keys.revoke(revoked.id)
    made["unknown"] = "echocast_" + "0" * 48
    made["no key at all"] = "eyJhbGciOiJub25lIn0.e30."
    time.sleep(OPEN_SECONDS)
    return made


@pytest.fixture
def accepted(context, secrets):
    """The job that `finished` finishes, of the client `owner`."""
    return context.ledger.create(Job(model="auto", steps=4, inputs=[], client="owner"))


@pytest.fixture
def ask(gateway, app, finished, secrets):
    """What each route answers, by its scope: `SERVED`, or the code of a refusal. `who` may depend on the scope."""

    def asked(who, *, headers=None):
        table = {}
        for route, scope in scopes_of_routes(app):
            path = re.sub(
                r"{(\w+)[^}]*}",
                lambda part: {**PARAMETERS, "id": finished.id, "jobID": finished.id}[part[1]],
                route.path_format,
            )
            sender = who(scope) if callable(who) else who
            credentials = {} if sender is None else {"Authorization": f"Bearer {secrets[sender]}"}
            for method in sorted(route.methods):
                with gateway.stream(method, path, headers={**credentials, **(headers or {})}) as response:
                    if not response.headers.get("content-type", "").startswith("text/event-stream"):  # may never end
                        response.read()
                    table[method, route.path_format] = (scope, answer(response))
        return table

    return asked


def answer(response):
    code = (
        response.json()["type"].rpartition("/")[2] if "problem+json" in response.headers.get("content-type", "") else ""
    )
    code = OGC_NAMES.get(code, code)
    if code not in REFUSALS:
        assert response.status_code not in (401, 403), response.text
        return SERVED
    challenge = response.headers.get("www-authenticate", "")
    expected = {"not-authenticated": 401, "invalid-credentials": 401, "insufficient-scope": 403, "unknown-job": 404}
    assert response.status_code == {**expected, "wrong-host": 421, "cross-origin": 403}[code]
    assert challenge.startswith('Bearer realm="echocast"') == (code in list(expected)[:3])
    return code


def of_a_job(path):
    return path.startswith(("/v1/nowcasts/{id}", "/jobs/{jobID}"))


def expect(table, private, of_jobs=None, of_operator=None):
    """Assert the answers: public routes serve everybody; those of jobs and of the operator may be given apart."""
    assert {scope for scope, _ in table.values()} == {None, *Scope}
    for (method, path), (scope, found) in table.items():
        wanted = SERVED if scope is None else of_jobs if of_jobs and of_a_job(path) else private
        wanted = of_operator if of_operator and scope is Scope.ADMIN else wanted
        assert (method, path, found) == (method, path, wanted)


def test_without_a_key(ask):
    expect(ask(None), "not-authenticated")


@pytest.mark.parametrize("who", ["expired", "revoked", "unknown", "no key at all"])
def test_with_a_key_that_is_not_accepted(ask, who):
    expect(ask(who), "invalid-credentials")


def test_with_another_scope(ask):
    expect(ask(lambda scope: scope and f"only {OTHER_SCOPE[scope]}"), "insufficient-scope")


def test_with_the_scope_of_the_route(ask):
    expect(ask(lambda scope: scope and f"only {scope}" if scope is not Scope.ADMIN else "admin"), SERVED)


def test_another_clients_job_is_as_unknown_as_none(ask, gateway, secrets, finished):
    expect(ask("other"), SERVED, of_jobs="unknown-job", of_operator="insufficient-scope")
    headers = {"Authorization": f"Bearer {secrets['other']}"}
    headers["X-Request-ID"] = "the-same"
    foreign, none = (gateway.get(f"/v1/nowcasts/{job}", headers=headers).text for job in (finished.id, "f" * 32))
    assert foreign.replace(finished.id, "f" * 32) == none


def test_an_admin_reaches_every_job(ask):
    expect(ask("admin"), SERVED)


@pytest.mark.parametrize("who", [None, "admin"])
def test_under_another_name(ask, who):
    table = ask(who, headers={"Host": "rebound.example"})
    assert {found for _, found in table.values()} == {"wrong-host"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://other.example"},
        {"Origin": "null"},
        {"Origin": "https://other.example", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_from_another_origin(ask, headers):
    table = ask("admin", headers=headers)
    assert {method for method, _ in table} >= {"GET", "POST", "DELETE"}
    for (method, path), (_, found) in table.items():
        assert (method, path, found) == (method, path, SERVED if method == "GET" else "cross-origin")


def test_the_answer_tells_what_to_send(gateway, secrets, finished):
    path = f"/v1/nowcasts/{finished.id}"
    missing = gateway.get(path)
    assert "Authorization: Bearer" in missing.json()["hint"]
    wrong = gateway.delete(path, headers={"Authorization": f"Bearer {secrets['only read']}"})
    assert wrong.headers["www-authenticate"] == 'Bearer realm="echocast", error="insufficient_scope", scope="nowcast"'
    expired = gateway.get(path, headers={"Authorization": f"Bearer {secrets['expired']}"})
    assert "has expired" in expired.json()["what"]


def test_a_large_upload_is_refused_with_an_answer(gateway, secrets):
    """The client that still sends sees 401, and no reset connection."""
    for _ in range(5):
        response = gateway.post("/v1/nowcasts", files={"files": b"\x00" * 8_000_000})
        assert response.json()["type"] == "/problems/not-authenticated"


def test_uploads_belong_to_their_client_and_so_do_idempotency_keys(gateway, context, secrets):
    def submit(who):
        headers = {"Authorization": f"Bearer {secrets[who]}", "Idempotency-Key": "same"}
        return gateway.post("/v1/nowcasts", files={"files": ("a.h5", b"\x89HDF")}, headers=headers).json()["id"]

    mine = submit("owner")
    assert context.ledger.get(mine).client == "owner"
    assert submit("owner") == mine != submit("other")


def test_the_first_key_closes_a_running_service(tmp_path):
    from tests.service.api.conftest import NO_REDIS, served

    app = create_app(Settings(data_dir=tmp_path, broker_url=NO_REDIS))
    with served(app) as client:
        assert client.get("/v1/models").status_code == 200
        _, secret = ApiKeys(app.state.context.ledger.engine).create("a", [Scope.READ])
        headers = {"Authorization": f"Bearer {secret}"}
        assert client.get("/v1/models", headers=headers).status_code == 200
        wait_until(lambda: client.get("/v1/models").status_code == 401, "the service to be closed")
        [key] = ApiKeys(app.state.context.ledger.engine).all()
        assert key.last_used is not None


def test_a_route_that_declares_no_scope_stops_the_start(app):
    from fastapi import FastAPI

    def nothing() -> None:
        """A route."""

    forgetful = FastAPI()
    forgetful.get("/forgotten")(nothing)
    with pytest.raises(TypeError, match="/forgotten must declare one scope"):
        scopes_of_routes(forgetful)
    twice = FastAPI(dependencies=[PUBLIC])
    twice.get("/twice", dependencies=[PUBLIC])(nothing)
    with pytest.raises(TypeError, match="declares 2"):
        scopes_of_routes(twice)


def test_the_openapi_description_has_the_scopes(gateway, app):
    api = gateway.get("/openapi.json").json()
    assert api["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for route, scope in scopes_of_routes(app):
        for method in route.methods if route.include_in_schema else ():
            security = api["paths"][route.path_format][method.lower()].get("security")
            assert security == (None if scope is None else [{"key": [scope]}])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_an_address_that_others_reach_needs_a_key_or_the_word_open(tmp_path, host):
    settings = Settings(data_dir=tmp_path, host=host)
    with pytest.raises(BadSetting, match=f"other machines reach {host}"):
        create_app(settings)
    create_app(settings.model_copy(update={"access": "open"})).state.context.close()
    ledger = Ledger(settings.database)
    ApiKeys(ledger.engine).create("a", [Scope.READ])
    ledger.close()
    create_app(settings).state.context.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_a_loopback_address_is_open_as_it_is(tmp_path, host):
    create_app(Settings(data_dir=tmp_path, host=host)).state.context.close()


def test_an_open_service_ignores_the_tokens_of_its_proxy_and_no_wrong_key(tmp_path):
    app = create_app(Settings(data_dir=tmp_path, broker_url=NO_REDIS, access="open"))
    with served(app) as client:
        token = client.get("/v1/models", headers={"Authorization": "Bearer eyJhbGciOiJSUzI1NiJ9.e30.x"})
        key = client.get("/v1/models", headers={"Authorization": f"Bearer echocast_{'0' * 48}"})
    assert (token.status_code, key.status_code) == (200, 401)
