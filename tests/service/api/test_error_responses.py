"""Every error is a problem: those of the framework and of the server itself too, and none tells of the machine."""

import socket

import pytest
from fastapi import HTTPException

from model.core.errors import InputError
from service.jobs.job import Job, Problem


def problem(response, status, code):
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert (response.status_code, body["status"], body["type"]) == (status, status, f"/problems/{code}")
    assert body["title"]
    return body


@pytest.mark.parametrize("path", ["/v1/nothing", "/nothing", "/static/nothing.js", "/static/../../etc/passwd"])
def test_an_unknown_address(gateway, path):
    problem(gateway.get(path), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/nowcasts/abc", {"GET", "HEAD", "DELETE"}),
        ("DELETE", "/v1/models", {"GET", "HEAD"}),
        ("POST", "/static/live.js", {"GET", "HEAD"}),
        ("TRACE", "/v1/nowcasts/abc/result", {"GET", "HEAD"}),
    ],
)
def test_a_method_that_no_route_of_the_address_has(gateway, method, path, allowed):
    response = gateway.request(method, path)
    problem(response, 405, "method-not-allowed")
    assert set(response.headers["allow"].split(", ")) == allowed


def test_a_range_that_the_result_does_not_have(gateway, finished):
    path = f"/v1/nowcasts/{finished.id}/result"
    size = len(gateway.get(path).content)
    response = gateway.get(path, headers={"Range": f"bytes={size}-"})
    problem(response, 416, "range-not-satisfiable")
    assert response.headers["content-range"] == f"bytes */{size}"
    problem(gateway.get(path, headers={"Range": "bytes=x"}), 400, "http-error")
    assert gateway.get(path, headers={"Range": "bytes=0-9"}).status_code == 206


@pytest.mark.parametrize(
    "sent", [b"hello\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"GET /\x00 HTTP/1.1\r\n\r\n"]
)
def test_bytes_that_are_no_request(gateway, sent):
    with socket.create_connection((gateway.base_url.host, gateway.base_url.port)) as connection:
        connection.sendall(sent)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in head
    assert b'"type":"/problems/http-error"' in body


def test_no_error_tells_of_the_server(app, gateway, context):
    class Thing:
        pass

    def refuse():
        raise InputError(f"{Thing()} of /var/lib/echocast/a.nc is bad", where="/tmp/x y/b.nc", hint="See /v1/models")

    def fail():
        raise HTTPException(418, detail=f"{Thing()} in /home/me/secret/file")

    app.get("/test-refuse")(refuse)
    app.get("/test-fail")(fail)
    body = problem(gateway.get("/test-refuse"), 422, "bad-input")
    assert (body["what"], body["hint"]) == ("Thing of a.nc is bad", "See /v1/models")
    assert "/tmp" not in gateway.get("/test-refuse").text
    assert problem(gateway.get("/test-fail"), 418, "http-error")["what"] == "Thing in file"
    job = context.ledger.claim(context.ledger.create(Job(model="auto", steps=1, inputs=[])).id, 60)
    context.ledger.fail(
        job,
        Problem(code="cannot-publish", what="it cannot be written", where="/data/out/n.nc", hint=""),
    )
    assert gateway.get(f"/v1/nowcasts/{job.id}").json()["problem"]["where"] == "n.nc"
