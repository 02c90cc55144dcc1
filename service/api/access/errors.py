"""Why a request is refused before a route sees it."""

from __future__ import annotations

from typing import ClassVar

from model.core.errors import InputError
from service.jobs.api_keys import Scope


class AccessDenied(InputError):
    """A request that is refused for what its headers say. `challenge`: its `WWW-Authenticate` (RFC 6750), if any."""

    challenge: ClassVar[str | None] = None


class NotAuthenticated(AccessDenied):
    """The request has no credentials, and needs some."""

    code = "not-authenticated"
    challenge = 'Bearer realm="echocast"'

    def __init__(self) -> None:
        super().__init__(
            "the request has no credentials",
            where="Authorization",
            hint="Send `Authorization: Bearer KEY` with your API key, or with a token where the service accepts tokens",
        )


class OpenService(AccessDenied):
    """The service is open, and this is not for everybody."""

    code = "open-service"

    def __init__(self) -> None:
        super().__init__(
            "the service is open to everybody, and this needs an API key with the scope admin",
            where="Authorization",
            hint="Create a key on the machine of the service: echocast keys create NAME --scope admin",
        )


class InvalidCredentials(AccessDenied):
    """The credentials are unknown, have expired, or were revoked."""

    code = "invalid-credentials"
    challenge = 'Bearer realm="echocast", error="invalid_token"'

    def __init__(self, what: str, hint: str = "Ask the operator of the service for a key") -> None:
        super().__init__(what, where="Authorization", hint=hint)


class InsufficientScope(AccessDenied):
    """The client is known, and may not do this."""

    code = "insufficient-scope"

    def __init__(self, needed: Scope) -> None:
        super().__init__(
            f"this needs the scope {needed.value}",
            where="Authorization",
            hint="Ask the operator of the service for this scope",
        )
        self.challenge = f'Bearer realm="echocast", error="insufficient_scope", scope="{needed.value}"'  # type: ignore[misc]


class IssuerUnavailable(Exception):
    """The issuer of tokens does not respond: whether a token is valid, is not known."""
