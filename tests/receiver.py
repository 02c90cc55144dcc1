"""A receiver of webhooks: a real HTTP or HTTPS server that keeps what it was sent."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest


class Call(NamedTuple):
    """One request."""

    path: str
    headers: Message
    body: bytes


class Receiver(ThreadingHTTPServer):
    """Responds with `statuses`, one after the other, then with 200; a closed `gate` makes it wait before."""

    daemon_threads = True

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__((address, port), _Handler)
        self.calls: list[Call] = []
        self.statuses: list[int] = []
        self.location = ""
        self.connections = 0
        self.gate = threading.Event()
        self.gate.set()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])

    def get_request(self):
        self.connections += 1
        return super().get_request()

    def handle_error(self, request, client_address) -> None:
        """Say nothing: clients that refuse the certificate, or are killed, are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.calls.append(Call(self.path, self.headers, body))
        self.server.gate.wait()
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def receiver(address: str = "127.0.0.1", port: int = 0, certificate: Path | None = None) -> Iterator[Receiver]:
    """A receiver that runs; with TLS where a certificate (with its key) is given."""
    server = Receiver(address, port)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()


def make_certificate(folder: Path, host: str) -> Path:
    """A certificate of `host`, signed by itself, and its key in one file; skips the test without OpenSSL."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    key, certificate = folder / "key.pem", folder / f"{host}.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={host}"),
            *("-addext", f"subjectAltName=DNS:{host}", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    certificate.write_text(certificate.read_text() + key.read_text())
    return certificate


def verified(secret: str, headers: Message, body: bytes) -> bool:
    """The receiver's example of docs/http.md, which is run as it is written there."""
    text = (Path(__file__).parents[1] / "docs" / "http.md").read_text()
    example = text.split("```python\n", 1)[1].split("```", 1)[0]
    namespace: dict = {}
    exec(example, namespace)
    return namespace["verified"](secret, headers, body)
