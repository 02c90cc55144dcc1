"""`echocast nowcast FILE...`: the science at a terminal, with no service at all."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from model.core.catalog import AUTO, ModelInfo, catalog_with
from model.core.errors import InputError
from model.core.forecast import Forecast, write_netcdf
from model.core.units import DRY_RAIN_RATE_MM_H, FloatArray
from model.options import fields_option, packages_option
from model.readers import read
from model.runtime.load import load_predictor
from model.runtime.predictor import choose
from model.runtime.together import nowcast as run_nowcast


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", "reference", default=AUTO, show_default=True, help="NAME or NAME@VERSION.")
@click.option("--steps", default=12, show_default=True, help="How many time steps ahead.")
@click.option("--out", default=Path("nowcast.nc"), show_default=True, type=click.Path(path_type=Path))
@click.option("--variable", help="Variable of the files, where they hold several.")
@click.option("--zr", help="Z-R relation for reflectivity.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON summary.")
@fields_option
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
