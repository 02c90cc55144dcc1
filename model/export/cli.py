"""`echocast export`: make a model package of a training run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from model.core.errors import InputError
from model.export.run import build_package


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of packages, for NAME/VERSION.")
@click.option("--name", required=True, help="Name of the model.")
@click.option("--version", required=True)
@click.option(
    "--scores", type=click.Path(path_type=Path), multiple=True, help="Output of `echocast verify --json`, for the card."
)
@click.option(
    "--field",
    "field_files",
    type=click.Path(path_type=Path),
    multiple=True,
    help="NAME.nc: an exogenous field that is constant in time, to be part of the package.",
)
@click.option("--licence", default="unknown", show_default=True, help="Licence of the weights.")
def export(
    run: Path, out: Path, name: str, version: str, scores: tuple[Path, ...], field_files: tuple[Path, ...], licence: str
) -> None:
    """Make a model package of the best weights of a training RUN: ONNX graph, weights, manifest, card."""
    outputs = []
    for path in scores:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            found = found if isinstance(found, list) else [found]
            if not all(isinstance(output, dict) and "protocol" in output and "models" in output for output in found):
                raise ValueError("no output of echocast verify")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"not scores ({reason})", where=str(path), hint="Give the output of echocast verify --json"
            ) from None
        outputs += found
    folder = build_package(
        run, out, name=name, version=version, scores=outputs, field_files=field_files, licence=licence
    )
    click.echo(str(folder))
