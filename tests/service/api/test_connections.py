"""Clients that are slow on purpose, or many, hold nothing."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, closing

import httpx
import pytest
import uvicorn

from service.api.app import create_app
from service.server import gateway_protocol
from service.settings import Settings
from tests.patience import WAIT_SECONDS
from tests.service.api.conftest import NO_REDIS


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The address of a gateway with little patience, for eight connections."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"), broker_url=NO_REDIS, max_connections=8, request_timeout_seconds=0.5
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(create_app(settings), http=gateway_protocol(settings), log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()
        server.should_exit = True
        thread.join()


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
