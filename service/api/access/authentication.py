"""Authentication: from a request's credentials to its client."""

from __future__ import annotations

import logging
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import anyio.to_thread
from sqlalchemy.exc import SQLAlchemyError

from model.core.errors import MissingDependency
from model.core.settings import BadSetting
from service.addresses import is_loopback
from service.api.access.client import ANONYMOUS, Client
from service.api.access.errors import InvalidCredentials, NotAuthenticated
from service.jobs.api_keys import ApiKeys, Scope, is_key
from service.settings import Settings

if TYPE_CHECKING:
    from service.api.access.tokens import AccessTokens

OPEN_SECONDS: Final = 1.0
"""How long an open service stays open after its first key was created."""

TOKEN_THREADS: Final = 4
"""Most threads that verify tokens, so that an issuer that responds slowly holds no client of an API key."""

log = logging.getLogger(__name__)


class Authenticator:
    """Knows who may use the service: anybody while it is open, else those who present an API key or a token.

    Raises
    ------
    BadSetting, MissingDependency
        The settings of tokens contradict each other; the extra `oidc` is not installed.
    """

    def __init__(self, settings: Settings, keys: ApiKeys) -> None:
        self._settings = settings
        self._keys = keys
        self._tokens = access_tokens(settings)
        self._token_threads = anyio.CapacityLimiter(TOKEN_THREADS)
        self._open_until = 0.0

    def check_start(self) -> None:
        """Refuse to serve where nobody could be told apart.

        Raises
        ------
        BadSetting
            Other machines reach the gateway's address, and there is neither a key nor an issuer of tokens.
        """
        if self._tokens is not None or self._settings.access == "open" or self._is_open() or self._keys.any():
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

    async def is_open(self) -> bool:
        """Whether requests without credentials are served."""
        try:
            await self.authenticate(None)
        except NotAuthenticated:
            return False
        return True

    async def authenticate(self, credentials: str | None) -> Client:
        """Return the client of bearer credentials; without any, everybody, where the service is open.

        Raises
        ------
        NotAuthenticated, InvalidCredentials, IssuerUnavailable
            Credentials are needed; these are not accepted; nobody knows whether the token is valid.
        """
        if credentials is None and time.monotonic() < self._open_until:
            return ANONYMOUS
        limiter = None if credentials is None or is_key(credentials) else self._token_threads
        return await anyio.to_thread.run_sync(self._authenticate, credentials, limiter=limiter)

    def _authenticate(self, credentials: str | None) -> Client:
        if credentials is None:
            if not self._is_open():
                raise NotAuthenticated
            self._open_until = time.monotonic() + OPEN_SECONDS
            return ANONYMOUS
        if is_key(credentials):
            return self._client_of_key(credentials)
        if self._tokens is not None:
            return self._tokens.client_of(credentials)
        if self._settings.access == "open":  # of the proxy that authenticates, which passes them on
            return ANONYMOUS
        raise InvalidCredentials("this is no API key of this service")

    def _is_open(self) -> bool:
        if self._tokens is not None:
            return False
        if self._settings.access == "auto":
            return is_loopback(self._settings.host) and not self._keys.any()
        return self._settings.access == "open"

    def _client_of_key(self, secret: str) -> Client:
        key = self._keys.find(secret)
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
        return Client(key.client, frozenset(map(Scope, key.scopes)), key.quota, key.id)


def access_tokens(settings: Settings) -> AccessTokens | None:
    """Return what knows the tokens of the settings' issuer; None where they have none.

    Raises
    ------
    BadSetting, MissingDependency
        The settings contradict each other; the extra `oidc` is not installed.
    """
    issuer, audience = settings.oidc_issuer, settings.oidc_audience
    if issuer is None and audience is None:
        return None
    if issuer is None or audience is None:
        missing = "ECHOCAST_OIDC_ISSUER" if issuer is None else "ECHOCAST_OIDC_AUDIENCE"
        hint = "Set both: tokens of one issuer are accepted, and only those that it issued for this service"
        raise BadSetting("it is not set, and tokens need an issuer and an audience", where=missing, hint=hint)
    if settings.access == "open":
        hint = "Set ECHOCAST_ACCESS=keys, or leave ECHOCAST_OIDC_ISSUER and ECHOCAST_OIDC_AUDIENCE out"
        raise BadSetting("a service that accepts tokens is not open", where="ECHOCAST_ACCESS", hint=hint)
    if find_spec("jwt") is None or find_spec("cryptography") is None:
        raise MissingDependency(
            "tokens need PyJWT and cryptography", where="ECHOCAST_OIDC_ISSUER", hint="pip install 'echocast[oidc]'"
        )
    from service.api.access.tokens import AccessTokens

    return AccessTokens(issuer, audience, settings.oidc_scope_claim, settings.oidc_limits_claim)
