"""Fetch a file that a notification announces, from a host that the operator has listed."""

from __future__ import annotations

import time
from collections.abc import Collection
from http.client import HTTPException
from importlib.metadata import version
from typing import IO, Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from model.core.errors import InputError, TooLarge

SECONDS: Final = 60.0
"""How long a file may take."""

CHUNK: Final = 1 << 18


class CannotFetch(InputError):
    """A file cannot be fetched."""

    code = "cannot-fetch"


class _NoRedirects(HTTPRedirectHandler):
    """Another address may be one of a host that is not listed."""

    def redirect_request(self, *_: object) -> None:
        """Follow nothing: the response is an error."""


def download(address: str, hosts: Collection[str], target: IO[bytes], max_bytes: int) -> None:
    """Fetch a file.

    Parameters
    ----------
    address
        Where it is; http or https.
    hosts
        From which files are fetched, each with its port where it is not the usual one.
    target
        Where it is written.
    max_bytes
        The most bytes that it may have.

    Raises
    ------
    CannotFetch
        Its host is not among `hosts`, does not respond in time, or does not have it.
    TooLarge
        It is larger.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or parts.netloc.lower() not in {host.lower() for host in hosts}:
        raise CannotFetch(
            f"files are not fetched from {parts.scheme}://{parts.netloc}",
            where="hosts",
            hint="Add the host to hosts of the feed",
        )
    request = Request(address, headers={"User-Agent": f"echocast/{version('echocast')}"})  # noqa: S310 - see above
    until, size = time.monotonic() + SECONDS, 0
    try:
        with build_opener(_NoRedirects).open(request, timeout=SECONDS / 4) as response:
            while piece := response.read(CHUNK):
                size += len(piece)
                if size > max_bytes:
                    raise TooLarge(
                        f"larger than {max_bytes / 1e6:g} MB", where=parts.path, hint="Choose another product"
                    )
                if time.monotonic() > until:
                    raise CannotFetch(
                        f"it takes longer than {SECONDS:g} s", where=parts.path, hint="Look at the network"
                    )
                target.write(piece)
    except HTTPError as error:
        raise CannotFetch(f"the host responds with {error.code}", where=parts.path, hint="Look at the source") from None
    except (OSError, HTTPException) as error:
        raise CannotFetch(f"the host does not respond: {error}", where=parts.path, hint="Look at the network") from None
