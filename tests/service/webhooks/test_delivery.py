"""One call of a webhook, to real servers."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from service.settings import Settings
from service.webhooks import delivery
from service.webhooks.callback_url import parse_callback
from service.webhooks.delivery import NotDelivered, call
from tests.receiver import make_certificate, receiver, verified

SECRET = "0123456789abcdef0123456789abcdef"
HOST = "hooks.example.org"
BODY = b'{"status":"successful"}'


def loopback(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


def callback_of(url: str, **hosts: str):
    return parse_callback(url, Settings(webhook_secret=SECRET, **hosts))


def post(url: str, resolver=loopback, *, listed: str = "webhook_private_hosts") -> None:
    host = url.split("/")[2]
    call(callback_of(url, **{listed: host}), "id-1", str(int(time.time())), BODY, SECRET, resolver=resolver)


@pytest.fixture
def certificate(tmp_path, monkeypatch):
    made = make_certificate(tmp_path, HOST)
    monkeypatch.setenv("SSL_CERT_FILE", str(made))
    return made


def test_a_receiver_can_verify_the_call(certificate) -> None:
    with receiver(certificate=certificate) as server:
        post(f"https://{HOST}:{server.port}/rain?a=1")
        [got] = server.calls
        assert (got.path, got.body, got.headers["Host"]) == ("/rain?a=1", BODY, f"{HOST}:{server.port}")
        assert (got.headers["Echocast-Id"], got.headers["Content-Type"]) == ("id-1", "application/json")
        assert verified(SECRET, got.headers, got.body)
        assert not verified(SECRET, got.headers, got.body + b" ")
        assert not verified("another-secret", got.headers, got.body)
        got.headers.replace_header("Echocast-Timestamp", str(int(time.time()) - 100))
        assert not verified(SECRET, got.headers, got.body), "a timestamp that was not signed"


def test_the_certificate_must_be_valid_for_the_name(certificate) -> None:
    with receiver(certificate=certificate) as server:
        for refused in (f"https://other.example.org:{server.port}/", f"https://127.0.0.1:{server.port}/"):
            with pytest.raises(NotDelivered, match="CERTIFICATE_VERIFY_FAILED"):
                post(refused)
        assert server.calls == []


def test_a_certificate_of_nobody_known_is_refused(certificate, monkeypatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with receiver(certificate=certificate) as server:
        with pytest.raises(NotDelivered, match="CERTIFICATE_VERIFY_FAILED"):
            post(f"https://{HOST}:{server.port}/")
        assert server.calls == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(status) -> None:
    with receiver() as server, receiver() as other:
        server.statuses, server.location = [status], f"http://127.0.0.1:{other.port}/"
        with pytest.raises(NotDelivered, match=f"responded with {status}"):
            post(f"http://{HOST}:{server.port}/")
        assert (len(server.calls), other.connections) == (1, 0)


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.215.14", "127.0.0.1"], ["10.0.0.1"], []])
def test_a_listed_host_at_a_private_address_is_not_called(addresses) -> None:
    with receiver() as server:
        with pytest.raises(NotDelivered, match="addresses that are not called"):
            post(f"https://{HOST}:{server.port}/", lambda host, port: addresses, listed="webhook_hosts")
        assert server.connections == 0


def test_a_name_that_changes_its_address_leads_only_to_the_one_that_was_checked(certificate, monkeypatch) -> None:
    """DNS rebinding: the name is resolved once for each try, and nothing else resolves it."""
    with receiver(certificate=certificate) as server, receiver("127.0.0.2", server.port) as other:
        answers = [["127.0.0.1"], ["127.0.0.2"]]
        asked = []

        def system(host, port, *_, **__):
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers.pop(0)]

        monkeypatch.setattr(socket, "getaddrinfo", system)
        post(f"https://{HOST}:{server.port}/", delivery.resolve)
        assert (asked, len(server.calls), other.connections) == ([HOST], 1, 0)
        answers[:] = [["169.254.169.254"]]
        with pytest.raises(NotDelivered, match=r"not called: 169\.254\.169\.254"):
            post(f"https://{HOST}:{server.port}/", delivery.resolve)


def test_a_receiver_that_never_ends_its_response_is_left(monkeypatch) -> None:
    monkeypatch.setattr(delivery, "TOTAL_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        left = threading.Event()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 ")
                try:
                    while not left.wait(0.05):
                        connection.sendall(b"1")
                except OSError:
                    left.set()

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(NotDelivered):
            post(f"http://{HOST}:{listener.getsockname()[1]}/")
        thread.join()
        assert left.is_set()


def test_a_long_response_is_not_read_to_its_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def flood() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                try:
                    while True:
                        connection.sendall(bytes(65536))
                except OSError:
                    pass

        thread = threading.Thread(target=flood)
        thread.start()
        post(f"http://{HOST}:{listener.getsockname()[1]}/")
        thread.join()


def test_who_does_not_listen_gets_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NotDelivered, match="no connection"):
        post(f"http://{HOST}:{port}/")
