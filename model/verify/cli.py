"""`echocast verify MODEL... --archive DIR`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from model.core.catalog import Catalog, open_catalog
from model.core.manifest import read_manifest
from model.core.model_info import ModelInfo
from model.core.progress import ProgressBar
from model.data.archive import Archive
from model.data.leakage import leakage_of
from model.options import fields_option
from model.runtime.load import load_predictor
from model.runtime.predictor import Predictor
from model.verify.html_report import prepare_report_path, write_report
from model.verify.json_output import dump_json, json_output
from model.verify.lucas_kanade import PYSTEPS, LucasKanade
from model.verify.probabilistic.html_report import write_report as write_probabilistic_report
from model.verify.probabilistic.json_output import json_output as probabilistic_output
from model.verify.probabilistic.protocol import PROBABILISTIC_PROTOCOLS
from model.verify.probabilistic.run import verify_probabilities
from model.verify.probabilistic.terminal_tables import terminal_tables as probabilistic_tables
from model.verify.probabilistic.verification import ProbabilisticVerification
from model.verify.protocols import PROTOCOLS
from model.verify.run import verify as run_verification
from model.verify.steps import PYSTEPS_STEPS, Steps
from model.verify.terminal_tables import terminal_tables
from model.verify.verification import Verification


@click.command()
@click.argument("models", nargs=-1)
@click.option(
    "--archive",
    "folders",
    type=click.Path(path_type=Path),
    required=True,
    multiple=True,
    help="Folder of an archive; may be given several times. Each archive has tables of its own.",
)
@click.option(
    "--protocol",
    type=click.Choice([*PROTOCOLS, *PROBABILISTIC_PROTOCOLS]),
    default="nowcast-60",
    show_default=True,
    help="Rules of the verification: lead times, start times, masking; nowcast-60-prob scores probabilities.",
)
@click.option("--members", type=int, help="Members of each model, under nowcast-60-prob: 20 by default, 0 for none.")
@click.option(
    "--window",
    "window_px",
    type=int,
    help="Score only the wettest window of each start time, of so many pixels a side, under nowcast-60-prob.",
)
@click.option("--stride-minutes", type=float, help="Time between start times, under nowcast-60-prob: 30 by default.")
@click.option("--split", help="Verify only the days of this split of the archive: train, valid or test.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    help="Write an HTML report to this .html file or folder, and the JSON next to it.",
)
@click.option("--packages", type=click.Path(path_type=Path), help="A folder of more packages, as NAME/VERSION.")
@fields_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON; a list for several archives.")
def verify(
    models: tuple[str, ...],
    folders: tuple[Path, ...],
    protocol: str,
    members: int | None,
    window_px: int | None,
    stride_minutes: float | None,
    split: str | None,
    report: Path | None,
    packages: Path | None,
    fields: Path | None,
    as_json: bool,
) -> None:
    """Score MODELS (NAME, NAME@VERSION or the folder of a package) by threshold and lead time.

    Persistence and extrapolation are always scored too. The models `pysteps` and `pysteps-steps` are the Lucas-Kanade
    extrapolation and STEPS of pysteps, if that is installed.
    """
    probabilistic = PROBABILISTIC_PROTOCOLS.get(protocol)
    if probabilistic is not None:
        probabilistic = probabilistic.with_options(members=members, window_px=window_px, stride_minutes=stride_minutes)
    elif (members, window_px, stride_minutes) != (None, None, None):
        raise click.UsageError("--members, --window and --stride-minutes belong to --protocol nowcast-60-prob")
    catalog = open_catalog(packages)
    predictors = [_predictor(name, catalog, fields) for name in models]
    page = prepare_report_path(report) if report else None
    verifications: list[Verification | ProbabilisticVerification] = []
    for folder in folders:
        archive = Archive(folder).only(split) if split else Archive(folder)
        with ProgressBar(f"{folder.name} start times") as progress:
            verifications.append(
                run_verification(archive, predictors, PROTOCOLS[protocol], progress.update)
                if probabilistic is None
                else verify_probabilities(archive, predictors, probabilistic, progress.update)
            )
        for start, reason in verifications[-1].damaged.items():
            click.echo(f"start time {start} left out: {reason}", err=True)
    outputs = [
        json_output(each) if isinstance(each, Verification) else probabilistic_output(each) for each in verifications
    ]
    for verification, output in zip(verifications, outputs, strict=True):
        _warn_of_seen_days([predictor.info for predictor in predictors], verification.archive, output["models"])
    if page:
        if probabilistic is None:
            write_report([each for each in verifications if isinstance(each, Verification)], outputs, page)
        else:
            write_probabilistic_report(outputs, page)
        click.echo(str(page), err=True)
    if as_json:
        click.echo(dump_json(outputs), nl=False)
        return
    console = Console()
    for output in outputs:
        for table in terminal_tables(output) if probabilistic is None else probabilistic_tables(output):
            console.print(table)


def _predictor(name: str, catalog: Catalog, fields: Path | None) -> Predictor:
    """Load the model of a NAME, NAME@VERSION or the folder of a package.

    Raises
    ------
    UnknownModel
        No model has that name.
    BadPackage
        The package cannot be used.
    MissingDependency
        The package pysteps is not installed.
    """
    if name.partition("@")[0] == PYSTEPS:
        return LucasKanade()
    if name.partition("@")[0] == PYSTEPS_STEPS:
        return Steps()
    folder = Path(name)
    info = ModelInfo.from_manifest(read_manifest(folder), folder) if folder.is_dir() else catalog.find(name)
    return load_predictor(info, fields)


def _warn_of_seen_days(infos: Sequence[ModelInfo], archive: Archive, models: Mapping[str, dict[str, Any]]) -> None:
    """Warn on stderr of models that were trained on days of an archive, and add those days to the output `models`."""
    for info in infos:
        leakage = leakage_of(info, archive)
        if info.folder is not None and not leakage.provenance_gaps:
            models[info.reference]["trained_on_days"] = sorted((*leakage.trained, *leakage.selected))
        if leakage.found:
            clause = f"{leakage.describe(info.reference)} of {archive.name}"
            click.echo(f"{clause}: its scores on this archive do not show its skill on other data", err=True)
