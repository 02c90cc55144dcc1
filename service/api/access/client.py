"""The client of a request: its identity, and its scopes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from fastapi import Depends, Request

from service.jobs.job import ANONYMOUS_ID


class Scope(StrEnum):
    """What a client may do."""

    READ = "read"
    """Follow nowcasts and fetch their results."""
    NOWCAST = "nowcast"
    """Request nowcasts, and cancel them."""
    ADMIN = "admin"
    """All of it, for the nowcasts of every client."""


@dataclass(frozen=True)
class Client:
    """Who sends a request. `id` is what the ledger records with a job: of an API key, or of a token's subject."""

    id: str
    scopes: frozenset[Scope]


ANONYMOUS: Final = Client(ANONYMOUS_ID, frozenset(Scope))
"""Everybody, where the service is open: on a loopback address without API keys."""


def _client(request: Request) -> Client:
    client: Client = getattr(request.state, "client", ANONYMOUS)
    return client


ClientDep = Annotated[Client, Depends(_client)]
