"""Access tokens of an OpenID Connect issuer: JWTs, as RFC 9068 and RFC 8725 have them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import jwt
from jwt import exceptions
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.api.access.client import Client
from service.api.access.errors import InvalidCredentials
from service.api.access.issuer import ALGORITHMS, SigningKeys
from service.jobs.api_keys import NO_QUOTA, Quota, Scope

LEEWAY_SECONDS: Final = 30.0
"""By how much the clocks of issuer and gateway may differ."""

REQUIRED_CLAIMS: Final = ["iss", "aud", "sub", "exp", "iat"]
SCOPE_PREFIX: Final = "echocast:"
CLIENT_PREFIX: Final = "oidc:"
"""No client of an API key has a colon in its name (`service.jobs.api_keys.CLIENT_NAME`)."""

MOST_JOBS: Final = 1_000_000

REASONS: Final[tuple[tuple[type[exceptions.PyJWTError], str], ...]] = (
    (exceptions.ExpiredSignatureError, "the token has expired"),
    (exceptions.ImmatureSignatureError, "the token is not valid yet"),
    (exceptions.InvalidAudienceError, "the token is for another audience"),
    (exceptions.InvalidIssuerError, "the token is of another issuer"),
    (exceptions.InvalidAlgorithmError, "the token is signed with an algorithm that is not accepted"),
    (exceptions.InvalidSignatureError, "the signature of the token is wrong"),
    (exceptions.MissingRequiredClaimError, f"the token lacks one of the claims {', '.join(REQUIRED_CLAIMS)}"),
)

OTHERWISE: Final = "this is neither an API key of this service nor a token of its issuer"


class Limits(BaseModel):
    """The claim with the limits of a client; 0: none. What it leaves out is as the settings have it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    max_queued_jobs: int | None = Field(None, ge=0, le=MOST_JOBS)
    max_running_jobs: int | None = Field(None, ge=0, le=MOST_JOBS)
    requests_per_second: float | None = Field(None, ge=0, allow_inf_nan=False)
    bytes_per_day: int | None = Field(None, ge=0)


class AccessTokens:
    """Knows the client of a token that one issuer has issued for one audience."""

    def __init__(self, issuer: str, audience: str, scope_claim: str, limits_claim: str | None) -> None:
        self._issuer, self._audience, self._scope_claim = issuer, audience, scope_claim
        self._limits_claim = limits_claim
        self._keys = SigningKeys(issuer)

    def client_of(self, token: str) -> Client:
        """Return the client of a token; blocks while keys are fetched.

        Raises
        ------
        InvalidCredentials, IssuerUnavailable
            The token is not accepted; nobody knows, as the issuer does not respond.
        """
        try:
            claims = self._verified(token)
        except exceptions.PyJWTError as error:
            reason = next((text for kind, text in REASONS if isinstance(error, kind)), OTHERWISE)
            raise InvalidCredentials(reason, hint=f"Get a token for {self._audience} from {self._issuer}") from None
        scopes, quota = _scopes(claims.get(self._scope_claim)), self._quota(claims)
        return Client(client_id(claims["iss"], claims["sub"]), scopes, quota)

    def _quota(self, claims: Mapping[str, Any]) -> Quota:
        """Return the limits of a token's client: no own ones where there is no such claim."""
        if self._limits_claim is None or claims.get(self._limits_claim) is None:
            return NO_QUOTA
        try:
            return Quota(**Limits.model_validate(claims[self._limits_claim]).model_dump())
        except ValidationError:
            raise InvalidCredentials(
                f"the claim {self._limits_claim} of the token is no object of limits",
                hint=f"Let {self._issuer} issue numbers for any of {', '.join(Limits.model_fields)}",
            ) from None

    def _verified(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in ALGORITHMS:
            raise exceptions.InvalidAlgorithmError
        key = self._keys.find(header.get("kid", ""))
        if key is None:
            raise exceptions.InvalidTokenError
        return jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            audience=self._audience,
            issuer=self._issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": REQUIRED_CLAIMS, "enforce_minimum_key_length": True},
        )


def client_id(issuer: str, subject: str) -> str:
    """Return the id of a subject: always the same, as long for every subject, and of no API key's client."""
    return CLIENT_PREFIX + hashlib.sha256(json.dumps([issuer, subject]).encode()).hexdigest()


def _scopes(claim: object) -> frozenset[Scope]:
    """Return the scopes of a claim: names separated by spaces (RFC 9068), or a list of names; others are ignored."""
    names = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else []
    return frozenset(scope for scope in Scope if SCOPE_PREFIX + scope.value in names)
