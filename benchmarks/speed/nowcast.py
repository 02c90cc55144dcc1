"""`python -m benchmarks.speed.nowcast`: the shipped package against pysteps, and dry days against a rainy one, on CPU.

From radar files on disk to the written file: 5 frames of 640 x 710 every 5 min, 12 steps. pysteps runs its dense
Lucas-Kanade motion and semi-Lagrangian extrapolation; Echocast reads its frames and writes its file, so that both sides
do the same work. Each model on each day has a process of its own, warm as a worker is, and the runs take turns.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.command_line import add_threads, argument_parser
from benchmarks.page import results
from benchmarks.page.markdown import table
from benchmarks.page.results import AimRow
from benchmarks.speed.other_processes import OtherProcesses
from benchmarks.speed.peak import peaks_of
from benchmarks.speed.synthetic_days import DAYS, write_day
from model.bench.measurement import Measurement, run_interleaved
from model.bench.workload import PYSTEPS, Workload
from model.core.catalog import DEFAULT_MODEL
from model.core.model_info import EXTRAPOLATION

SHAPE = (640, 710)
FRAMES, STEPS, RUNS = 5, 12, 5
DRY_SHARE = 1 / 3
"""The seconds that a dry day may take, as a share of those of a rainy day."""
RAINY, DRY = ("rain", "wide rain"), ("dry, showers", "dry, one area")


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions:
    """What to measure; `files` are real events by name, in addition to the synthetic days."""

    shape: tuple[int, int] = SHAPE
    steps: int = STEPS
    runs: int = RUNS
    threads: int = 0
    variants: tuple[str, ...] = ("auto",)
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    packages: str | None = None
    peaks: bool = True


def measure(options: BenchmarkOptions) -> dict[str, Any]:
    """Return the figures of every model on every day, and the rows of the table of aims."""
    with tempfile.TemporaryDirectory(prefix="echocast-") as folder:
        days: dict[str, tuple[str, ...]] = dict(options.files)
        for name, day in DAYS.items():
            paths = write_day(day, Path(folder) / name, frames=FRAMES, shape=options.shape)
            days[name] = tuple(map(str, paths))
        models = [(DEFAULT_MODEL, variant) for variant in options.variants]
        models += [(EXTRAPOLATION.name, "auto"), (PYSTEPS, "auto")]
        cases = [(day, model, variant) for day in days for model, variant in models]
        shared = {"steps": options.steps, "threads": options.threads, "packages": options.packages}
        workloads = [
            Workload(model=model, variant=variant, files=days[day], reads=True, device="cpu", **shared)
            for day, model, variant in cases
        ]
        peaks = peaks_of("cpu", options.threads)

        def measure_peaks(variants: Sequence[str]) -> None:
            peaks.measure(variant.partition(" ")[0] for variant in variants if options.peaks)

        measurements = run_interleaved(workloads, options.runs, on_ready=measure_peaks)
        peaks.measure(peaks.gflops)
    measured = [{"day": day, **each.as_json()} for (day, _, _), each in zip(cases, measurements, strict=True)]
    names = [(day, workload.name) for (day, _, _), workload in zip(cases, workloads, strict=True)]
    rows = rows_of(dict(zip(names, measurements, strict=True)), options)
    return {"peaks_gflops": peaks.gflops, "measured": measured, "rows": results.as_json(rows)}


def rows_of(measurements: Mapping[tuple[str, str], Measurement], options: BenchmarkOptions) -> list[AimRow]:
    """Return the rows of both aims: the worst day counts, with the fastest variant on each day.

    `measurements` are by day and name of the model.
    """
    names = {name for _, name in measurements if name.startswith(DEFAULT_MODEL)}

    def fastest(day: str) -> Measurement:
        return min((measurements[day, name] for name in names), key=lambda each: each.timing.median)

    grid = f"{options.shape[0]} x {options.shape[1]}"
    ratios = {day: measurements[day, PYSTEPS].timing.median / fastest(day).timing.median for day in RAINY}
    texts = []
    for day, ratio in ratios.items():
        best, reference = fastest(day), measurements[day, PYSTEPS].timing
        texts.append(
            f"{ratio:.2f} x at {best.wet_percent:g} % wet ({best.variant}: {best.timing.summary()}, "
            f"pysteps {reference.summary()})"
        )
    rainy = fastest("rain")
    shares = {day: fastest(day).timing.median / rainy.timing.median for day in DRY}
    dry_texts = [
        f"{share:.2f} of it in {day.removeprefix('dry, ')}, {fastest(day).wet_percent:g} % wet: "
        f"{fastest(day).timing.summary()}"
        for day, share in shares.items()
    ]
    return [
        AimRow(
            what=f"shipped package, {grid}, {FRAMES} -> {options.steps} frames of 5 min, CPU, read to written file",
            against=f"pysteps Lucas-Kanade + extrapolation, {options.steps} steps",
            aim="faster",
            measured="; ".join(texts),
            reached=min(ratios.values()),
        ),
        AimRow(
            what="same, dry day (wet area below 3 %)",
            against="same, rainy day",
            aim="at most a third",
            measured=f"{'; '.join(dry_texts)}; rainy: {rainy.timing.summary()}",
            reached=DRY_SHARE / max(shares.values()),
        ),
    ]


def page(part: Mapping[str, Any]) -> str:
    """Return the part of docs/performance.md."""
    header = ["day and model", "runs as", "wet %", "median s", "spread", "MB", "GFLOP/s", "of peak", "pysteps takes"]
    measured: Sequence[Mapping[str, Any]] = part["measured"]
    peer = {each["day"]: each["median_s"] for each in measured if each["name"] == PYSTEPS}
    stages = list(dict.fromkeys(stage for each in measured for stage in each["stages"]))
    rows, spent = [], []
    for each in measured:
        variant, rate = each["variant"], each["network_gflops"]
        peak = part["peaks_gflops"].get(variant.partition(" ")[0])
        named = f"{each['day']}: {each['reference']}"
        times = [f"{each['median_s']:.2f}", f"{each['min_s']:.2f} to {each['max_s']:.2f}"]
        rates = [f"{rate:.0f}" if rate else "", f"{rate / peak:.0%}" if rate and peak else ""]
        ratio = f"{peer[each['day']] / each['median_s']:.2f} x"
        rows.append([named, variant, f"{each['wet_percent']:g}", *times, f"{each['peak_mb']:.0f}", *rates, ratio])
        spent.append([f"{named}, {variant}", *(f"{each['stages'].get(stage, 0):.2f}" for stage in stages)])
    peaks = ", ".join(f"{name} {peak:.0f}" for name, peak in part["peaks_gflops"].items())
    lines = [
        results.measured_on(part),
        table(header, rows),
        f"Convolutions alone reach here, in GFLOP/s (the larger of before and after the runs): {peaks}. The rate of a "
        "network counts dry areas as if they were computed.",
        "Seconds by stage, in one more run with a profiler:",
        table(["day and model", *stages], spent),
    ]
    return "\n\n".join(lines)


def named_files(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Parse real events, given as `NAME=FILE,FILE,...`."""
    pairs = (word.partition("=") for word in words)
    return {name: tuple(files.split(",")) for name, _, files in pairs}


def main() -> None:
    """Measure, store the figures and print them."""
    parser = argument_parser(__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    add_threads(parser)
    parser.add_argument("--variant", action="append", help="fp32, int8 or auto (default); may be given several times.")
    parser.add_argument("--event", action="append", default=[], metavar="NAME=FILE,FILE,..", help="Real radar files.")
    parser.add_argument("--packages", help="A folder of more packages.")
    args = parser.parse_args()
    several = {"variants": tuple(args.variant or ("auto",)), "files": named_files(args.event)}
    options = BenchmarkOptions(runs=args.runs, threads=args.threads, packages=args.packages, **several)
    others = OtherProcesses()
    figures = measure(options)
    results.store_and_print("nowcast", {"others_cores": others.cores(), **figures})


if __name__ == "__main__":
    main()
