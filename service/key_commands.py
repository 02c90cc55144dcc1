"""`echocast keys`: create, list and revoke API keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from service.jobs.api_keys import ApiKeys

SCOPES = ("read", "nowcast", "admin")
"""`service.jobs.api_keys.Scope`, without importing SQLAlchemy for `--help`."""

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_data_dir_option = click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Folder of all state (ECHOCAST_DATA_DIR)."
)


@click.group()
def keys() -> None:
    """Create, list and revoke API keys."""


@keys.command()
@click.argument("client")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    default=("read", "nowcast"),
    show_default=True,
    help="What it permits; may be given several times.",
)
@click.option(
    "--days",
    type=click.IntRange(min=0),
    default=365,
    show_default=True,
    help="Days after which it expires; 0: never.",
)
@click.option(
    "--max-queued-jobs", type=click.IntRange(0, 10**9), help="Nowcasts of the client that may wait at a time."
)
@click.option(
    "--max-running-jobs", type=click.IntRange(1, 10**9), help="Nowcasts of the client that may run at a time."
)
@click.option(
    "--requests-per-second", type=click.FloatRange(min=0, min_open=True), help="Requests of the client in a second."
)
@click.option("--bytes-per-day", type=click.IntRange(0, 2**53 - 1), help="Bytes that the client may upload in a day.")
@_json_option
@_data_dir_option
def create(
    client: str,
    scopes: tuple[str, ...],
    days: int,
    max_queued_jobs: int | None,
    max_running_jobs: int | None,
    requests_per_second: float | None,
    bytes_per_day: int | None,
    as_json: bool,
    data_dir: Path | None,
) -> None:
    """Create a key for a CLIENT, and print it: nobody can read it again."""
    from service.jobs.api_keys import Quota, Scope
    from service.key_info import KeyInfo

    expires = datetime.now(UTC) + timedelta(days=days) if days else None
    quota = Quota(max_queued_jobs, max_running_jobs, requests_per_second, bytes_per_day)
    with _opened(data_dir) as api_keys:
        key, secret = api_keys.create(client, map(Scope, scopes), expires=expires, quota=quota)
    if as_json:
        click.echo(json.dumps({"key": secret, **KeyInfo.of(key).model_dump(mode="json")}))
        return
    until = f"until {expires:%Y-%m-%d}" if expires is not None else "without an end"
    click.echo(f"Key {key.id} of {client}: {', '.join(key.scopes)}, {until}. Keep it, it is not shown again:", err=True)
    click.echo(secret)


@keys.command("list")
@_json_option
@_data_dir_option
def list_keys(as_json: bool, data_dir: Path | None) -> None:
    """List the keys, the newest first; the keys themselves are not kept."""
    from service.key_info import KeyInfo

    with _opened(data_dir) as api_keys:
        found = api_keys.all()
    if as_json:
        click.echo(json.dumps({"keys": [KeyInfo.of(key).model_dump(mode="json") for key in found]}))
        return
    if not found:
        click.echo("There is no key: on a loopback address the service is open (`echocast keys create CLIENT`).")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("id", "client", "scopes", "state", "created", "expires", "last used", "limits"):
        table.add_column(heading, overflow="fold")
    for key in found:
        times = (key.created, key.expires, key.last_used)
        limits = " ".join(f"{name}={value:g}" for name, value in vars(key.quota).items() if value is not None)
        table.add_row(key.id, key.client, " ".join(key.scopes), key.state, *map(_date, times), limits)
    Console().print(table)


@keys.command()
@click.argument("key_id", metavar="ID")
@_json_option
@_data_dir_option
def revoke(key_id: str, as_json: bool, data_dir: Path | None) -> None:
    """Refuse the key of an ID from now on."""
    from service.key_info import KeyInfo

    with _opened(data_dir) as api_keys:
        key = api_keys.revoke(key_id)
    click.echo(KeyInfo.of(key).model_dump_json() if as_json else f"Key {key.id} of {key.client} is revoked.")


@contextmanager
def _opened(data_dir: Path | None) -> Iterator[ApiKeys]:
    from service.jobs.api_keys import ApiKeys
    from service.jobs.database import open_engine
    from service.settings import load_settings

    engine = open_engine(load_settings(data_dir=data_dir).database)
    try:
        yield ApiKeys(engine)
    finally:
        engine.dispose()


def _date(time: datetime | None) -> str:
    return "never" if time is None else f"{time:%Y-%m-%d}"
