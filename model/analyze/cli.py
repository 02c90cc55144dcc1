"""`echocast analyze MODEL [FILES...]`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from model.analyze.analysed_model import load_analysed_model
from model.analyze.inputs import check_input, from_dataset, from_files
from model.analyze.report import analyse, write
from model.core.errors import InputError
from model.core.manifest import MAX_LEAD_STEPS
from model.options import fields_option, packages_option


@click.command()
@click.argument("model")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the plots and analysis.json.")
@click.option("--beside", metavar="MODEL", help="A second network, plotted on the same axes.")
@click.option(
    "--data", help="Instead of FILES: synthetic, moving-mnist, moving-mnist:PATH, kth:DIR, taxibj:PATH or frames:PATH."
)
@click.option("--steps", type=click.IntRange(1, MAX_LEAD_STEPS), default=10, show_default=True, help="Forecast frames.")
@click.option("--lead", type=click.IntRange(1), default=1, show_default=True, help="Lead step of the response maps.")
@click.option("--size", type=click.IntRange(16, 1024), default=128, show_default=True, help="Side in pixels, for rain.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the sequences.")
@click.option("--variable", help="Variable to read from files with several.")
@click.option("--zr", help="Z-R relation for reflectivity.")
@fields_option
@click.option("--json", "as_json", is_flag=True, help="Print analysis.json.")
@packages_option
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
    """Plot the gradients, memories and layer responses of a network.

    MODEL is the NAME or NAME@VERSION of a model, or the folder of a package or a training run. The network reads the
    newest frames of radar FILES, or --data; by default synthetic rain, or Moving MNIST for frames other than rain.
    """
    if files and data:
        raise click.UsageError("give FILES or --data, not both")
    if lead > steps:
        raise click.UsageError(f"--lead {lead} is greater than --steps {steps}")
    models = [load_analysed_model(reference, packages) for reference in (model, beside) if reference]
    if len({analysed.name for analysed in models}) < len(models):
        raise InputError("MODEL and --beside are the same network", where="--beside", hint="Name another network")
    analyses = []
    for analysed in models:
        if files:
            inputs = from_files(analysed, files, size, steps, variable=variable, zr=zr, fields=fields)
        else:
            inputs = from_dataset(analysed, data, size, steps, seed=seed, cache_folder=out / "cache", fields=fields)
        check_input(analysed, inputs, steps)
        analyses.append(analyse(analysed, inputs, steps, lead))
    analysis = write(analyses, out, steps, lead)
    if as_json:
        click.echo(json.dumps(analysis, indent=2))
        return
    for name in analysis["pictures"]:
        click.echo(str(out / name))
    for diagnostics in analysis["models"]:
        if "omitted" in diagnostics["decoupling"]:
            click.echo(f"Omitted from decoupling.png: {diagnostics['decoupling']['omitted']}.")
