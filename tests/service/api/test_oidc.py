"""Who sends the tokens of an OpenID Connect issuer, and who is refused. The issuer is served over HTTP."""

from __future__ import annotations

import json
import socket
import time

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from model.core.settings import BadSetting
from service.api.access import issuer as issuer_module
from service.api.access.authentication import access_tokens
from service.api.access.tokens import client_id
from service.api.app import create_app
from service.jobs.api_keys import CLIENT_NAME, ApiKeys, Scope
from service.jobs.job import Job
from service.settings import Settings, load_settings
from tests.service.api.conftest import NO_REDIS, served
from tests.service.api.issuer import AUDIENCE, handmade, served_issuer

HOUR = 3600


@pytest.fixture(scope="module")
def the_issuer():
    with served_issuer() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def settings(tmp_path_factory, the_issuer):
    folder = tmp_path_factory.mktemp("data")
    return Settings(data_dir=folder, broker_url=NO_REDIS, oidc_issuer=the_issuer.url, oidc_audience=AUDIENCE)


@pytest.fixture
def issuer(the_issuer, settings, context):
    """The issuer as at its start, of which the gateway knows nothing yet."""
    the_issuer.reset()
    context.authenticator._tokens = access_tokens(settings)
    return the_issuer


@pytest.fixture
def ask(gateway):
    """The status, the type of the problem, if any, and the response to a request with a token."""

    def asked(token, path="/v1/models", method="GET"):
        response = gateway.request(method, path, headers={} if token is None else {"Authorization": f"Bearer {token}"})
        return response.status_code, response.json().get("type", "").rpartition("/")[2], response

    return asked


def refused(asked, words):
    status, problem, response = asked
    assert (status, problem) == (401, "invalid-credentials")
    assert words in response.json()["what"]
    assert 'error="invalid_token"' in response.headers["www-authenticate"]
    return True


def test_a_token_of_the_issuer_is_accepted(ask, issuer):
    assert ask(issuer.token())[0] == 200
    assert ask(issuer.token(aud=["other", AUDIENCE], scope=["echocast:read"]))[0] == 200


def test_an_elliptic_key_serves_too(ask, issuer):
    issuer.add_key("elliptic", "ES256")
    assert ask(issuer.token(kid="elliptic", algorithm="ES256"))[0] == 200


def test_without_a_token_the_service_is_closed(ask):
    """On a loopback address, without any API key."""
    assert ask(None)[:2] == (401, "not-authenticated")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"aud": "https://other.example"}, "for another audience"),
        ({"aud": None}, "lacks one of the claims"),
        ({"iss": "https://other.example"}, "of another issuer"),
        ({"exp": -HOUR}, "has expired"),
        ({"exp": None}, "lacks one of the claims"),
        ({"nbf": HOUR}, "not valid yet"),
        ({"iat": HOUR}, "not valid yet"),
        ({"sub": None}, "lacks one of the claims"),
        ({"sub": 7}, "neither an API key of this service nor a token"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_token_with_a_wrong_claim_is_refused(ask, issuer, changes, words):
    times = {name: int(time.time()) + value for name, value in changes.items() if value in (HOUR, -HOUR)}
    assert refused(ask(issuer.token(**changes | times)), words)


def test_clocks_may_differ_a_little(ask, issuer):
    now = int(time.time())
    assert ask(issuer.token(iat=now + 10, nbf=now + 10))[0] == 200
    assert ask(issuer.token(iat=now - HOUR, exp=now - 10))[0] == 200


@pytest.mark.parametrize("name", ["none", "None", "HS256", "HS512", "RS1", "", None, 5, ["RS256"]])
def test_a_token_with_another_algorithm_is_refused(ask, issuer, name):
    token = handmade({"alg": name, "kid": "first"}, issuer.claims())
    assert refused(ask(token), "algorithm that is not accepted")
    assert not issuer.requests


@pytest.mark.parametrize("form", ["pem", "jwk"])
def test_the_public_key_is_no_secret(ask, issuer, form):
    pem = issuer.private["first"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secret = pem if form == "pem" else json.dumps(issuer.published[0]).encode()
    for name, words in (("HS256", "algorithm"), ("RS256", "signature")):
        assert refused(ask(handmade({"alg": name, "kid": "first"}, issuer.claims(), secret)), words)


def test_a_secret_among_the_published_keys_is_no_key(ask, issuer):
    issuer.published.append({"kty": "oct", "kid": "secret", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlYw"})
    assert set(issuer_module.fetch_keys(issuer.url)) == {"first"}
    secret = b"secret-secret-secret-secret-sec"
    for name in ("HS256", "RS256"):
        assert ask(handmade({"alg": name, "kid": "secret"}, issuer.claims(), secret))[0] == 401


def test_a_signature_by_another_key_is_refused(ask, issuer):
    issuer.add_key("second")
    issuer.published.pop()
    token = handmade({"alg": "RS256", "kid": "first"}, issuer.claims()).rpartition(".")[0]
    foreign = issuer.token(kid="second").rpartition(".")[2]
    assert refused(ask(f"{token}.{foreign}"), "signature")


@pytest.mark.parametrize("token", ["x", "a.b.c", "..", "e30.e30.", "echocast_" + "0" * 48, "ey" * 4000])
def test_what_is_no_token_is_refused(ask, issuer, token):
    assert ask(token)[:2] == (401, "invalid-credentials")
    assert not issuer.requests


def test_a_rotated_key_is_found_but_forged_ids_make_no_requests(ask, issuer, monkeypatch):
    assert ask(issuer.token())[0] == 200
    asked_once = len(issuer.requests)
    issuer.add_key("rotated")
    issuer.private["forged"] = issuer.private["first"]
    for _ in range(5):
        assert refused(ask(issuer.token(kid="forged")), "nor a token of its issuer")
        assert ask(issuer.token(kid="rotated"))[0] == 401, "within a minute of the last fetch"
    assert len(issuer.requests) == asked_once == 2
    monkeypatch.setattr(issuer_module, "REFETCH_SECONDS", 0.0)
    assert ask(issuer.token(kid="rotated"))[0] == 200
    assert ask(issuer.token())[0] == 200
    assert len(issuer.requests) == 2 * asked_once


def test_a_withdrawn_key_is_forgotten(ask, issuer, monkeypatch):
    assert ask(issuer.token())[0] == 200
    issuer.add_key("second")
    del issuer.published[0]
    assert ask(issuer.token())[0] == 200
    monkeypatch.setattr(issuer_module, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(issuer_module, "REFETCH_SECONDS", 0.0)
    assert ask(issuer.token())[0] == 401


@pytest.mark.parametrize("scope", [None, "", "openid read admin", "echocast", {"echocast:read": True}, 5, [["x"]]])
def test_a_token_without_a_scope_permits_nothing(ask, issuer, scope):
    assert ask(issuer.token(scope=scope))[:2] == (403, "insufficient-scope")


def test_each_scope_permits_its_own(ask, issuer, context):
    job = context.ledger.create(Job(model="auto", steps=4, inputs=[], client=client_id(issuer.url, "anna")))
    path = f"/v1/nowcasts/{job.id}"
    assert ask(issuer.token(scope="echocast:read"), path, "DELETE")[:2] == (403, "insufficient-scope")
    assert ask(issuer.token(scope="echocast:nowcast"), path)[:2] == (403, "insufficient-scope")
    assert ask(issuer.token(scope="echocast:read"), path)[0] == 200


def test_another_subjects_job_is_unknown(ask, gateway, issuer, context):
    headers = {"Authorization": f"Bearer {issuer.token()}"}
    job = gateway.post("/v1/nowcasts", files={"files": ("a.h5", b"\x89HDF")}, headers=headers).json()["id"]
    path = f"/v1/nowcasts/{job}"
    assert ask(issuer.token(), path)[0] == 200
    assert ask(issuer.token(sub="ben"), path)[:2] == (404, "unknown-job")
    assert ask(issuer.token(sub="ben", scope="echocast:admin"), path)[0] == 200
    _, key = ApiKeys(context.ledger.engine).create("anna", [Scope.READ])
    assert ask(key, path)[:2] == (404, "unknown-job")
    assert ask(key)[0] == 200, "API keys serve beside tokens"


def test_a_client_is_no_client_of_an_api_key():
    ids = {client_id(*pair) for pair in [("a", "b"), ("a", "c"), ("ab", ""), ("", "ab"), ("a", "x" * 10_000)]}
    assert len(ids) == 5
    assert client_id("a", "b") in ids
    for one in ids:
        assert len(one) <= 128
        assert not CLIENT_NAME.fullmatch(one)


def unavailable(asked):
    status, problem, response = asked
    assert (status, problem) == (503, "issuer-unavailable")
    assert int(response.headers["retry-after"]) > 0
    return True


def test_while_the_issuer_is_down_nobody_is_let_in(ask, issuer, context, monkeypatch):
    keys_document = issuer.documents.pop("/realm/keys")
    assert unavailable(ask(issuer.token()))
    asked = len(issuer.requests)
    assert unavailable(ask(issuer.token()))
    assert len(issuer.requests) == asked, "it is left alone for a while"
    _, key = ApiKeys(context.ledger.engine).create("a", [Scope.READ])
    assert ask(key)[0] == 200
    monkeypatch.setattr(issuer_module, "RETRY_SECONDS", 0.0)
    issuer.documents["/realm/keys"] = keys_document
    assert ask(issuer.token())[0] == 200


def test_an_issuer_that_nothing_listens_for(tmp_path, issuer):
    settings = Settings(data_dir=tmp_path, broker_url=NO_REDIS, oidc_issuer="http://127.0.0.1:1", oidc_audience="a")
    with served(create_app(settings)) as client:
        response = client.get("/v1/models", headers={"Authorization": f"Bearer {issuer.token()}"})
        assert response.status_code == 503
        assert client.get("/v1/models").status_code == 401
        assert client.get("/healthz").status_code == 200


def test_an_issuer_that_says_nothing_holds_no_request_for_long(tmp_path, issuer, monkeypatch):
    monkeypatch.setattr(issuer_module, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = Settings(data_dir=tmp_path, broker_url=NO_REDIS, oidc_issuer=url, oidc_audience="a")
        with served(create_app(settings)) as client:
            response = client.get("/v1/models", headers={"Authorization": f"Bearer {issuer.token()}"})
            assert response.json()["type"] == "/problems/issuer-unavailable"


def test_known_keys_outlast_an_outage_but_not_for_ever(ask, issuer, monkeypatch):
    assert ask(issuer.token())[0] == 200
    issuer.documents.clear()
    monkeypatch.setattr(issuer_module, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(issuer_module, "REFETCH_SECONDS", 0.0)
    assert ask(issuer.token())[0] == 200
    assert issuer.requests[-1].endswith("/openid-configuration"), "it was asked again"
    assert len(issuer.requests) == 3
    monkeypatch.setattr(issuer_module, "LIFETIME_SECONDS", 0.0)
    assert unavailable(ask(issuer.token()))


DISCOVERY = "/realm/.well-known/openid-configuration"


@pytest.mark.parametrize(
    ("path", "document"),
    [
        (DISCOVERY, []),
        (DISCOVERY, {}),
        (DISCOVERY, {"jwks_uri": "file:///etc/passwd"}),
        (DISCOVERY, {"jwks_uri": "http://192.0.2.1/keys"}),
        ("/realm/keys", {"keys": []}),
        ("/realm/keys", {"keys": 5}),
        ("/realm/keys", {"keys": [{"kty": ["RSA"], "alg": ["RS256"]}]}),
    ],
    ids=["list", "nothing", "file", "http", "no keys", "no list", "no key"],
)
def test_an_issuer_that_answers_nonsense_is_as_one_that_is_down(ask, issuer, path, document):
    whole = {"issuer": issuer.url, **document} if path == DISCOVERY and "jwks_uri" in document else document
    issuer.documents[path] = lambda: whole
    assert unavailable(ask(issuer.token()))


@pytest.mark.parametrize(
    ("path", "more"),
    [(DISCOVERY, {"issuer": "https://other.example"}), ("/realm/keys", {"more": "x" * issuer_module.MAX_BYTES})],
    ids=["of another issuer", "too long"],
)
def test_a_document_with_right_keys_that_is_not_to_be_trusted(ask, issuer, path, more):
    whole = {**issuer.documents[path](), **more}
    issuer.documents[path] = lambda: whole
    assert unavailable(ask(issuer.token()))


def test_a_redirect_of_the_issuer_is_not_followed(ask, issuer):
    issuer.redirect = f"{issuer.url}/keys"
    assert unavailable(ask(issuer.token()))
    assert issuer.requests == [DISCOVERY]


@pytest.mark.parametrize("host", ["0.0.0.0", "example.org"])
def test_an_address_that_others_reach_needs_no_key_beside_an_issuer(settings, host):
    create_app(settings.model_copy(update={"host": host})).state.context.close()


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"oidc_audience": None}, "ECHOCAST_OIDC_AUDIENCE"),
        ({"oidc_issuer": None}, "ECHOCAST_OIDC_ISSUER"),
        ({"access": "open"}, "ECHOCAST_ACCESS"),
    ],
    ids=["no audience", "no issuer", "open"],
)
def test_settings_that_contradict_each_other_stop_the_start(settings, changes, where):
    with pytest.raises(BadSetting) as caught:
        create_app(settings.model_copy(update=changes))
    assert caught.value.where == where


@pytest.mark.parametrize(
    "url", ["http://login.example.org", "ftp://127.0.0.1", "login.example.org", "https://", "https://[", "https://a/?b"]
)
def test_an_issuer_must_be_https(url):
    with pytest.raises(BadSetting, match="it is no issuer") as caught:
        load_settings(oidc_issuer=url)
    assert caught.value.where == "ECHOCAST_OIDC_ISSUER"


@pytest.fixture
def limited(tmp_path, the_issuer):
    """Statuses of uploads with a token, at a gateway on which one nowcast of each client may wait."""
    the_issuer.reset()
    oidc = {"oidc_issuer": the_issuer.url, "oidc_audience": AUDIENCE, "oidc_limits_claim": "echocast_limits"}
    app = create_app(Settings(data_dir=tmp_path, broker_url=NO_REDIS, max_client_queued_jobs=1, **oidc))
    app.state.context.queue.enqueue = lambda job_id: False

    def posted(client, **claims):
        headers = {"Authorization": f"Bearer {the_issuer.token(**claims)}"}
        return client.post("/v1/nowcasts", files={"files": ("radar.nc", bytes(600))}, headers=headers)

    with served(app) as client:
        yield lambda **claims: posted(client, **claims), app.state.context


def test_every_subject_has_the_limits_of_a_client(limited):
    post, _ = limited
    assert [post(sub=name).status_code for name in ("anna", "anna", "bert", "bert")] == [202, 429, 202, 429]


def test_a_token_may_bring_the_limits_of_its_subject(limited):
    post, context = limited
    own = {"max_queued_jobs": 3, "max_running_jobs": 2}
    accepted = post(sub="anna", echocast_limits=own)
    assert context.ledger.get(accepted.json()["id"]).running_limit == 2
    assert [post(sub="anna", echocast_limits=own).status_code for _ in range(3)] == [202, 202, 429]
    assert [post(sub="bert", echocast_limits={"requests_per_second": 0.01}).status_code for _ in range(2)] == [202, 429]
    assert post(sub="chris", echocast_limits={"bytes_per_day": 0.5}).status_code == 401
    assert post(sub="dora", echocast_limits={"bytes_per_day": 1000}).status_code == 202
    refused = post(sub="dora", echocast_limits={"bytes_per_day": 1000, "max_queued_jobs": 0})
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/daily-bytes-exceeded")


@pytest.mark.parametrize("value", [5, "5", [], {"max_queued_jobs": -1}, {"max_jobs": 1}, {"max_running_jobs": "1"}])
def test_limits_that_are_none_are_refused_and_not_ignored(limited, value):
    post, _ = limited
    refused = post(echocast_limits=value)
    assert (refused.status_code, refused.json()["type"]) == (401, "/problems/invalid-credentials")
    assert "echocast_limits" in refused.json()["what"]
