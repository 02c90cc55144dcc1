"""`echocast verify MODEL... --archive DIR`."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from model.core.catalog import Catalog, catalog_with, info_of
from model.core.manifest import WEIGHTS, read_manifest
from model.data.archive import Archive
from model.runtime.load import load_predictor
from model.runtime.predictor import Predictor
from model.verify.protocol import PROTOCOLS
from model.verify.protocol import verify as run_verification
from model.verify.scores import Contingency

METRICS = ("csi", "pod", "far", "bias")


@click.command()
@click.argument("models", nargs=-1, required=True)
@click.option("--archive", "folder", type=click.Path(path_type=Path), required=True, help="An archive's folder.")
@click.option(
    "--protocol", "protocol_name", type=click.Choice(list(PROTOCOLS)), default="nowcast-60", show_default=True
)
@click.option("--packages", type=click.Path(path_type=Path), help="A folder of more packages, as NAME/VERSION.")
@click.option(
    "--fields",
    type=click.Path(path_type=Path),
    envvar="ECHOCAST_FIELDS",
    help="A folder of exogenous fields, as NAME.nc, for models that read any.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(
    models: tuple[str, ...],
    folder: Path,
    protocol_name: str,
    packages: Path | None,
    fields: Path | None,
    as_json: bool,
) -> None:
    """Score MODELS (names, NAME@VERSION, or a package's folder) by threshold and lead time, in one table."""
    archive = Archive(folder)
    catalog = catalog_with(packages)
    predictors = [_predictor(name, catalog, fields) for name in models]
    protocol = PROTOCOLS[protocol_name]
    console = Console(stderr=True)
    with console.status("verifying") if console.is_terminal else nullcontext():
        counts, starts = run_verification(archive, predictors, protocol)
    leads = [
        round(archive.step_minutes * (lead + 1), 3)
        for lead in range(counts[predictors[0].info.reference].hits.shape[1])
    ]
    if as_json:
        answer = {
            "protocol": protocol.name,
            "protocol_description": protocol.description,
            "archive": folder.name,
            "archive_digest": archive.digest(),
            "source": archive.attributes,
            "from": f"{archive.times[0]}Z",
            "to": f"{archive.times[-1]}Z",
            "starts": starts,
            "lead_minutes": leads,
            "thresholds_mm_h": protocol.thresholds_mm_h,
            "models": {
                predictor.info.reference: {
                    "weights_sha256": _weights_digest(predictor),
                    **_as_json(counts[predictor.info.reference]),
                }
                for predictor in predictors
            },
        }
        click.echo(json.dumps(answer, indent=2))
        return
    for index, threshold in enumerate(protocol.thresholds_mm_h):
        table = Table(title=f"CSI at {threshold:g} mm/h, {protocol.name}, {starts} start times of {folder.name}")
        for column in ("model", *(f"{lead:g} min" for lead in leads), "mean", "bias"):
            table.add_column(column, justify="left" if column == "model" else "right", no_wrap=True)
        for name, count in counts.items():
            row = [*count.csi[index], np.nanmean(count.csi[index]), np.nanmean(count.bias[index])]
            table.add_row(name, *(f"{value:.3f}" for value in row))
        Console().print(table)


def _predictor(name: str, catalog: Catalog, fields: Path | None) -> Predictor:
    folder = Path(name)
    info = info_of(read_manifest(folder), folder) if folder.is_dir() else catalog.find(name)
    return load_predictor(info, fields)


def _weights_digest(predictor: Predictor) -> str | None:
    folder = predictor.info.folder
    return read_manifest(folder).files.get(WEIGHTS) if folder else None


def _as_json(count: Contingency) -> dict[str, Any]:
    return {metric: _plain(getattr(count, metric)) for metric in METRICS}


def _plain(values: NDArray[np.float64]) -> list[list[float | None]]:
    return [[None if math.isnan(value) else round(float(value), 5) for value in row] for row in values]
