"""One call of an address that a client has named: a POST over a connection to an IP address that was checked."""

from __future__ import annotations

import hashlib
import hmac
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from importlib.metadata import version
from typing import Final

from service.webhooks.addresses import may_call
from service.webhooks.callback_url import Callback

CONNECT_SECONDS: Final = 5.0
TOTAL_SECONDS: Final = 15.0
"""How long a call may take from its connection on, however slowly the receiver sends."""
MAX_RESPONSE_BYTES: Final = 4096
MAX_ADDRESSES: Final = 2
"""How many addresses of a host are tried."""

Resolver = Callable[[str, int], list[str]]


class NotDelivered(Exception):
    """The receiver has not accepted the call; the text says why, and holds neither secrets nor the address's path.

    `response_status`: the HTTP status that it responded with, if it did.
    """

    def __init__(self, what: str, *, response_status: int | None = None) -> None:
        super().__init__(what)
        self.response_status = response_status


def resolve(host: str, port: int) -> list[str]:
    """Return the IP addresses of a host, in the system's order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return the value of the header `Echocast-Signature`."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"v1={digest}"


def call(
    callback: Callback, delivery_id: str, timestamp: str, body: bytes, secret: str, *, resolver: Resolver = resolve
) -> int:
    """Send the body of a webhook once, signed; as `post`."""
    headers = {
        "Content-Type": "application/json",
        "Echocast-Id": delivery_id,
        "Echocast-Timestamp": timestamp,
        "Echocast-Signature": signature(secret, timestamp, body),
    }
    return post(callback, headers, body, resolver=resolver)


def post(callback: Callback, headers: Mapping[str, str], body: bytes, *, resolver: Resolver = resolve) -> int:
    """Send the body once, and return the HTTP status of the response, which is one of success.

    Redirects are not followed, and proxies of the environment not used.

    Raises
    ------
    NotDelivered
        The host has an address that is not called, does not respond, or responds with anything but 2xx.
    """
    usual = {
        "Host": callback.host_header,
        "User-Agent": f"echocast/{version('echocast')}",
        "Connection": "close",
    }
    connection = _connect(callback, _checked_addresses(callback, resolver))
    alarm = threading.Timer(TOTAL_SECONDS, connection.cut)
    alarm.daemon = True
    alarm.start()
    try:
        connection.secure()
        connection.request("POST", callback.target, body=body, headers={**usual, **headers})
        response = connection.getresponse()
        response.read(MAX_RESPONSE_BYTES)
    except (OSError, HTTPException) as error:
        raise NotDelivered(f"{type(error).__name__}: {error}"[:200]) from None
    finally:
        alarm.cancel()
        connection.close()
    if not 200 <= response.status < 300:
        raise NotDelivered(f"the receiver responded with {response.status}", response_status=response.status)
    return response.status


def _checked_addresses(callback: Callback, resolver: Resolver) -> list[str]:
    """Return the addresses of the host, all of which may be called."""
    try:
        addresses = resolver(callback.host, callback.port)
    except (OSError, UnicodeError) as error:
        raise NotDelivered(f"the host has no address: {error}") from None
    refused = [address for address in addresses if not may_call(address, private=callback.private)]
    if refused or not addresses:
        raise NotDelivered(f"addresses that are not called: {', '.join(refused) or 'none'}")
    return addresses[:MAX_ADDRESSES]


def _connect(callback: Callback, addresses: list[str]) -> _PinnedConnection:
    """Return a connection to the first of these addresses that accepts one."""
    error: Exception | None = None
    for address in addresses:
        connection = _PinnedConnection(callback, address)
        try:
            connection.connect()
        except OSError as refused:
            connection.close()
            error = refused
        else:
            return connection
    raise NotDelivered(f"no connection: {error}")


class _PinnedConnection(HTTPConnection):
    """A connection to one IP address. The certificate is verified for the name of the host."""

    def __init__(self, callback: Callback, address: str) -> None:
        super().__init__(callback.host, callback.port, timeout=CONNECT_SECONDS)
        self._callback = callback
        self._address = address
        self._socket: socket.socket | None = None

    def connect(self) -> None:
        """Connect to the address; no name is resolved here."""
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        self.sock = self._socket = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(CONNECT_SECONDS)
        self.sock.connect((self._address, self._callback.port))
        self.sock.settimeout(TOTAL_SECONDS)

    def secure(self) -> None:
        """Begin TLS, unless the address is plain http."""
        if self._callback.scheme == "https":
            context = ssl.create_default_context()
            wrapped = context.wrap_socket(self.sock, server_hostname=self._callback.host, do_handshake_on_connect=False)
            self.sock = self._socket = wrapped
            wrapped.do_handshake()

    def cut(self) -> None:
        """End the connection while another thread waits for it."""
        if self._socket is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # not that of TLS, which is not thread-safe
