"""Clients that are slow on purpose, or many, hold nothing."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager

import httpx
import pytest
import uvicorn

from service.api.app import create_app
from service.server import gateway_protocol
from service.settings import Settings
from tests.patience import WAIT_SECONDS, wait_until
from tests.service.api.conftest import NO_REDIS


@contextmanager
def running(app, settings):
    """The address of a gateway, and its server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, http=gateway_protocol(settings), log_config=None, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname(), server
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway with little patience, for eight connections."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"), broker_url=NO_REDIS, max_connections=8, request_timeout_seconds=0.5
    )
    with running(create_app(settings), settings) as started:
        yield started


@pytest.fixture(scope="module")
def address(gateway):
    return gateway[0]


@pytest.fixture(scope="module")
def server(gateway):
    return gateway[1]


def connect(address):
    connection = socket.create_connection(address, timeout=WAIT_SECONDS)
    return closing(connection)


def everything_of(connection):
    received = b""
    while piece := _receive(connection):
        received += piece
    return received


def _receive(connection):
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize("head", [b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "])
def test_a_head_that_does_not_arrive_is_not_waited_for(address, head):
    with connect(address) as connection:
        connection.sendall(head)
        answer = everything_of(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"/problems/request-timeout" in answer


def test_a_second_request_has_a_time_out_too(address):
    with connect(address) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b" 200 " in connection.recv(65536)
        connection.sendall(b"GET /hea")
        assert b"HTTP/1.1 408 " in everything_of(connection)


def test_a_body_that_trickles_is_not_waited_for(address):
    head = b"POST /v1/nowcasts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n"
    with connect(address) as connection:
        connection.sendall(head + b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n")
        assert b" 200 " not in everything_of(connection)


def test_what_of_a_body_came_fast_does_not_earn_patience(address):
    head = b"POST /v1/nowcasts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000000\r\n"
    with connect(address) as connection:
        connection.sendall(head + b"Content-Type: multipart/form-data; boundary=x\r\n\r\n")
        connection.sendall(b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n')
        connection.sendall(b"x" * 4_000_000)
        assert b" 200 " not in everything_of(connection)


def test_connections_above_the_limit_are_refused_and_others_go_on(address):
    with ExitStack() as stack:
        idle = [stack.enter_context(connect(address)) for _ in range(8)]
        for connection in idle:  # accepted, before the ninth connects
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert b" 200 " in connection.recv(65536)
        with connect(address) as connection:
            refused = everything_of(connection)
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"/problems/busy" in refused
        assert b"Retry-After" in refused
    assert httpx.get(f"http://127.0.0.1:{address[1]}/healthz", timeout=WAIT_SECONDS).status_code == 200


def test_a_client_that_does_not_read_is_not_waited_for(address, server):
    request, count = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 500
    one = len(httpx.get(f"http://127.0.0.1:{address[1]}/openapi.json", timeout=WAIT_SECONDS).content)
    wait_until(lambda: not server.server_state.connections, "the earlier connections to end")
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(WAIT_SECONDS)
        connection.connect(address)
        connection.sendall(count * request)
        wait_until(lambda: server.server_state.connections, "the connection to be accepted")
        wait_until(lambda: not server.server_state.connections, "the gateway to give it up")
        assert len(everything_of(connection)) < count * one


def test_what_is_no_request_after_a_response_ends_the_connection(address, caplog):
    with connect(address) as connection:
        connection.sendall(b"POST /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        assert b"HTTP/1.1 405 " in connection.recv(65536)
        connection.sendall(b"garbage\r\n")
        assert b"HTTP/1.1" not in everything_of(connection)
    assert "Traceback" not in caplog.text


def test_a_client_that_leaves_in_the_middle_of_an_upload_is_no_fault_of_the_service(address, server, caplog):
    head = b"POST /v1/nowcasts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n"
    with connect(address) as connection:
        connection.sendall(head + b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n")
        wait_until(lambda: server.server_state.tasks, "the request to begin")
    wait_until(lambda: not server.server_state.tasks, "the request to end")
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_request_that_the_end_of_the_gateway_interrupts_is_told_so(tmp_path):
    settings = Settings(data_dir=tmp_path, broker_url=NO_REDIS)
    app = create_app(settings)
    files = {"files": ("radar.nc", b"x")}
    with ThreadPoolExecutor(1) as pool:
        with running(app, settings) as (address, _):
            url = f"http://127.0.0.1:{address[1]}/v1/nowcasts"
            waiting = pool.submit(
                httpx.post, url, files=files, headers={"Prefer": "wait=60"}, timeout=WAIT_SECONDS, trust_env=False
            )
            wait_until(lambda: app.state.context.ledger.count_accepted("upload"), "the nowcast to be accepted")
        answer = waiting.result()
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/busy")
    assert answer.headers["retry-after"] == "5"
