"""`echocast analyze MODEL [FILES...]`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from model.analyze.report import look, write
from model.analyze.sample import check, of_data, of_files
from model.analyze.subject import subject_of
from model.core.errors import InputError
from model.core.manifest import MAX_LEAD_STEPS


@click.command()
@click.argument("model")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the pictures and figures.")
@click.option("--beside", metavar="MODEL", help="A second network, drawn on the same axes.")
@click.option(
    "--data", help="Instead of FILES: synthetic, moving-mnist, moving-mnist:PATH, kth:DIR, taxibj:PATH or frames:PATH."
)
@click.option("--steps", type=click.IntRange(1, MAX_LEAD_STEPS), default=10, show_default=True, help="Forecast frames.")
@click.option("--lead", type=click.IntRange(1), default=1, show_default=True, help="Whose responses are drawn.")
@click.option("--size", type=click.IntRange(16, 1024), default=128, show_default=True, help="Pixels a side, of rain.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same sequences.")
@click.option("--variable", help="Variable of the files, where they hold several.")
@click.option("--zr", help="Z-R relation for reflectivity.")
@click.option(
    "--fields",
    type=click.Path(path_type=Path),
    envvar="ECHOCAST_FIELDS",
    help="A folder of exogenous fields, NAME.nc, for networks that read some.",
)
@click.option("--json", "as_json", is_flag=True, help="Print analysis.json.")
@click.option(
    "--packages",
    type=click.Path(path_type=Path),
    envvar="ECHOCAST_PACKAGES",
    help="A folder of more model packages, as NAME/VERSION.",
)
def analyze(
    model: str,
    files: tuple[Path, ...],
    out: Path,
    beside: str | None,
    data: str | None,
    steps: int,
    lead: int,
    size: int,
    seed: int,
    variable: str | None,
    zr: str | None,
    fields: Path | None,
    as_json: bool,
    packages: Path | None,
) -> None:
    """Draw what reaches a network's forecast, what its memories hold and what its layers answer to.

    MODEL is a model's NAME or NAME@VERSION, a package's folder or a training run's. It is looked at with the newest
    frames of radar FILES, with --data, or by default with synthetic rain, or Moving MNIST where it reads no rain.
    """
    if files and data:
        raise click.UsageError("give FILES or --data, not both")
    if lead > steps:
        raise click.UsageError(f"--lead {lead} lies beyond --steps {steps}")
    subjects = [subject_of(reference, packages) for reference in (model, beside) if reference]
    if len({subject.name for subject in subjects}) < len(subjects):
        raise InputError("it is the same network", where="--beside", hint="Name another one")
    looks = []
    for subject in subjects:
        if files:
            sample = of_files(subject, files, size, steps, variable=variable, zr=zr, fields=fields)
        else:
            sample = of_data(subject, data, size, steps, seed=seed, cache_folder=out / "cache", fields=fields)
        check(subject, sample, steps)
        looks.append(look(subject, sample, steps, lead))
    analysis = write(looks, out, steps, lead)
    if as_json:
        click.echo(json.dumps(analysis, indent=2))
        return
    for name in analysis["pictures"]:
        click.echo(str(out / name))
    for figures in analysis["models"]:
        if "left_out" in figures["decoupling"]:
            click.echo(f"Left out of decoupling.png: {figures['decoupling']['left_out']}.")
