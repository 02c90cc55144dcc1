"""`echocast nowcast FILE...`: a nowcast at a terminal, without any service."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from model.core.atomic import atomic_path
from model.core.catalog import AUTO, open_catalog
from model.core.errors import InputError
from model.core.forecast_file import ForecastHeader, ForecastWriter
from model.core.forecast_output import (
    DETERMINISTIC,
    FIELDS,
    MAX_MEMBERS,
    ForecastField,
    ForecastOutput,
    parse_thresholds,
)
from model.core.model_info import ModelInfo
from model.core.packing import quantize, quantize_probability
from model.core.progress import ProgressBar
from model.core.units import DRY_RAIN_RATE_MM_H, FloatArray
from model.options import fields_option, max_dbz_option, packages_option
from model.readers import read
from model.runtime.load import load_predictor
from model.runtime.model_selection import select_model
from model.runtime.predictor import Predictor
from model.runtime.request import ForecastEvent, ForecastRequest


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", "reference", default=AUTO, show_default=True, help="NAME or NAME@VERSION.")
@click.option("--steps", default=12, show_default=True, help="Number of lead steps.")
@click.option("--out", default=Path("nowcast.nc"), show_default=True, type=click.Path(path_type=Path))
@click.option("--field", type=click.Choice(FIELDS), help="Field of rain; default: the model's own.")
@click.option(
    "--probabilities",
    is_flag=False,
    flag_value="default",
    help="Also write the probabilities of at least 0.1,0.5,2,5,10 mm/h (default), or of a list such as 1,2.5.",
)
@click.option("--members", default=0, show_default=True, help=f"Also write 2 to {MAX_MEMBERS} members.")
@click.option("--seed", default=0, show_default=True, help="Seed of the members.")
@click.option("--variable", help="Variable of the files, where they hold several.")
@click.option("--zr", help="Z-R relation for reflectivity.")
@max_dbz_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON summary.")
@fields_option
@packages_option
def nowcast(
    files: tuple[Path, ...],
    reference: str,
    steps: int,
    out: Path,
    field: ForecastField | None,
    probabilities: str | None,
    members: int,
    seed: int,
    variable: str | None,
    zr: str | None,
    max_dbz: float | None,
    as_json: bool,
    fields: Path | None,
    packages: Path | None,
) -> None:
    """Forecast rain from radar FILES and write it to a CF-netCDF file."""
    if not out.parent.is_dir():
        raise InputError("the folder does not exist", where=str(out.parent), hint="Make it, or choose another --out")
    for path in files:
        if out.exists() and path.exists() and out.samefile(path):
            raise InputError("the output is one of the radar files", where=str(out), hint="Choose another --out")
    thresholds = () if probabilities is None else parse_thresholds(probabilities)
    output = ForecastOutput(field=field, thresholds_mm_h=thresholds, members=members, seed=seed)
    catalog = open_catalog(packages)
    catalog.find(reference)  # refuse an unknown model before any file is read
    sequence = read(files, variable=variable, zr=zr, max_dbz=max_dbz, skip_unreadable=True)
    info, context, note = select_model(sequence, reference, catalog)
    predictor = load_predictor(info, fields)
    request = ForecastRequest.for_context(context, info, steps, note=note, output=output)
    header = predictor.header(request)
    try:
        with atomic_path(out) as part:
            leads = _write(request, predictor, header, part)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise InputError(f"cannot write ({reason})", where=str(out), hint="Choose another --out") from None
    _summarise(header, leads, info, note, out, as_json)


LeadSummary = dict[str, float | str | list[float | None] | None]
LIKELY = 0.5


def _write(request: ForecastRequest, predictor: Predictor, header: ForecastHeader, path: Path) -> list[LeadSummary]:
    """Write the forecast as it is computed, and return the summary of each lead step."""
    rows = []
    with ProgressBar(predictor.info.reference, 1.0, percent=True) as progress, ForecastWriter(path, header) as writer:
        for event in predictor.forecast([request]):
            if event.error is not None:
                raise event.error
            if event.frame is not None:
                writer.append(event.frame, event.probability, event.members)
                rows.append(_row(header, event.step - 1, quantize(event.frame)) | _uncertainty(event))
            progress.update(event.progress)
    return rows


def _row(header: ForecastHeader, index: int, frame: FloatArray) -> LeadSummary:
    known = frame[np.isfinite(frame)]
    return {
        "lead_minutes": float(header.lead_minutes[index]),
        "valid_time": f"{np.datetime_as_string(header.times[index], unit='s')}Z",
        "rain_area_percent": _area_percent(frame, DRY_RAIN_RATE_MM_H),
        "max_mm_h": round(float(known.max()), 2) if known.size else None,
        "no_data_percent": round(100 * (1 - known.size / frame.size), 2),
    }


def _uncertainty(event: ForecastEvent) -> LeadSummary:
    """Return the area where each threshold is likely, and the least and the largest rain area of the members."""
    summary: LeadSummary = {}
    if event.probability is not None:
        likely = [_area_percent(quantize_probability(exceedance), LIKELY) for exceedance in event.probability]
        summary["likely_area_percent"] = likely
    if event.members is not None:
        areas = [_area_percent(quantize(member), DRY_RAIN_RATE_MM_H) for member in event.members]
        known = [area for area in areas if area is not None]
        summary["members_rain_area_percent"] = [min(known, default=None), max(known, default=None)]
    return summary


def _area_percent(frame: FloatArray, least: float) -> float | None:
    """Return the share (%) of the pixels with data that reach a value; None where no pixel has data."""
    known = frame[np.isfinite(frame)]
    return round(100 * float((known >= np.float32(least)).mean()), 2) if known.size else None


def _summarise(
    header: ForecastHeader, rows: list[LeadSummary], info: ModelInfo, note: str, out: Path, as_json: bool
) -> None:
    reference_time = f"{np.datetime_as_string(header.reference_time, unit='s')}Z"
    output = header.output
    if as_json:
        summary = {
            "file": str(out),
            "model": info.reference,
            "note": note,
            "reference_time": reference_time,
            "field": header.field,
            "probability_method": header.probability_method,
            "thresholds_mm_h": output.thresholds_mm_h,
            "members": output.members,
            "seed": output.seed if output.members else None,
            "leads": rows,
        }
        click.echo(json.dumps(summary, indent=2))
        return
    field = "" if header.field == DETERMINISTIC else f", {header.field} field"
    captions = [note] if note else []
    columns = ["lead min", "valid time", "rain area %", "max mm/h", "no data %"]
    if output.thresholds_mm_h:
        columns.append("likely %")
        captions.append(
            f"likely: area where {output.thresholds_mm_h[0]:g} mm/h has a probability of at least 50 % "
            f"({header.probability_method})"
        )
    if output.members:
        columns.append("members %")
        captions.append(f"members: smallest and largest rain area of {output.members}")
    table = Table(title=f"{info.reference}{field}, from {reference_time}", caption="\n".join(captions) or None)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=column in ("valid time", "members %"))
    for row in rows:
        table.add_row(*(_cell(name, value) for name, value in row.items()))
    console = Console()
    console.print(table)
    console.print(f"Written to {out}", soft_wrap=True, highlight=False)


def _cell(name: str, value: float | str | list[float | None] | None) -> str:
    """Return the text of a table's cell: the area of the lowest threshold, the range of the members."""
    if isinstance(value, list):
        if None in value:
            return "-"
        return f"{value[0]}" if name == "likely_area_percent" else f"{value[0]:.0f} to {value[-1]:.0f}"
    return "-" if value is None else f"{value}"
