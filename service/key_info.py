"""An API key as people see it: all but the secret, which nobody has."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from service.jobs.api_keys import ApiKey, Scope


class QuotaInfo(BaseModel):
    """Limits of a client; null: the service's own."""

    model_config = ConfigDict(strict=True)

    max_queued_jobs: int | None = Field(None, ge=0, le=10**9, description="Nowcasts that may wait at a time.")
    max_running_jobs: int | None = Field(None, ge=1, le=10**9, description="Nowcasts that may run at a time.")
    requests_per_second: float | None = Field(None, gt=0, allow_inf_nan=False)
    bytes_per_day: int | None = Field(None, ge=0, le=2**53 - 1, description="Bytes that may be uploaded in a day.")


class KeyInfo(BaseModel):
    """An API key, without its digest, which is of no use to anybody. Times are exact to the second."""

    id: str = Field(description="Names the key; it is no secret.", examples=["4d7f1451"])
    client: str = Field(description="Whose nowcasts it reaches.", examples=["flood-duty"])
    scopes: list[Scope]
    state: Literal["valid", "expired", "revoked"]
    created: datetime
    expires: datetime | None = Field(description="null: never.")
    revoked: datetime | None
    last_used: datetime | None = Field(description="To 5 minutes; null: never.")
    quota: QuotaInfo

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        """Return what is told of a key."""
        return cls(
            id=key.id,
            client=key.client,
            scopes=[Scope(name) for name in key.scopes],
            state=key.state,
            created=key.created.replace(microsecond=0),
            expires=_to_the_second(key.expires),
            revoked=_to_the_second(key.revoked),
            last_used=_to_the_second(key.last_used),
            quota=QuotaInfo(**vars(key.quota)),
        )


def _to_the_second(time: datetime | None) -> datetime | None:
    return None if time is None else time.replace(microsecond=0)
