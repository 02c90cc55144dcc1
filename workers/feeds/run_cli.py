"""`echocast feeds run`, `backfill`, `subscribe`: read what has arrived, make nowcasts of the past, receive frames."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from model.core.errors import InputError

if TYPE_CHECKING:
    from workers.context import WorkerContext

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_data_dir_option = click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Folder of all state (ECHOCAST_DATA_DIR)."
)


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_json_option
@_data_dir_option
def run(names: tuple[str, ...], as_json: bool, data_dir: Path | None) -> None:
    """Scan the feeds now: read what has arrived, and submit the nowcasts, which the workers make.

    All feeds, or those that are named. A feed that a worker scans at this moment is left to it.
    """
    from model.core.times import rfc3339
    from service.feeds.feeds_file import read_feeds
    from workers.feeds.cli import named
    from workers.feeds.scan import scan

    with worker_context(data_dir) as context:
        feeds = named(read_feeds(context.settings.feeds_path), names, context.settings.feeds_path)
        scan(context, [feed.name for feed in feeds])
        rows = []
        for feed in feeds:
            newest = next(iter(context.feed_ledger.runs(feed.name, limit=1)), None)
            registered = context.feed_ledger.registered(feed.name)
            problem = None if registered is None else registered.problem
            rows.append(
                {
                    "name": feed.name,
                    "reference_time": None if newest is None else rfc3339(newest.reference_time),
                    "state": None if newest is None else newest.state.value,
                    "problem": None if problem is None else f"{problem['where']}: {problem['what']}. {problem['hint']}",
                }
            )
    if as_json:
        click.echo(json.dumps({"feeds": rows}))
        return
    for row in rows:
        newest_run = "no run yet" if row["state"] is None else f"the run from {row['reference_time']} is {row['state']}"
        click.echo(f"{row['name']}: {newest_run}" + (f"; {row['problem']}" if row["problem"] else ""))


@click.command()
@click.argument("name")
@click.option("--since", required=True, help="First reference time (UTC), such as 2026-06-01T12:00Z.")
@click.option("--until", help="Last reference time (UTC). Default: that of the newest frame.")
@_json_option
@_data_dir_option
def backfill(name: str, since: str, until: str | None, as_json: bool, data_dir: Path | None) -> None:
    """Make the nowcasts of a feed that are missing in a period, the oldest first.

    Files that were not read are read. The workers make the nowcasts one after the other, and live ones before them; the
    command waits for each, and may be stopped and started again. The exit code is 1 where one failed.
    """
    from model.core.times import rfc3339
    from service.feeds.feeds_file import read_feeds
    from service.jobs.job import JobStatus
    from workers.feeds import backfill as backfilling
    from workers.feeds.cli import named

    first = _time("since", since)
    last = datetime.now(UTC) if until is None else _time("until", until)
    outcomes = []
    with worker_context(data_dir) as context:
        [feed] = named(read_feeds(context.settings.feeds_path), [name], context.settings.feeds_path)
        for file in backfilling.read_left_files(feed, first, last, context):
            click.echo(f"read {file}", err=True)
        frames = backfilling.frames_without_nowcast(feed, first, last, context)
        click.echo(f"{len(frames)} nowcasts are missing", err=True)
        for outcome in backfilling.backfill(feed, frames, context):
            outcomes.append(outcome)
            if not as_json:
                told = f"{rfc3339(outcome.reference_time)} {outcome.status}"
                click.echo(told + (f": {outcome.note}" if outcome.note else ""))
    if as_json:
        rows = [
            {
                "reference_time": rfc3339(each.reference_time),
                "status": each.status.value,
                "note": each.note,
            }
            for each in outcomes
        ]
        click.echo(json.dumps({"feed": name, "runs": rows}))
    sys.exit(1 if any(each.status is JobStatus.FAILED for each in outcomes) else 0)


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_data_dir_option
def subscribe(names: tuple[str, ...], data_dir: Path | None) -> None:
    """Receive the frames that MQTT brokers announce, until it is stopped.

    Of all feeds with a table `mqtt`, or those that are named. Changes of the file of feeds need no restart.
    """
    from service.feeds.feeds_file import read_feeds
    from workers.feeds.cli import named
    from workers.feeds.mqtt.connection import check_installed
    from workers.feeds.mqtt.subscriber import subscribe as subscribe_until
    from workers.lifecycle import configure_logging

    check_installed()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with worker_context(data_dir) as context:
        configure_logging(context.settings)
        named(read_feeds(context.settings.feeds_path, check_folders=False), names, context.settings.feeds_path)
        subscribe_until(context, names, stop)


@contextmanager
def worker_context(data_dir: Path | None) -> Iterator[WorkerContext]:
    """Open what a worker uses, and close it."""
    from service.settings import load_settings
    from workers.context import open_context

    context = open_context(load_settings(data_dir=data_dir))
    try:
        yield context
    finally:
        context.ledger.close()


def _time(option: str, text: str) -> datetime:
    """Parse a time in UTC.

    Raises
    ------
    InputError
        It is none.
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is no time", where=f"--{option}", hint="Give it as 2026-06-01T12:00Z") from None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
