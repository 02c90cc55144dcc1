"""Who may use the gateway: whether it starts, for whom it is open, and which API keys are valid."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from service.doctor.finding import Finding
from service.settings import Settings

if TYPE_CHECKING:
    from service.jobs.api_keys import ApiKey

SOON: Final = timedelta(days=14)
CREATE: Final = "Create a key: echocast keys create CLIENT"


def check_access(settings: Settings) -> Iterator[Finding]:
    """Check access by the address that the gateway listens on, and by the keys of the ledger."""
    from service.api.access.authentication import is_loopback

    local = is_loopback(settings.host)
    if settings.access == "open":
        what = f"everybody who reaches {settings.host} may do everything"
        hint = "" if local else "Let nobody reach it but through a proxy that authenticates"
        yield Finding("access", "ok" if local else "warning", what, hint)
        return
    keys = _keys(settings)
    if keys is None:
        return
    if not keys:
        if local and settings.access == "auto":
            yield Finding("access", "ok", "open to this machine alone, as no API key was created")
        else:
            yield Finding(
                "access", "bad", f"the gateway does not start on {settings.host}: there is no API key", CREATE
            )
        return
    valid = [key for key in keys if key.state == "valid"]
    if not valid:
        yield Finding("access", "bad", f"nobody can use the gateway: all {len(keys)} API keys are invalid", CREATE)
        return
    yield Finding("access", "ok", f"{len(valid)} valid API keys")
    for key in valid:
        if key.expires is not None and key.expires - datetime.now(UTC) < SOON:
            what = f"the API key {key.id} of {key.client} expires on {key.expires:%Y-%m-%d}"
            yield Finding("access", "warning", what, f"Create the next one: echocast keys create {key.client}")


def _keys(settings: Settings) -> list[ApiKey] | None:
    """Return all keys; None where the ledger does not answer or is not migrated, which is a finding of its own."""
    from sqlalchemy import make_url

    from service.jobs.api_keys import ApiKeys
    from service.jobs.database import HEAD, make_engine, revision

    url = make_url(settings.database)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return []
    engine = make_engine(settings.database)
    try:
        return ApiKeys(engine).all() if revision(engine) == HEAD else None
    except Exception:  # of SQLAlchemy, or of the driver
        return None
    finally:
        engine.dispose()
