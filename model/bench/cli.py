"""`echocast bench`: measure how fast this machine computes nowcasts."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Final, cast

import click
from rich.console import Console
from rich.table import Table

from model.bench.machine import describe_machine, installed, machine_summary
from model.bench.measurement import Measurement, run_interleaved
from model.bench.peak import ConvolutionPeaks, Device, Precision, convolution_peak
from model.bench.workload import PYSTEPS, Workload
from model.core.catalog import AUTO, open_catalog
from model.core.cores import available_cores
from model.core.forecast_file import write_netcdf
from model.core.manifest import MAX_LEAD_STEPS
from model.core.model_info import EXTRAPOLATION, ModelInfo
from model.core.progress import ProgressBar
from model.data.synthetic_storms import WEATHERS, synthesise
from model.options import Size, packages_option

STEP_MINUTES: Final = 5.0
SEED: Final = 1
VARIANTS: Final = ("auto", "fp32", "int8", "fp16")


@click.command()
@click.option("--model", "references", multiple=True, help="NAME or NAME@VERSION; may be given several times.")
@click.option("--size", type=Size(), default="640x710", show_default=True, help="Pixels: 512, or 640x710.")
@click.option(
    "--steps", type=click.IntRange(1, MAX_LEAD_STEPS), default=12, show_default=True, help="Number of lead steps."
)
@click.option("--weather", type=click.Choice(list(WEATHERS)), default="frontal", show_default=True)
@click.option(
    "--variant",
    "variants",
    multiple=True,
    type=click.Choice(VARIANTS),
    envvar="ECHOCAST_VARIANT",
    help="Precision of a package; may be given several times.",
)
@click.option(
    "--device", type=click.Choice(("auto", "cpu", "cuda")), default="auto", envvar="ECHOCAST_DEVICE", show_default=True
)
@click.option(
    "--threads",
    type=click.IntRange(0),
    default=0,
    envvar="ECHOCAST_THREADS",
    show_default=True,
    help="CPU threads; 0: one per core.",
)
@click.option(
    "--runs", type=click.IntRange(1), default=5, show_default=True, help="Runs of each workload, after one warm-up run."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@packages_option
def bench(
    references: tuple[str, ...],
    size: tuple[int, int],
    steps: int,
    weather: str,
    variants: tuple[str, ...],
    device: str,
    threads: int,
    runs: int,
    as_json: bool,
    packages: Path | None,
) -> None:
    """Time nowcasts on this machine: from frames in memory to the written file, each model in its own process.

    Frames are synthetic rain every 5 min. Without --model: the model that `auto` prefers, and extrapolation. pysteps
    runs beside them where it is installed.
    """
    catalog = open_catalog(packages)
    found_models = [catalog.find(reference) for reference in references or (AUTO, EXTRAPOLATION.name)]
    models = {info.reference: info for info in found_models}
    with tempfile.TemporaryDirectory(prefix="echocast-") as folder:
        files = (_frames(Path(folder), models.values(), size, weather),)
        common: dict[str, Any] = {"files": files, "steps": steps, "device": device, "threads": threads}
        workloads = [
            Workload(model=reference, variant=variant, packages=str(packages) if packages else None, **common)
            for (reference, info), variant in product(models.items(), variants or ("auto",))
            if info.layers or variant == (variants or ("auto",))[0]
        ]
        if installed(PYSTEPS):
            workloads.append(Workload(model=PYSTEPS, **common))
        peaks = ConvolutionPeaks(lambda variant: _peak(variant, threads))
        found = _measure(workloads, runs, peaks)
    peaks.measure(peaks.gflops)
    machine = describe_machine()
    if as_json:
        output = {
            "machine": machine,
            "task": {"size": list(size), "steps": steps, "weather": weather, "threads": threads or available_cores()},
            "convolution_peak_gflops": peaks.gflops,
            "notes": _notes(peaks),
            "measured": [each.as_json() for each in found],
        }
        click.echo(json.dumps(output, indent=2))
        return
    _print(found, peaks, machine, steps)


def _frames(folder: Path, models: Iterable[ModelInfo], size: tuple[int, int], weather: str) -> str:
    """Write synthetic rain, with as many frames as the models need, and return the path."""
    count = max(3, *(info.input_frames for info in models))
    path = folder / "frames.nc"
    rain = synthesise(frames=count, shape=size, step_minutes=STEP_MINUTES, seed=SEED, weather=WEATHERS[weather]())
    write_netcdf(rain, path)
    return str(path)


def _measure(workloads: Sequence[Workload], runs: int, peaks: ConvolutionPeaks) -> list[Measurement]:
    with ProgressBar("runs", len(workloads) * (runs + 1)) as progress:
        return run_interleaved(workloads, runs, on_run=progress.advance, on_ready=peaks.measure)


def _peak(variant: str, threads: int) -> float:
    """Return the convolution peak (GFLOP/s) of a variant, such as `fp32 on CPU`."""
    precision, _, device = variant.partition(" on ")
    return convolution_peak(cast(Precision, precision), cast(Device, device.lower()), threads)


def _notes(peaks: ConvolutionPeaks) -> list[str]:
    """Return the reasons for missing peaks, without repetitions."""
    return list(dict.fromkeys(map(str, peaks.unsupported.values())))


def _print(found: Sequence[Measurement], peaks: ConvolutionPeaks, machine: dict[str, object], steps: int) -> None:
    console = Console()
    first = found[0]
    rows, columns = first.shape
    title = f"{rows} x {columns} pixels, {steps} steps, {first.wet_percent:g} % wet; seconds from frames to file"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("model", no_wrap=True)
    table.add_column("runs as", overflow="fold")
    for name in ("median", "spread", "MB", "GFLOP/s", "of peak", "pysteps"):
        table.add_column(name, justify="right", no_wrap=True)
    peer = next((each.timing.median for each in found if each.name == PYSTEPS), None)
    for each in found:
        peak = peaks.gflops.get(each.variant)
        seconds, median = each.timing.seconds, each.timing.median
        times = [f"{median:.3f}", f"{min(seconds):.3f}-{max(seconds):.3f}"]
        rates = [f"{each.gflops:.0f}", f"{each.gflops / peak:.0%}" if peak else "-"] if each.gflops else ["-", "-"]
        ratio = f"{peer / median:.2f} x" if peer else "-"
        table.add_row(each.reference, each.variant, *times, f"{each.peak_mb:.0f}", *rates, ratio)
    console.print(table)
    console.print(f"{machine_summary(machine)}, {machine['date']}", soft_wrap=True, highlight=False)
    lines = [f"Convolution peak of {variant}: {peak:.0f} GFLOP/s" for variant, peak in peaks.gflops.items()]
    for line in (*lines, *_notes(peaks)):
        console.print(line, soft_wrap=True, highlight=False)
    if any(each.gflops for each in found):
        console.print("GFLOP/s are those of the network; dry areas count as if they were computed.", soft_wrap=True)
    if peer is None:
        console.print("pysteps is not installed: nothing to compare with. Install it with: pip install pysteps")
