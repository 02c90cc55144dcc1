"""Notifications of data: those of WIS2, and of EUMETNET's Open Radar Data, which are made like them.

WMO, "WIS2 Notification Message Encoding" (wis2-notification-message), version 1; "Open Radar Data API", section 4.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import io
import json
from pathlib import PurePosixPath
from typing import IO, Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from model.core.errors import InputError

MAX_BYTES: Final = 65_536
"""WIS2 allows 8192 bytes; others add properties."""

MAX_CONTENT_BYTES: Final = 4096
"""Of content within a message, once it is decompressed (WIS2)."""

DATA_RELATIONS: Final = ("canonical", "update", "item")
"""Relations of links to the data: the first two are those of WIS2, `item` that of Open Radar Data."""

DIGESTS: Final = {
    name: name.replace("-", "_") for name in ("sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512")
}
"""Methods of `integrity`, and their names in hashlib."""

NO_NOTIFICATION: Final = "Subscribe to a topic of WIS2 notifications, or of Open Radar Data"


class BadNotification(InputError):
    """A message of a broker is no notification of data, or the data is not what it says."""

    code = "bad-notification"


class Notification(NamedTuple):
    """What a notification says of a file.

    `name`: of the file. `address`: where it is. `content`: the file itself, if it is that small. `digest`: how it is
    computed (as hashlib calls it), and its value; None where the notification has none.
    """

    name: str
    address: str
    content: bytes | None
    digest: tuple[str, bytes] | None

    def check(self, file: IO[bytes]) -> None:
        """Check the digest of the file, from where it stands.

        Raises
        ------
        BadNotification
            It is another one.
        """
        if self.digest is None:
            return
        sha = hashlib.new(self.digest[0])
        while piece := file.read(1 << 20):
            sha.update(piece)
        if sha.digest() != self.digest[1]:
            raise BadNotification(
                "its content does not have the digest of the notification", where=self.name, hint="It is sent again"
            )


def parse_notification(payload: bytes) -> Notification | None:
    """Parse a message; None for a notification that announces no data, as that of a deletion.

    Raises
    ------
    BadNotification
        It is no notification.
    """
    if len(payload) > MAX_BYTES:
        raise BadNotification(f"longer than {MAX_BYTES} bytes", where="message", hint=NO_NOTIFICATION)
    try:
        message = json.loads(payload)
        properties, links = message.get("properties") or {}, message.get("links") or []
        addresses = {link.get("rel"): link.get("href") for link in reversed(links)}
        content, digest = _content(properties.get("content")), _digest(properties.get("integrity"))
    except (ValueError, AttributeError, TypeError, KeyError, binascii.Error, OSError) as error:
        raise BadNotification(f"it is no notification ({error})", where="message", hint=NO_NOTIFICATION) from None
    address = next((addresses[rel] for rel in DATA_RELATIONS if isinstance(addresses.get(rel), str)), None)
    if address is None:
        if addresses:
            return None
        raise BadNotification("it has no links", where="message", hint=NO_NOTIFICATION)
    return Notification(name=_file_name(address), address=address, content=content, digest=digest)


def _file_name(address: str) -> str:
    """Return the name of the file at an address, short and printable."""
    name = PurePosixPath(unquote(urlsplit(address).path)).name
    return "".join(letter if letter.isprintable() else "?" for letter in name)[-200:] or "file"


def _content(content: dict[str, Any] | None) -> bytes | None:
    if content is None:
        return None
    text = str(content["value"])
    if content["encoding"] == "utf-8":
        return text.encode()
    data = base64.b64decode(text, validate=True)
    if content["encoding"] == "base64":
        return data
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        return file.read(MAX_CONTENT_BYTES + 1)[:MAX_CONTENT_BYTES]


def _digest(integrity: dict[str, Any] | None) -> tuple[str, bytes] | None:
    """Return method and value; None where there is no digest, or one by another method."""
    if integrity is None or integrity["method"] not in DIGESTS:
        return None
    return DIGESTS[integrity["method"]], base64.b64decode(integrity["value"], validate=True)
