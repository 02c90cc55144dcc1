"""`echocast models list` and `show`: the installed models, and the details of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from model.core.aliases import BadAliases
from model.core.catalog import AUTO, Catalog, open_catalog
from model.core.errors import InputError
from model.core.manifest import MANIFEST, read_manifest
from model.core.model_info import ModelInfo
from model.options import packages_option

DEFAULT_SHAPE: Final = (512, 512)
FLOAT32_BYTES: Final = 4


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@packages_option
def list_models(as_json: bool, packages: Path | None) -> None:
    """List every model and version with its aliases."""
    catalog = open_catalog(packages)
    found = catalog.models()
    _warn(catalog)
    if as_json:
        hidden = {"folder", "layers"}
        rows = [info.model_dump(mode="json", exclude=hidden) | {"aliases": catalog.aliases_of(info)} for info in found]
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table()
    for column in ("model", "version"):
        table.add_column(column, no_wrap=True)
    for column in ("alias", "frames in", "time step min", "summary"):
        table.add_column(column, overflow="fold")
    for info in found:
        steps = str(info.time_step) if info.data == "rain" else f"{info.data}, not rain"
        aliases = ", ".join(catalog.aliases_of(info))
        summary = f"{info.summary} {_fields(info)}".rstrip()
        table.add_row(info.name, info.version, aliases, str(info.input_frames), steps, summary)
    Console().print(table)


@click.command("show")
@click.argument("reference")
@click.option("--grid", metavar="ROWSxCOLUMNS", help="Grid for multiply-adds and memory (512x512).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the scores and their protocols.")
@packages_option
def show_model(reference: str, grid: str | None, as_json: bool, packages: Path | None) -> None:
    """Show the details of one model, and its network layer by layer.

    REFERENCE is NAME, NAME@VERSION, an alias, or a package's folder.
    """
    catalog = open_catalog(packages)
    info = find_model(reference, catalog)
    aliases = catalog.aliases_of(info)
    _warn(catalog)
    shape = _shape(grid) if grid else info.grid or DEFAULT_SHAPE
    if as_json:
        click.echo(json.dumps({**info.model_dump(mode="json"), "aliases": aliases}, indent=2))
        return
    console = Console()
    takes = f"a grid of {info.grid[0]} x {info.grid[1]}" if info.grid else "any grid"
    if info.data == "rain":
        does = f"every {info.time_step} min, {info.context_minutes} min from the first to the newest, {takes}; "
        does += f"forecasts up to {info.max_lead_minutes:g} min, {info.max_steps_at()} steps at most."
    else:
        does = f"that are not rain, {takes}; makes no nowcast."
    for line in (
        info.reference + (f" ({', '.join(aliases)})" if aliases else ""),
        info.summary,
        f"Takes {info.input_frames} frames {does}",
        *_outputs(info),
        *([f"Variants: {', '.join(info.variants)}."] if info.variants else []),
        *([f"Reads exogenous fields: {', '.join(info.fields)}."] if info.fields else []),
        f"Licence {info.licence}." + (f" Digest {info.digest}." if info.digest else ""),
        *_scored(info),
    ):
        console.print(line, soft_wrap=True, highlight=False)
    if info.layers:
        console.print(_layer_table(info, shape))


def find_model(reference: str, catalog: Catalog) -> ModelInfo:
    """Return the model of a NAME, NAME@VERSION, alias or package folder."""
    folder = Path(reference)
    if (folder / MANIFEST).is_file() or len(folder.parts) > 1:
        return ModelInfo.from_manifest(read_manifest(folder), folder)
    return catalog.find(reference)


def _warn(catalog: Catalog) -> None:
    """Warn on stderr of damaged aliases, or a champion that cannot run."""
    try:
        catalog.aliases()
    except BadAliases as error:
        click.echo(f"echocast: {error}", err=True)
        return
    if note := catalog.resolve(AUTO).note:
        click.echo(f"echocast: {note}", err=True)


def _layer_table(info: ModelInfo, shape: tuple[int, int]) -> Table:
    """Return the layers of a network with their parameters, multiply-adds and state memory on a grid."""
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


def _fields(info: ModelInfo) -> str:
    """Return a sentence on the fields of a model with a distribution, '' for other models."""
    if info.distribution is None:
        return ""
    default = info.distribution.default_field
    others = [field for field in info.forecast_fields if field != default]
    return f"Fields: {default} (default), {', '.join(others)}."


def _outputs(info: ModelInfo) -> list[str]:
    """Return a line on what a model of rain forecasts: fields, probabilities, members."""
    if info.data != "rain":
        return []
    if info.distribution is None:
        members = "and members" if info.makes_members else "no members"
        return [f"Forecasts a single field, probabilities from the neighbourhood of each pixel, {members}."]
    thresholds = ", ".join(f"{threshold:g}" for threshold in info.distribution.thresholds_mm_h)
    return [f"{_fields(info)} Probabilities at {thresholds} mm/h, interpolated between them; members."]


def _shape(text: str) -> tuple[int, int]:
    """Return (rows, columns) of a text such as `640x710`.

    Raises
    ------
    InputError
        The text has another form.
    """
    rows, by, columns = text.partition("x")
    if not (by and rows.isdecimal() and columns.isdecimal() and int(rows) and int(columns)):
        raise InputError(f"{text!r} is not a grid", where="--grid", hint="Give ROWSxCOLUMNS, as in 640x710")
    return int(rows), int(columns)


def _scored(info: ModelInfo) -> list[str]:
    """Return a line on the number of scores in the manifest, their protocols and data."""
    if not info.scores:
        return []
    protocols, data = ({getattr(score, name): None for score in info.scores} for name in ("protocol", "data"))
    return [f"{len(info.scores)} scores ({', '.join(protocols)}) on {', '.join(data)}: --json prints them."]
