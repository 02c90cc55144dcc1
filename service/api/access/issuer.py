"""The keys with which an issuer of OpenID Connect signs its tokens.

They are found by its discovery document (https://openid.net/specs/openid-connect-discovery-1_0.html) and kept for a
while, so that neither each request nor each forged token makes one to the issuer.
"""

from __future__ import annotations

import http.client
import json
import logging
import math
import threading
import time
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

from jwt import PyJWK, PyJWKSet
from jwt.exceptions import PyJWTError

from service.addresses import is_protected
from service.api.access.errors import IssuerUnavailable

ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
"""Those that verify with a public key. Neither `none` nor the HS family, whose secret an issuer cannot publish."""

REFRESH_SECONDS: Final = 600.0
"""Age at which keys are fetched again."""

LIFETIME_SECONDS: Final = 3600.0
"""Age at which keys are no longer used: how long tokens are accepted while the issuer does not respond."""

REFETCH_SECONDS: Final = 60.0
"""How often a key that is not among those of the issuer may make the gateway fetch them again."""

RETRY_SECONDS: Final = 10.0
"""How long the gateway leaves an issuer alone that did not respond."""

TIMEOUT_SECONDS: Final = 5.0
MAX_BYTES: Final = 1 << 18

log = logging.getLogger(__name__)


class SigningKeys:
    """The public keys of an issuer, by their id. Safe to share between threads; blocks."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._keys: Mapping[str, PyJWK] = {}
        self._fetched = self._tried = -math.inf
        self._failed = False
        self._fetching = threading.Lock()

    def find(self, key_id: str) -> PyJWK | None:
        """Return the key of an id; None where the issuer has none.

        Raises
        ------
        IssuerUnavailable
            The issuer does not respond, and without it nobody knows.
        """
        # Where the key is known, only one request waits for the issuer.
        if self._is_due(key_id) and self._fetching.acquire(blocking=self._known(key_id) is None):
            try:
                if self._is_due(key_id):
                    self._fetch()
            finally:
                self._fetching.release()
        key = self._known(key_id)
        if key is None and (self._failed or self._age() > LIFETIME_SECONDS):
            raise IssuerUnavailable(self._issuer)
        return key

    def _known(self, key_id: str) -> PyJWK | None:
        return self._keys.get(key_id) if self._age() <= LIFETIME_SECONDS else None

    def _is_due(self, key_id: str) -> bool:
        if self._known(key_id) is not None and self._age() < REFRESH_SECONDS:
            return False
        return time.monotonic() - self._tried >= (RETRY_SECONDS if self._failed else REFETCH_SECONDS)

    def _age(self) -> float:
        return time.monotonic() - self._fetched

    def _fetch(self) -> None:
        try:
            self._keys = fetch_keys(self._issuer)
            self._fetched, self._failed = time.monotonic(), False
        except IssuerUnavailable as error:
            log.warning("the keys of the issuer were not fetched: %s", error)
            self._failed = True
        self._tried = time.monotonic()


def fetch_keys(issuer: str) -> dict[str, PyJWK]:
    """Return the keys that an issuer signs with now, by their id.

    Raises
    ------
    IssuerUnavailable
        It does not respond in time, or not with what OpenID Connect Discovery describes.
    """
    try:
        discovery = _fetch_json(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if discovery.get("issuer") != issuer:
            raise ValueError(f"its discovery document is of {str(discovery.get('issuer'))[:200]!r}")
        keys = PyJWKSet.from_dict(_fetch_json(str(discovery.get("jwks_uri")))).keys
    except (OSError, http.client.HTTPException, ValueError, TypeError, RecursionError, PyJWTError) as error:
        raise IssuerUnavailable(f"{issuer}: {type(error).__name__}: {error}") from error
    usable = [key for key in keys if key.algorithm_name in ALGORITHMS and key.public_key_use in ("sig", None)]
    by_id = {key.key_id: key for key in usable if isinstance(key.key_id, str)}
    if not by_id:
        raise IssuerUnavailable(f"{issuer}: none of its keys can be used")
    return by_id


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Makes an error of a redirect, which could lead from https to http."""

    def redirect_request(self, *_: object) -> None:
        """Follow none."""


_OPENER: Final = urllib.request.build_opener(_NoRedirects)


def _fetch_json(url: str) -> dict[str, Any]:
    """Return the JSON object at a URL, of at most `MAX_BYTES`."""
    if not is_protected(url):
        raise ValueError(f"{url[:200]!r} is not https")
    deadline = time.monotonic() + TIMEOUT_SECONDS
    body = b""
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310 - https, see above
    with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as response:
        while piece := response.read1(MAX_BYTES):
            body += piece
            if len(body) > MAX_BYTES or time.monotonic() > deadline:
                raise ValueError(f"{url[:200]} is longer than {MAX_BYTES} bytes, or takes too long")
    document = json.loads(body)
    if not isinstance(document, dict):
        raise TypeError(f"{url[:200]} is no JSON object")
    return document
