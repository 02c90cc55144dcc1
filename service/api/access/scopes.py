"""The scope of each route: every route declares one, or that it is public, as `create_app` checks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Request, Security, params
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from service.api.access.client import sender_of
from service.api.access.errors import InsufficientScope
from service.api.context import ContextDep, GatewayContext
from service.jobs.api_keys import Scope

_bearer: Final = HTTPBearer(
    scheme_name="key",
    description="An API key, `Authorization: Bearer echocast_...`; where the operator has set an issuer (OpenID "
    "Connect), also a JWT access token of it, whose scopes are called `echocast:read`, `echocast:nowcast` and "
    "`echocast:admin`",
    auto_error=False,
)


TILE_WEIGHT: Final = 0.05
"""Of a request: a map shows dozens of tiles at once, and hundreds when it plays, each of which takes milliseconds."""

Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def _authorize(request: Request, needed: SecurityScopes, context: ContextDep, credentials: Credentials) -> None:
    await _admit(request, map(Scope, needed.scopes), context, credentials)


async def _authorize_tile(
    request: Request, needed: SecurityScopes, context: ContextDep, credentials: Credentials
) -> None:
    await _admit(request, map(Scope, needed.scopes), context, credentials, TILE_WEIGHT)


async def authorize(request: Request, context: GatewayContext, scope: Scope) -> None:
    """Do for a request what the dependency `requires(scope)` does, where no dependencies are resolved.

    Raises
    ------
    AccessDenied, TooManyRequests
        The client may not do this, or sends too many requests.
    """
    await _admit(request, (scope,), context, await _bearer(request))


async def _admit(
    request: Request,
    scopes: Iterable[Scope],
    context: GatewayContext,
    credentials: HTTPAuthorizationCredentials | None,
    weight: float = 1.0,
) -> None:
    client = await context.authenticator.authenticate(None if credentials is None else credentials.credentials)
    request.state.client = client
    await context.rate_limit.check(sender_of(request, client), client.quota.requests_per_second, weight)
    for scope in scopes:
        if not client.may(scope):
            raise InsufficientScope(scope)


async def _anybody() -> None:
    """Let everybody in."""


def requires(scope: Scope) -> Any:  # noqa: ANN401 - as FastAPI's Security
    """Return the dependency of a route, or of a router, that only clients with the scope may use."""
    return Security(_authorize, scopes=[scope.value])


def requires_for_tile(scope: Scope) -> Any:  # noqa: ANN401 - as FastAPI's Security
    """Return the same for a map tile, which counts less where requests are counted."""
    return Security(_authorize_tile, scopes=[scope.value])


PUBLIC: Final[Any] = Depends(_anybody)
"""The dependency of a route, or of a router, that everybody may use, with a key or without."""


def scopes_of_routes(app: FastAPI) -> list[tuple[RouteContext, Scope | None]]:
    """Return the routes of the API, each with the scope that it requires; None for a public one.

    Raises
    ------
    TypeError
        A route does not declare it, or more than once.
    """
    routes = [route for route in iter_route_contexts(app.routes) if isinstance(route.original_route, APIRoute)]
    return [(route, _declared(route)) for route in routes]


def _declared(route: RouteContext) -> Scope | None:
    dependencies: list[params.Depends] = route.dependencies
    declared = [item for item in dependencies if item.dependency in (_authorize, _authorize_tile, _anybody)]
    if len(declared) != 1:
        found = len(declared)
        raise TypeError(f"{route.path} must declare one scope by `requires`, or PUBLIC; it declares {found}")
    [item] = declared
    return Scope(*item.scopes) if isinstance(item, params.Security) and item.scopes else None
