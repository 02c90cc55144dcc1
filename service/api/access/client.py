"""The client of a request: its identity, its scopes, and its quota."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request

from service.api.access.errors import OpenService
from service.jobs.api_keys import NO_QUOTA, Quota, Scope
from service.jobs.job import ANONYMOUS_ID


@dataclass(frozen=True)
class Client:
    """Who sends a request.

    `id` is what the ledger records with a job: the client of an API key. `key_id` is that of the key; None: there is
    none.
    """

    id: str
    scopes: frozenset[Scope]
    quota: Quota = NO_QUOTA
    key_id: str | None = None

    def may(self, scope: Scope) -> bool:
        """Whether the client has the scope; admin includes the others."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    @property
    def owner(self) -> str | None:
        """The client whose nowcasts it reaches, itself; None for an admin, who reaches those of all."""
        return None if Scope.ADMIN in self.scopes else self.id


ANONYMOUS: Final = Client(ANONYMOUS_ID, frozenset(Scope))
"""Everybody, where the service is open: on a loopback address without API keys."""


def sender_of(request: Request, client: Client) -> str:
    """Return whose requests are counted together: a client's; of everybody, those from one address."""
    return f"{client.id}@{request.client.host}" if client is ANONYMOUS and request.client else client.id


async def _client(request: Request) -> Client:
    client: Client = request.state.client
    return client


ClientDep = Annotated[Client, Depends(_client)]
"""The client, on a route that requires a scope."""


async def _named_client(client: ClientDep) -> Client:
    if client is ANONYMOUS:
        raise OpenService
    return client


NamedClientDep = Annotated[Client, Depends(_named_client)]
"""The same; nobody without a key or a token, even where the service is open."""
