"""Routes of API keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from service.api.access.client import NamedClientDep
from service.api.access.scopes import requires
from service.api.audit import record_change
from service.api.context import ContextDep
from service.api.problems import documented_problems
from service.jobs.api_keys import CLIENT_NAME, ApiKeys, Quota, Scope
from service.key_info import KeyInfo, QuotaInfo

DEFAULT_DAYS = 365


async def _no_store(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"


router = APIRouter(prefix="/v1/keys", tags=["operator"], dependencies=[requires(Scope.ADMIN), Depends(_no_store)])


class NewKey(BaseModel):
    """The key that is asked for."""

    model_config = ConfigDict(extra="forbid")

    client: str = Field(
        max_length=128,
        description="1 to 63 lower-case letters, digits, dots, hyphens, underscores.",
        examples=["town"],
        json_schema_extra={"pattern": f"^{CLIENT_NAME.pattern}$"},
    )
    scopes: list[Scope] = Field([Scope.READ, Scope.NOWCAST], min_length=1, max_length=3)
    days: int = Field(DEFAULT_DAYS, ge=0, le=36500, strict=True, description="Days after which it expires; 0: never.")
    quota: QuotaInfo = Field(default_factory=lambda: QuotaInfo.model_validate({}))


class KeyList(BaseModel):
    """All keys, the newest first."""

    keys: list[KeyInfo]


class CreatedKey(KeyInfo):
    """A new key with its secret, which nobody can read again."""

    key: str = Field(description="The secret: `Authorization: Bearer KEY`.", examples=["echocast_2d2c3290..."])


@router.get("", operation_id="listKeys", summary="List the API keys", responses=documented_problems())
def list_keys(context: ContextDep) -> KeyList:
    """Return every key, without the secrets, which are not kept."""
    return KeyList(keys=[KeyInfo.of(key) for key in ApiKeys(context.ledger.engine).all()])


@router.post(
    "",
    operation_id="createKey",
    summary="Create an API key",
    status_code=201,
    responses=documented_problems("invalid-key", "open-service", "invalid-parameter"),
)
def create_key(context: ContextDep, client: NamedClientDep, new: NewKey) -> CreatedKey:
    """Create a key, and return it with its secret: nobody can read that again.

    The first key is created on the machine of the service (`echocast keys create`), as it closes an open service.
    """
    expires = datetime.now(UTC) + timedelta(days=new.days) if new.days else None
    quota = Quota(**new.quota.model_dump())
    key, secret = ApiKeys(context.ledger.engine).create(new.client, new.scopes, expires=expires, quota=quota)
    record_change(client, f"created key {key.id} of {key.client}: {', '.join(key.scopes)}")
    return CreatedKey(key=secret, **KeyInfo.of(key).model_dump())


@router.delete(
    "/{key_id}",
    operation_id="revokeKey",
    summary="Revoke an API key",
    responses=documented_problems("no-such-key", "open-service"),
)
def revoke_key(
    context: ContextDep,
    client: NamedClientDep,
    key_id: Annotated[str, Path(max_length=16, pattern=r"^[^\x00]*$", description="Id of the key.")],
) -> KeyInfo:
    """Refuse a key from now on; a second time changes nothing."""
    key = ApiKeys(context.ledger.engine).revoke(key_id)
    record_change(client, f"revoked key {key.id} of {key.client}")
    return KeyInfo.of(key)
