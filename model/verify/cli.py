"""`echocast verify MODEL... --archive DIR`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from model.core.catalog import ModelInfo, open_catalog
from model.core.progress import ProgressBar
from model.data.archive import Archive
from model.data.leakage import leakage_of
from model.options import fields_option
from model.verify.answer import as_text
from model.verify.models import predictor_of
from model.verify.protocol import PROTOCOLS
from model.verify.protocol import verify as run_verification
from model.verify.report import page_at, write_report
from model.verify.table import tables
from model.verify.verification import Verification


@click.command()
@click.argument("models", nargs=-1)
@click.option(
    "--archive",
    "folders",
    type=click.Path(path_type=Path),
    required=True,
    multiple=True,
    help="An archive's folder; may be given several times, each has its own tables.",
)
@click.option(
    "--protocol", "protocol_name", type=click.Choice(list(PROTOCOLS)), default="nowcast-60", show_default=True
)
@click.option("--split", help="Only the days of this split of the archive: train, valid, test.")
@click.option(
    "--report", type=click.Path(path_type=Path), help="Write a page to this .html file or folder; JSON beside."
)
@click.option("--packages", type=click.Path(path_type=Path), help="A folder of more packages, as NAME/VERSION.")
@fields_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON; of several archives, a list.")
def verify(
    models: tuple[str, ...],
    folders: tuple[Path, ...],
    protocol_name: str,
    split: str | None,
    report: Path | None,
    packages: Path | None,
    fields: Path | None,
    as_json: bool,
) -> None:
    """Score MODELS (names, NAME@VERSION, or a package's folder) by threshold and lead time.

    Persistence and extrapolation are scored beside them; `pysteps` is its Lucas-Kanade extrapolation, where installed.
    """
    catalog = open_catalog(packages)
    predictors = [predictor_of(name, catalog, fields) for name in models]
    page = page_at(report) if report else None
    found: list[Verification] = []
    for folder in folders:
        archive = Archive(folder)
        if split:
            archive = archive.only(split)
        with ProgressBar(f"{folder.name} start times") as progress:
            found.append(run_verification(archive, predictors, PROTOCOLS[protocol_name], progress.update))
        for start, reason in found[-1].damaged.items():
            click.echo(f"left out, start time {start}: {reason}", err=True)
    answers = [verification.as_json() for verification in found]
    for verification, answer in zip(found, answers, strict=True):
        _tell_seen([predictor.info for predictor in predictors], verification.archive, answer["models"])
    if page:
        write_report(found, answers, page)
        click.echo(str(page), err=True)
    if as_json:
        click.echo(as_text(answers), nl=False)
        return
    console = Console()
    for answer in answers:
        for table in tables(answer):
            console.print(table)


def _tell_seen(infos: Sequence[ModelInfo], archive: Archive, models: Mapping[str, dict[str, Any]]) -> None:
    """Say on stderr, and in the answers of `models`, which of them have seen days of an archive."""
    for info in infos:
        seen = leakage_of(info, archive)
        if info.folder is not None and not seen.untold:
            models[info.reference]["trained_on_days"] = sorted((*seen.trained, *seen.chosen))
        if seen.any:
            told = f"{seen.told(info.reference)} of {archive.name}"
            click.echo(f"{told}: its scores there do not tell how good it is elsewhere", err=True)
