"""Who may use the gateway: whether it starts, for whom it is open, valid API keys, and the issuer of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from service.addresses import is_loopback
from service.doctor.finding import Finding
from service.settings import Settings

if TYPE_CHECKING:
    from service.jobs.api_keys import ApiKey

SOON: Final = timedelta(days=14)
CREATE: Final = "Create a key: echocast keys create CLIENT"


def check_access(settings: Settings) -> Iterator[Finding]:
    """Check access by the address that the gateway listens on, by the keys of the ledger, and by the issuer's."""
    if settings.oidc_issuer is not None or settings.oidc_audience is not None:
        yield _issuer(settings)
        yield from _expiries(_keys(settings) or [])
        return
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
    yield from _expiries(valid)


def _issuer(settings: Settings) -> Finding:
    """Return whether the gateway starts with these settings of tokens, and the keys of the issuer can be fetched."""
    from model.core.errors import InputError
    from service.api.access.authentication import access_tokens
    from service.api.access.errors import IssuerUnavailable

    try:
        access_tokens(settings)
    except InputError as error:
        return Finding("access", "bad", f"the gateway does not start: {error.where}: {error.what}", error.hint)
    from service.api.access.issuer import fetch_keys

    try:
        keys = fetch_keys(str(settings.oidc_issuer))
    except IssuerUnavailable as error:
        hint = "Set ECHOCAST_OIDC_ISSUER to the issuer as its discovery document has it, and let the gateway reach it"
        return Finding("access", "bad", f"no token can be verified: {error}", hint)
    return Finding("access", "ok", f"public keys of {settings.oidc_issuer}: {len(keys)}")


def _expiries(keys: list[ApiKey]) -> Iterator[Finding]:
    """Yield a finding for each valid key that expires soon."""
    for key in keys:
        if key.state == "valid" and key.expires is not None and key.expires - datetime.now(UTC) < SOON:
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
