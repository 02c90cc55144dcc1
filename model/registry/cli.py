"""`echocast models`: list, import, evaluate and promote models."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from model.core.extras import optional_imports
from model.core.manifest import DataKind, Form
from model.export.checkpoints import FAMILIES
from model.registry.alias_commands import alias, promote, rollback
from model.registry.calibration import calibrate
from model.registry.show import list_models, show_model
from model.registry.variants import make_variant


@click.group()
def models() -> None:
    """List, import, evaluate and promote models."""


for _command in (list_models, show_model, promote, rollback, alias, make_variant, calibrate):
    models.add_command(_command)


@models.command("import")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--from", "family", type=click.Choice(FAMILIES), required=True, help="Repository that wrote it.")
@click.option("--name", required=True, help="Name of the package: lower-case letters, digits, hyphens.")
@click.option("--version", required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of packages, as NAME/VERSION.")
@click.option("--network", default="", help="Such as ms-predrnn: needed for ms-rnn, checked for the others.")
@click.option("--input-frames", type=click.IntRange(min=1), help="Frames in; default: the network's own, else 10.")
@click.option(
    "--kind",
    type=click.Choice(get_args(DataKind)),
    default="rain",
    show_default=True,
    help="Training data: rain as HKO-7 pixel fractions, or frames that are not rain.",
)
@click.option("--step", type=float, help="Minutes between the training frames; required for rain.")
@click.option("--min-step", type=float, help="Instead of --step, for several time steps: the shortest,")
@click.option("--max-step", type=float, help="and the longest.")
@click.option("--field", "fields", multiple=True, help="Exogenous field that it reads; once for each, in order.")
@click.option(
    "--form",
    type=click.Choice(get_args(Form)),
    default="as-published",
    show_default=True,
    help="Where the published code departs from the paper: follow the code, or the paper.",
)
@click.option("--licence", default="unknown", show_default=True, help="Licence of the weights.")
def import_model(
    checkpoint: Path,
    family: str,
    name: str,
    version: str,
    out: Path,
    network: str,
    input_frames: int | None,
    kind: DataKind,
    step: float | None,
    min_step: float | None,
    max_step: float | None,
    fields: tuple[str, ...],
    form: Form,
    licence: str,
) -> None:
    """Make a model package of a CHECKPOINT from the training of another repository."""
    low, high = (step, step) if step is not None else (min_step, max_step)
    both = step is not None and (min_step, max_step) != (None, None)
    timeless = kind == "frames" and (low, high) == (None, None)
    if not timeless and (both or low is None or high is None or not 0 < low <= high):
        raise click.UsageError("give --step, or --min-step and --max-step: minutes above 0, the shorter one first")
    with optional_imports("models import"):
        from model.export.checkpoints.cli import import_checkpoint
    folder = import_checkpoint(
        checkpoint,
        family=family,
        network=network,
        name=name,
        version=version,
        out=out,
        input_frames=input_frames,
        kind=kind,
        steps=None if low is None or high is None else (low, high),
        fields=fields,
        licence=licence,
        form=form,
    )
    click.echo(str(folder))
