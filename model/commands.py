"""`echocast nowcast FILE...` and `echocast models`: the science at a terminal, with no service at all."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Final, get_args

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from model.core.catalog import AUTO, ModelInfo, catalog_with
from model.core.errors import InputError, MissingDependency
from model.core.forecast import Forecast, write_netcdf
from model.core.manifest import DataKind
from model.core.units import DRY_RAIN_RATE_MM_H, FloatArray
from model.export.checkpoints import FAMILIES
from model.readers import read
from model.runtime.load import load_predictor
from model.runtime.predictor import choose
from model.runtime.predictor import nowcast as run_nowcast

DEFAULT_SHAPE: Final = (512, 512)
FLOAT32_BYTES: Final = 4

packages_option = click.option(
    "--packages",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="ECHOCAST_PACKAGES",
    help="A folder of more model packages, as NAME/VERSION.",
)


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", "reference", default=AUTO, show_default=True, help="NAME or NAME@VERSION.")
@click.option("--steps", default=12, show_default=True, help="How many time steps ahead.")
@click.option("--out", default=Path("nowcast.nc"), show_default=True, type=click.Path(path_type=Path))
@click.option("--variable", help="Variable of the files, where they hold several.")
@click.option("--zr", help="Z-R relation for reflectivity.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON summary.")
@click.option(
    "--fields",
    type=click.Path(path_type=Path),
    envvar="ECHOCAST_FIELDS",
    help="A folder of exogenous fields, NAME.nc, for networks that read some.",
)
@packages_option
def nowcast(
    files: tuple[Path, ...],
    reference: str,
    steps: int,
    out: Path,
    variable: str | None,
    zr: str | None,
    as_json: bool,
    fields: Path | None,
    packages: Path | None,
) -> None:
    """Forecast rain from radar FILES and write it to a CF-netCDF file."""
    if not out.parent.is_dir():
        raise InputError("the folder does not exist", where=str(out.parent), mend="Make it, or choose another --out")
    catalog = catalog_with(packages)
    catalog.find(reference).check_steps(steps)
    sequence = read(files, variable=variable, zr=zr)
    info, note = choose(sequence, reference, catalog)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task(info.reference, total=steps)

        def on_step(step: int, frame: FloatArray) -> None:
            progress.update(bar, completed=step)

        forecast = run_nowcast(sequence, load_predictor(info, fields), steps, on_step, note)
    _write(forecast, out)
    _summarise(forecast, info, note, out, as_json)


def _write(forecast: Forecast, out: Path) -> None:
    """Write beside and rename, so that an existing file is never left half overwritten."""
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".") as folder:
            part = Path(folder) / out.name
            write_netcdf(forecast, part)
            part.replace(out)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise InputError(f"cannot write ({reason})", where=str(out), mend="Choose another --out") from None


def _summarise(forecast: Forecast, info: ModelInfo, note: str, out: Path, as_json: bool) -> None:
    rows = []
    for lead, time, frame in zip(forecast.lead_minutes, forecast.times, forecast.rain_rate, strict=True):
        known = frame[np.isfinite(frame)]
        rows.append(
            {
                "lead_minutes": float(lead),
                "valid_time": f"{np.datetime_as_string(time, unit='s')}Z",
                "rain_area_percent": round(100 * float((known >= DRY_RAIN_RATE_MM_H).mean()), 2)
                if known.size
                else None,
                "max_mm_h": round(float(known.max()), 2) if known.size else None,
                "no_data_percent": round(100 * (1 - known.size / frame.size), 2),
            }
        )
    reference_time = f"{np.datetime_as_string(forecast.reference_time, unit='s')}Z"
    if as_json:
        answer = {
            "file": str(out),
            "model": info.reference,
            "note": note,
            "reference_time": reference_time,
            "leads": rows,
        }
        click.echo(json.dumps(answer, indent=2))
        return
    table = Table(title=f"{info.reference}, from {reference_time}", caption=note or None)
    for column in ("lead min", "valid time", "rain area %", "max mm/h", "no data %"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*("-" if value is None else f"{value}" for value in row.values()))
    console = Console()
    console.print(table)
    console.print(f"Written to {out}", soft_wrap=True, highlight=False)


@click.group()
def models() -> None:
    """What can run here."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@packages_option
def list_models(as_json: bool, packages: Path | None) -> None:
    """Every model and version."""
    found = catalog_with(packages).models()
    if as_json:
        click.echo(json.dumps([info.model_dump(mode="json", exclude={"folder", "layers"}) for info in found], indent=2))
        return
    table = Table()
    for column in ("model", "version", "frames in", "time step min", "summary"):
        table.add_column(column)
    for info in found:
        steps = f"{info.time_step.min_minutes:g} to {info.time_step.max_minutes:g}"
        table.add_row(info.name, info.version, str(info.input_frames), steps, info.summary)
    Console().print(table)


@models.command("show")
@click.argument("reference")
@click.option("--grid", metavar="ROWSxCOLUMNS", help="Grid that multiply-adds and memory are told for (512x512).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, its scores with their protocol included.")
@packages_option
def show_model(reference: str, grid: str | None, as_json: bool, packages: Path | None) -> None:
    """What is known of one model, and what its network is made of, layer by layer."""
    info = catalog_with(packages).find(reference)
    shape = _shape(grid) if grid else info.grid or DEFAULT_SHAPE
    if as_json:
        click.echo(info.model_dump_json(indent=2))
        return
    console = Console()
    steps = f"{info.time_step.min_minutes:g} to {info.time_step.max_minutes:g}"
    takes = f"a grid of {info.grid[0]} x {info.grid[1]}" if info.grid else "any grid"
    if info.data == "rain":
        does = f"every {steps} min, {takes}; forecasts up to {info.max_steps} steps and {info.max_lead_minutes:g} min."
    else:
        does = f"that are not rain, {takes}; makes no nowcast."
    for line in (
        info.reference,
        info.summary,
        f"Takes {info.input_frames} frames {does}",
        f"Licence {info.licence}." + (f" Digest {info.digest}." if info.digest else ""),
        *_scored(info),
    ):
        console.print(line, soft_wrap=True, highlight=False)
    if info.layers:
        console.print(_layer_table(info, shape))


def _layer_table(info: ModelInfo, shape: tuple[int, int]) -> Table:
    """The layers of a network, with what they cost on a grid."""
    pixels = shape[0] * shape[1]
    recurrent = any(layer.state_values_per_pixel for layer in info.layers)
    per = "step" if recurrent else f"run of {info.input_frames} frames"
    table = Table(title=f"Layers on a grid of {shape[0]} x {shape[1]}", title_justify="left", show_footer=True)

    def total(cost: str) -> float:
        return float(sum(getattr(layer, cost) for layer in info.layers))

    table.add_column("layer", "total")
    table.add_column("kind", overflow="fold")
    table.add_column("scale", justify="right")
    for title, footer in (
        ("parameters", f"{total('parameters'):,.0f}"),
        (f"GMAC per {per}", f"{total('macs_per_pixel') * pixels / 1e9:.3f}"),
        ("state MB", f"{total('state_values_per_pixel') * pixels * FLOAT32_BYTES / 1e6:.1f}"),
    ):
        table.add_column(title, footer, justify="right")
    for layer in info.layers:
        table.add_row(
            layer.name,
            layer.kind,
            f"1/{layer.scale}" if layer.scale > 1 else "1",
            f"{layer.parameters:,}",
            f"{layer.macs_per_pixel * pixels / 1e9:.3f}",
            f"{layer.state_values_per_pixel * pixels * FLOAT32_BYTES / 1e6:.1f}",
        )
    return table


def _shape(text: str) -> tuple[int, int]:
    """(rows, columns) of `640x710`.

    Raises:
        InputError: the text is not of that form.
    """
    rows, by, columns = text.partition("x")
    if not (by and rows.isdecimal() and columns.isdecimal() and int(rows) and int(columns)):
        raise InputError(f"{text!r} is no grid", where="--grid", mend="Give ROWSxCOLUMNS, as in 640x710")
    return int(rows), int(columns)


def _scored(info: ModelInfo) -> list[str]:
    """How many scores are kept of it, and where they are from."""
    if not info.scores:
        return []
    protocols, data = ({getattr(score, name): None for score in info.scores} for name in ("protocol", "data"))
    return [f"{len(info.scores)} scores ({', '.join(protocols)}) on {', '.join(data)}: --json tells them."]


@models.command("import")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--from", "family", type=click.Choice(FAMILIES), required=True, help="Whose repository wrote it.")
@click.option("--name", required=True, help="Of the package: lower-case letters, digits, hyphens.")
@click.option("--version", required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of packages, as NAME/VERSION.")
@click.option("--network", default="", help="Such as ms-predrnn: needed for ms-rnn, checked for the others.")
@click.option("--input-frames", type=click.IntRange(min=1), help="Frames in; default: the network's own, else 10.")
@click.option(
    "--kind",
    type=click.Choice(get_args(DataKind)),
    default="rain",
    show_default=True,
    help="What it was trained on: rain as HKO-7 pixel fractions, or frames that are not rain.",
)
@click.option(
    "--step", type=float, help="Minutes between the frames that it was trained on; needed where they are rain."
)
@click.option("--min-step", type=float, help="Instead, where it was trained on several: the shortest,")
@click.option("--max-step", type=float, help="and the longest.")
@click.option("--field", "fields", multiple=True, help="Field that it is conditioned on; once for each, in order.")
@click.option("--licence", default="unknown", show_default=True, help="Under which the weights were given.")
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
    licence: str,
) -> None:
    """Make a model package of a CHECKPOINT that another repository's training wrote."""
    low, high = (step, step) if step is not None else (min_step, max_step)
    both = step is not None and (min_step, max_step) != (None, None)
    timeless = kind == "frames" and (low, high) == (None, None)
    if not timeless and (both or low is None or high is None or not 0 < low <= high):
        raise click.UsageError("give --step, or --min-step and --max-step: minutes above 0, the shorter one first")
    try:
        from model.export.checkpoints.cli import import_checkpoint
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("model", ""):
            raise
        raise MissingDependency(
            f"the package {missing} is not installed",
            where="models import",
            mend="Install it with: pip install 'echocast[train]'",
        ) from None
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
    )
    click.echo(str(folder))
