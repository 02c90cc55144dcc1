"""`echocast models promote`, `rollback` and `alias`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.table import Table

from model.core.aliases import CHAMPION, AliasChange, Gate, PinnedVersion, check_writable, read_aliases
from model.core.catalog import DEFAULT_MODEL, open_catalog, pinned_version
from model.core.folders import packages_folder
from model.core.progress import ProgressBar
from model.core.promotion import Evaluation, check_gates, set_alias
from model.core.promotion import promote as promote_model
from model.core.promotion import rollback as roll_back
from model.options import fields_option, packages_option

if TYPE_CHECKING:
    from model.data.archive import Archive

RESULTS: Final = {True: "pass", False: "FAIL", None: "inconclusive"}


@click.command()
@click.argument("reference")
@click.option(
    "--archive",
    "archives",
    multiple=True,
    type=click.Path(path_type=Path),
    help="An archive to evaluate it on, with frames that it was not trained on; may be given several times.",
)
@click.option("--feed", help="Instead of an archive: a feed whose live skill, as a challenger, decides.")
@click.option(
    "--service", default="http://127.0.0.1:8000", show_default=True, help="Address of the service with the feed."
)
@click.option("--key-file", type=click.Path(path_type=Path), help="File with an API key of the service.")
@click.option(
    "--window", default=168.0, show_default=True, type=click.FloatRange(min=1, max=744), help="Hours of live skill."
)
@click.option(
    "--split", default="", help="Days of this part of the archives' split, or all; default: test, where there is one."
)
@click.option(
    "--protocol", "protocol_name", default="nowcast-60", show_default=True, help="Protocol of the verification."
)
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="Limit for a nowcast on this machine; default: a fifth of the archive's time step.",
)
@click.option("--force", is_flag=True, help="Promote it against the gates; the history records the reason.")
@click.option("--reason", default="", help="Reason for --force, which needs one.")
@click.option("--dry-run", is_flag=True, help="Evaluate the gates, and change nothing.")
@fields_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@packages_option
def promote(
    reference: str,
    archives: tuple[Path, ...],
    feed: str | None,
    service: str,
    key_file: Path | None,
    window: float,
    split: str,
    protocol_name: str,
    max_seconds: float | None,
    force: bool,
    reason: str,
    dry_run: bool,
    fields: Path | None,
    as_json: bool,
    packages: Path | None,
) -> None:
    """Make NAME@VERSION the champion, which `auto` runs, where it passes the gates."""
    from model.data.archive import Archive
    from model.registry.evaluation import check_parity_tools, evaluate, load_candidate, load_champion
    from model.registry.live_skill import Service, evaluate_live
    from model.verify.protocols import PROTOCOLS

    if bool(archives) == bool(feed):
        raise click.UsageError("give either --archive, once or several times, or --feed")
    if force and not reason.strip():
        raise click.UsageError("--force needs a --reason for the history")
    if protocol_name not in PROTOCOLS:
        raise click.UsageError(f"no protocol {protocol_name!r}: choose one of {', '.join(PROTOCOLS)}")
    folder = packages or packages_folder()
    if not dry_run:
        check_writable(folder)
    pinned, catalog = read_aliases(folder).aliases.get(CHAMPION), open_catalog(folder)
    info = catalog.find(reference)
    candidate = load_candidate(info, fields)
    if pinned == pinned_version(info):
        output = {"model": info.reference, "promoted": False, "forced": False, "gates": []}
        click.echo(json.dumps(output) if as_json else f"{info.reference} is already the champion")
        return
    if not force and feed is None:
        check_parity_tools()
    opened = [_days(Archive(path), split) for path in archives]
    champion, note = load_champion(catalog, fields)
    if note:
        click.echo(f"echocast: {note}", err=True)
    if feed is not None:
        evaluation = evaluate_live(info, champion.info, feed, Service(service, key_file), window)
    else:
        with ProgressBar("gates") as progress:
            evaluation = evaluate(
                candidate,
                champion,
                opened,
                PROTOCOLS[protocol_name],
                max_seconds=max_seconds,
                report=lambda what, done, total: progress.update(done, total, what),
            )
    if not as_json:
        _print_gates(evaluation.gates, f"{info.reference} beside {evaluation.champion}, {evaluation.protocol}")
    for problem in evaluation.damaged:
        click.echo(f"a start time was left out: {problem}", err=True)
    change = None
    try:
        if dry_run:
            check_gates(info, evaluation)
        else:
            change = promote_model(info, folder, evaluation, pinned=pinned, forced=force, reason=reason)
    finally:
        if as_json:
            click.echo(json.dumps(_promotion(info.reference, evaluation, change), indent=2))
    if not as_json:
        click.echo(_summary(change) if change else f"{info.reference} passes; nothing was changed")


def _days(archive: Archive, split: str) -> Archive:
    """Return the days of an archive for the evaluation."""
    part = split or ("test" if "test" in archive.parts() else "all")
    return archive if part == "all" else archive.only(part)


def _promotion(reference: str, evaluation: Evaluation, change: AliasChange | None) -> dict[str, object]:
    """Return the output of `promote --json`."""
    return {
        "model": reference,
        "compared_with": evaluation.champion,
        "protocol": evaluation.protocol,
        "archives": dict(evaluation.archives),
        "gates": [gate.model_dump(mode="json") for gate in evaluation.gates],
        "promoted": change is not None,
        "forced": change is not None and change.forced,
    }


@click.command()
@click.option("--reason", default="", help="Reason, for the history.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@packages_option
def rollback(reason: str, as_json: bool, packages: Path | None) -> None:
    """Return to the champion before the last promotion."""
    change = roll_back(packages or packages_folder(), reason)
    click.echo(_as_json(change) if as_json else _summary(change))


@click.command()
@click.argument("alias")
@click.argument("reference", required=False)
@click.option("--remove", is_flag=True, help="Remove the alias.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@packages_option
def alias(alias: str, reference: str | None, remove: bool, as_json: bool, packages: Path | None) -> None:
    """Set an alias, such as challenger, to a model; or remove the alias."""
    if remove == bool(reference):
        raise click.UsageError("Give either a model, NAME@VERSION, or --remove")
    folder = packages or packages_folder()
    catalog = open_catalog(folder)
    change = set_alias(alias, catalog.find(reference) if reference else None, folder, catalog)
    click.echo(_as_json(change) if as_json else _summary(change))


def _summary(change: AliasChange) -> str:
    """Return one line about a change."""
    before = f"was {_name(change.before)}"
    if change.after is None and change.alias == CHAMPION:
        return f"{change.alias}: none ({before}); auto is the default model {DEFAULT_MODEL}"
    against = f", against the gates: {change.reason}" if change.forced else ""
    return f"{change.alias}: {_name(change.after)} ({before}){against}"


def _as_json(change: AliasChange) -> str:
    return change.model_dump_json(indent=2, exclude={"gates"})


def _name(pin: PinnedVersion | None) -> str:
    return pin.model if pin is not None else "none"


def _print_gates(gates: Sequence[Gate], title: str) -> None:
    several = len({gate.archive for gate in gates if gate.archive}) > 1
    table = Table(title=title, title_justify="left")
    columns = ("gate", *(["archive"] if several else []), "result", "figure", "limit", "note")
    for column in columns:
        table.add_column(column, overflow="fold")
    for gate in gates:
        archive = [gate.archive] if several else []
        table.add_row(gate.what, *archive, RESULTS[gate.passed], _figure(gate), _limit(gate), gate.note)
    Console().print(table)


def _figure(gate: Gate) -> str:
    if gate.value is None:
        return "-"
    if gate.gate == "parity":
        return f"{gate.value:.1e}"
    if gate.gate == "latency":
        return f"{gate.value:.2f} s"
    shown = [gate.value, *([gate.low, gate.high] if gate.low is not None and gate.high is not None else [])]
    digits = 3 if all(abs(each) >= 0.0005 or not each for each in shown) else 5
    first, *interval = (f"{each:+.{digits}f}" for each in shown)
    return f"{first} [{', '.join(interval)}]" if interval else first


def _limit(gate: Gate) -> str:
    if gate.limit is None:
        return "-"
    return {
        "csi": "interval reaches 0",
        "brier": "interval reaches 0",
        "crps": "interval reaches 0",
        "extrapolation": "above 0",
        "parity": f"{gate.limit:.0e}",
        "latency": f"{gate.limit:g} s",
    }[gate.gate]
