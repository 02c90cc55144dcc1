"""`echocast feeds`: list the feeds with their status, check, replay and archive them, and test their alerts."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from model.core.errors import InputError
from workers.feeds.alerts_cli import alerts, problems_of_rules
from workers.feeds.archive_cli import archive
from workers.feeds.replay_cli import replay
from workers.feeds.run_cli import backfill, run, subscribe, worker_context

if TYPE_CHECKING:
    from model.core.sequence import FrameSequence
    from service.feeds.config import Feed
    from service.feeds.feeds_file import Feeds
    from service.feeds.health import FeedHealth
    from service.feeds.tables import ArrivedFile, FeedRun
    from workers.context import WorkerContext
    from workers.feeds.sources import Source

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_data_dir_option = click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Folder of all state (ECHOCAST_DATA_DIR)."
)


class Checked(NamedTuple):
    """What was found of a feed: what is wrong with a hint, or what will run."""

    feed: str
    ok: bool
    what: str
    hint: str = ""


@click.group()
def feeds() -> None:
    """List the feeds, check their configuration, run them, replay and archive frames, test the channels of alerts."""


for command in (run, backfill, subscribe, replay, archive, alerts):
    feeds.add_command(command)


@feeds.command("list")
@_json_option
@_data_dir_option
def list_feeds(as_json: bool, data_dir: Path | None) -> None:
    """List the feeds with their status, the age of their newest frame, and their newest nowcast."""
    from service.feeds.feeds_file import read_feeds
    from service.feeds.ledger import FeedLedger
    from service.feeds.overview import feed_states
    from service.jobs.ledger import Ledger
    from service.settings import load_settings

    settings = load_settings(data_dir=data_dir)
    found = read_feeds(settings.feeds_path, check_folders=False)
    ledger = Ledger(settings.database)
    try:
        states = feed_states(found.feeds, FeedLedger(ledger))
        rows = [_described(state.feed, state.health, state.run) for state in states]
    finally:
        ledger.close()
    for problem in found.problems:
        click.echo(f"{problem['where']}: {problem['what']}. {problem['hint']}", err=True)
    if as_json:
        click.echo(json.dumps({"feeds": rows}))
    elif rows:
        _print_table(rows)
    else:
        click.echo(f"There is no feed in {settings.feeds_path}.")


@feeds.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_json_option
@_data_dir_option
def check(names: tuple[str, ...], as_json: bool, data_dir: Path | None) -> None:
    """Check the file of feeds, read the newest frame of each feed, and tell which model will run.

    All feeds, or those that are named, with the rules of their alerts. Nothing is recorded, and no message sent. The
    exit code is 2 where something is wrong.
    """
    from service.feeds.feeds_file import read_feeds

    with worker_context(data_dir) as context:
        path = context.settings.feeds_path
        found = read_feeds(path)
        checked = [Checked(problem["where"], False, problem["what"], problem["hint"]) for problem in found.problems]
        for feed in named(found, names, path):
            checked += _check(feed, context)
    if as_json:
        click.echo(json.dumps({"feeds": [each._asdict() for each in checked]}))
    else:
        for each in checked:
            mark = "ok" if each.ok else "bad"
            click.echo(f"{mark:4} {each.feed}: {each.what}" + (f". {each.hint}" if each.hint else ""))
    if not checked:
        click.echo(f"There is no feed in {path}.", err=True)
    sys.exit(0 if all(each.ok for each in checked) else 2)


def named(found: Feeds, names: Sequence[str], path: Path) -> Sequence[Feed]:
    """Return the feeds of those names, or all.

    Raises
    ------
    BadFeed
        There is no valid feed of a name.
    """
    from service.feeds.feeds_file import BadFeed

    for name in names:
        if found.find(name) is None:
            known = ", ".join(feed.name for feed in found.feeds) or "none"
            raise BadFeed(f"there is no valid feed {name!r}", where=str(path), hint=f"Valid feeds: {known}")
    return [feed for feed in found.feeds if not names or feed.name in names]


def _check(feed: Feed, context: WorkerContext) -> list[Checked]:
    """Read the newest file of a feed, find the model that would run, and check its rules."""
    checked, frames = _check_frames(feed, context)
    problems = problems_of_rules(feed, None if frames is None else frames.grid, context.settings)
    of_rules = [Checked(f"{feed.name}, {error.where}", False, error.what, error.hint) for error in problems]
    return [checked, *of_rules]


def _check_frames(feed: Feed, context: WorkerContext) -> tuple[Checked, FrameSequence | None]:
    from model.core.times import utc_text
    from service.feeds.products import check_packages
    from workers.feeds.runs import planned
    from workers.feeds.skill.challengers import check_challengers
    from workers.feeds.skill.gauges import read_gauges
    from workers.feeds.sources import list_settled, open_source

    try:
        check_packages(feed.products)
        source = open_source(feed, context)
        files = list_settled(source, context.settings.feed_settle_seconds)
        model, problem = planned(feed, context.catalog)
        if problem is not None:
            return Checked(feed.name, False, f"{problem['what']}: extrapolation will run", problem["hint"]), None
        check_challengers(feed, context.catalog)
        if feed.gauges is not None:
            read_gauges(feed.gauges)
        alerts = f"; alerts: {len(feed.alert)}" if feed.alert else ""
        if feed.is_received:
            how = f"sent to /v1/feeds/{feed.name}/frames" if feed.push else "announced: `echocast feeds subscribe`"
            return Checked(feed.name, True, f"frames are {how}; {model} runs{alerts}"), None
        if not files:
            hint = "Correct the pattern or the source, or wait for the first frame"
            return Checked(feed.name, False, f"no file in {feed.source} matches {feed.pattern!r}", hint), None
        frames = _read(feed, files[-1], source, context)
    except InputError as error:
        return Checked(feed.name, False, f"{error.where}: {error.what}", error.hint), None
    ny, nx = frames.grid.shape
    product = frames.attributes.get("radar_product")
    newest = f"{files[-1].name} is valid at {utc_text(frames.reference_time)}, {nx} x {ny} pixels"
    newest += f", {product}" if product else ""
    return Checked(feed.name, True, f"files: {len(files)}; {newest}; {model} runs{alerts}"), frames


def _read(feed: Feed, file: ArrivedFile, source: Source, context: WorkerContext) -> FrameSequence:
    """Read a file.

    Raises
    ------
    InputError
        It cannot be read, or has gone.
    """
    from workers.feeds.ingest import read_file

    with tempfile.TemporaryDirectory(prefix="echocast-") as folder:
        path = source.fetch(file, Path(folder))
        if path is None:
            raise InputError("it has gone", where=file.name, hint="Check again")
        return read_file(feed, path, context)


def _described(feed: Feed, health: FeedHealth, run: FeedRun | None) -> dict[str, Any]:
    return {
        "name": feed.name,
        "status": health.status.value,
        "reason": health.reason,
        "model": feed.model,
        "interval_minutes": health.interval_minutes,
        "newest_frame": _text(health.newest_frame),
        "age_minutes": health.age_minutes,
        "latest_reference_time": _text(None if run is None else run.reference_time),
        "source": feed.source,
    }


def _text(time: datetime | None) -> str | None:
    from model.core.times import rfc3339

    return None if time is None else rfc3339(time)


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("feed", "status", "newest frame", "age, min", "newest nowcast", "model", "why"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        age = "" if row["age_minutes"] is None else f"{row['age_minutes']:.0f}"
        table.add_row(
            row["name"],
            row["status"],
            row["newest_frame"] or "none",
            age,
            row["latest_reference_time"] or "none",
            row["model"],
            row["reason"],
        )
    Console().print(table)
