"""Browsers: names of the service, other origins, and the headers of every response."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import OperationalError

from model.core.settings import BadSetting
from service.api.app import create_app
from service.settings import Settings, load_settings
from tests.service.api.conftest import NO_REDIS, served

MAP = "https://map.example.org"


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """An open service with names and origins of its own."""
    return Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        broker_url=NO_REDIS,
        allowed_hosts="Nowcast.example.org, *.internal.example",
        cors_origins=MAP,
    )


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost:8000", "LOCALHOST", "localhost.", "[::1]:8000", "192.0.2.7:80", "10.0.0.3"),
        *("nowcast.example.org", "nowcast.example.org:443", "a.internal.example"),
    ],
)
def test_names_of_the_service_are_served(gateway, host):
    assert gateway.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "nowcast.example.org.evil.example",
        "internal.example",
        "a.b.internal.example",
        "127.0.0.1.nip.io",
    ],
)
@pytest.mark.parametrize("path", ["/", "/healthz", "/static/live.js", "/nothing"])
def test_other_names_are_refused(gateway, host, path):
    response = gateway.get(path, headers={"Host": host})
    problem = response.json()
    assert (response.status_code, problem["type"]) == (421, "/problems/wrong-host")
    assert "ECHOCAST_ALLOWED_HOSTS" in problem["hint"]


def test_a_page_of_the_service_may_write(gateway):
    own = str(gateway.base_url).rstrip("/")
    for headers in ({"Origin": own}, {"Origin": own, "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {}):
        assert gateway.post("/v1/nowcasts", headers=headers).status_code == 415
    for origin in ("http://", "http://[", "x", "http://localhost:1"):
        assert gateway.post("/v1/nowcasts", headers={"Origin": origin}).status_code == 403


def test_a_listed_origin_may_read_and_write(gateway):
    headers = {"Origin": MAP, "Sec-Fetch-Site": "cross-site"}
    written = gateway.post("/v1/nowcasts", headers=headers)
    read = gateway.get("/v1/models", headers=headers)
    assert (written.status_code, read.status_code) == (415, 200)
    for response in (written, read):
        assert response.headers["access-control-allow-origin"] == MAP
        assert "access-control-allow-credentials" not in response.headers
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,prefer"}
    preflight = gateway.options("/v1/nowcasts", headers={**headers, **asked})
    assert preflight.status_code == 200
    assert "Authorization" in preflight.headers["access-control-allow-headers"]


def test_a_listed_origin_reads_failures_of_the_service(gateway, context, monkeypatch):
    def locked(*args, **kwargs):
        raise OperationalError("SELECT", {}, Exception("locked"))

    monkeypatch.setattr(context.ledger, "get", locked)
    failed = gateway.get("/v1/nowcasts/x", headers={"Origin": MAP})
    assert (failed.status_code, failed.json()["type"]) == (503, "/problems/ledger-unavailable")
    assert failed.headers["access-control-allow-origin"] == MAP


def test_other_origins_get_no_permission(gateway):
    headers = {"Origin": "https://other.example"}
    assert "access-control-allow-origin" not in gateway.get("/v1/models", headers=headers).headers
    preflight = gateway.options("/v1/nowcasts", headers={**headers, "Access-Control-Request-Method": "POST"})
    assert (preflight.status_code, preflight.headers["content-type"]) == (400, "application/problem+json")
    assert "access-control-allow-origin" not in preflight.headers


def test_without_the_setting_no_origin_gets_permission(tmp_path):
    with served(create_app(Settings(data_dir=tmp_path, broker_url=NO_REDIS))) as client:
        response = client.get("/v1/models", headers={"Origin": MAP})
        assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("origins", ["*", "map.example.org", "https://map.example.org/", "https://a.example, null"])
def test_an_origin_that_is_none_stops_the_start(monkeypatch, origins):
    monkeypatch.setenv("ECHOCAST_CORS_ORIGINS", origins)
    with pytest.raises(BadSetting, match="is not an origin") as refused:
        load_settings()
    assert refused.value.where == "ECHOCAST_CORS_ORIGINS"


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/static/live.js", "/v1/models", "/healthz", "/sample", "/nothing", "/openapi.json"]
)
def test_every_response_has_the_headers(gateway, path):
    for headers in ({}, {"Host": "evil.example"}, {"Accept": "text/html"}):
        response = gateway.get(path, headers=headers)
        policy = response.headers["content-security-policy"]
        assert "default-src 'self'" in policy or "default-src 'none'" in policy
        assert "frame-ancestors" in policy
        assert "unsafe" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert response.headers["cross-origin-opener-policy"] == "same-origin"
        assert response.headers["cross-origin-resource-policy"] == "same-origin"


def test_a_response_for_a_key_is_cached_for_that_key_alone(gateway):
    assert "Authorization" not in gateway.get("/sample").headers.get("vary", "")
    assert "Authorization" in gateway.get("/sample", headers={"Authorization": "Bearer x"}).headers["vary"]
