"""Authentication: from a request's credentials to its client."""

from __future__ import annotations

import ipaddress
import logging
import time
from typing import Final

import anyio.to_thread
from sqlalchemy.exc import SQLAlchemyError

from model.core.settings import BadSetting
from service.api.access.client import ANONYMOUS, Client
from service.api.access.errors import InvalidCredentials, NotAuthenticated
from service.jobs.api_keys import ApiKeys, Scope, is_key
from service.settings import Settings

OPEN_SECONDS: Final = 1.0
"""How long an open service stays open after its first key was created."""

log = logging.getLogger(__name__)


class Authenticator:
    """Knows who may use the service: anybody while it is open, else those who present an API key."""

    def __init__(self, settings: Settings, keys: ApiKeys) -> None:
        self._settings = settings
        self._keys = keys
        self._open_until = 0.0

    def check_start(self) -> None:
        """Refuse to serve where nobody could be told apart.

        Raises
        ------
        BadSetting
            Other machines reach the gateway's address, and there is no key.
        """
        if self._settings.access == "open" or self._is_open() or self._keys.any():
            return
        local = is_loopback(self._settings.host)
        raise BadSetting(
            "every request needs an API key, and there is none"
            if local
            else f"other machines reach {self._settings.host}, and there is no API key: anybody could use the service",
            where="ECHOCAST_ACCESS" if local else "ECHOCAST_HOST",
            hint="Create a key with `echocast keys create CLIENT`, or listen on 127.0.0.1; ECHOCAST_ACCESS=open serves "
            "everybody, for where a reverse proxy authenticates",
        )

    async def authenticate(self, credentials: str | None) -> Client:
        """Return the client of bearer credentials; without any, everybody, where the service is open.

        Raises
        ------
        NotAuthenticated, InvalidCredentials
            Credentials are needed, or these are not accepted.
        """
        if credentials is None and time.monotonic() < self._open_until:
            return ANONYMOUS
        return await anyio.to_thread.run_sync(self._authenticate, credentials)

    def _authenticate(self, credentials: str | None) -> Client:
        if credentials is None:
            if not self._is_open():
                raise NotAuthenticated
            self._open_until = time.monotonic() + OPEN_SECONDS
            return ANONYMOUS
        return self._client_of_key(credentials)

    def _is_open(self) -> bool:
        if self._settings.access == "auto":
            return is_loopback(self._settings.host) and not self._keys.any()
        return self._settings.access == "open"

    def _client_of_key(self, secret: str) -> Client:
        key = self._keys.find(secret) if is_key(secret) else None
        if key is None:
            raise InvalidCredentials("this is no API key of this service")
        if key.state != "valid":
            raise InvalidCredentials(
                f"the API key {key.id} has expired" if key.state == "expired" else f"the API key {key.id} was revoked"
            )
        try:
            self._keys.record_use(key)
        except SQLAlchemyError as error:  # the request does not depend on it
            log.warning("the use of key %s was not recorded: %s", key.id, type(error).__name__)
        return Client(key.client, frozenset(map(Scope, key.scopes)), key.quota)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a gateway that listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
