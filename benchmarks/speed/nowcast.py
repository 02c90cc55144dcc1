"""`python -m benchmarks.speed.nowcast`: the shipped package against pysteps, and a dry day against a rainy one, on CPU.

From radar files on disk to the written file: 5 frames of 640 x 710 every 5 min, 12 steps. pysteps is dense Lucas-Kanade
motion and semi-Lagrangian extrapolation; its frames are read and its file is written by our code, so that both do the
same. Every side of every day has a process of its own, warm as a worker is; runs take turns.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.page import results
from benchmarks.page.results import Row
from benchmarks.speed.peak import peaks_of
from benchmarks.speed.synthetic_days import DAYS, write_day
from model.bench.measurement import Measurement, run_interleaved
from model.bench.workload import PYSTEPS, Workload
from model.core.catalog import DEFAULT_MODEL
from model.core.model_info import EXTRAPOLATION

SHAPE = (640, 710)
FRAMES, STEPS, RUNS = 5, 12, 5
DRY_SHARE = 1 / 3
"""Of the seconds of a rainy day that a dry one may take."""
RAINY, DRY = ("rain", "wide rain"), ("dry, showers", "dry, one area")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured. `files`: real events by name, beside the synthetic days."""

    shape: tuple[int, int] = SHAPE
    steps: int = STEPS
    runs: int = RUNS
    threads: int = 0
    variants: tuple[str, ...] = ("auto",)
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    packages: str | None = None
    peaks: bool = True


def measure(plan: Plan) -> dict[str, Any]:
    """Every model on every day, and the rows of the table of aims."""
    with tempfile.TemporaryDirectory(prefix="echocast-") as folder:
        days: dict[str, tuple[str, ...]] = dict(plan.files)
        for name, day in DAYS.items():
            paths = write_day(day, Path(folder) / name, frames=FRAMES, shape=plan.shape)
            days[name] = tuple(map(str, paths))
        models = [(DEFAULT_MODEL, variant) for variant in plan.variants]
        models += [(EXTRAPOLATION.name, "auto"), (PYSTEPS, "auto")]
        places = [(day, model, variant) for day in days for model, variant in models]
        tasks = [
            Workload(
                model=model,
                variant=variant,
                files=days[day],
                steps=plan.steps,
                reads=True,
                device="cpu",
                threads=plan.threads,
                packages=plan.packages,
            )
            for day, model, variant in places
        ]
        peaks = peaks_of("cpu", plan.threads)

        def take(variants: Sequence[str]) -> None:
            peaks.measure(variant.partition(" ")[0] for variant in variants if plan.peaks)

        found = run_interleaved(tasks, plan.runs, on_ready=take)
        peaks.measure(peaks.gflops)
    measured = [{"day": day, **each.as_json()} for (day, _, _), each in zip(places, found, strict=True)]
    by_place = dict(
        zip([(day, task.name) for (day, _, _), task in zip(places, tasks, strict=True)], found, strict=True)
    )
    rows = rows_of(by_place, plan)
    return {"peaks_gflops": peaks.gflops, "measured": measured, "rows": results.as_json(rows)}


def rows_of(found: Mapping[tuple[str, str], Measurement], plan: Plan) -> list[Row]:
    """Both aims, each by the worst of its days, the fastest variant on each."""
    names = {name for _, name in found if name.startswith(DEFAULT_MODEL)}

    def ours(day: str) -> Measurement:
        return min((found[day, name] for name in names), key=lambda each: each.timing.median)

    grid = f"{plan.shape[0]} x {plan.shape[1]}"
    ratios = {day: found[day, PYSTEPS].timing.median / ours(day).timing.median for day in RAINY}
    said = [
        f"{ratio:.2f} x at {ours(day).wet_percent:g} % wet ({ours(day).variant}: {ours(day).timing.summary()}, "
        f"pysteps {found[day, PYSTEPS].timing.summary()})"
        for day, ratio in ratios.items()
    ]
    rainy = ours("rain")
    shares = {day: ours(day).timing.median / rainy.timing.median for day in DRY}
    said_dry = [
        f"{share:.2f} of it in {day.removeprefix('dry, ')}, {ours(day).wet_percent:g} % wet: "
        f"{ours(day).timing.summary()}"
        for day, share in shares.items()
    ]
    return [
        Row(
            what=f"shipped package, {grid}, {FRAMES} -> {plan.steps} frames of 5 min, CPU, read to written file",
            against=f"pysteps Lucas-Kanade + extrapolation, {plan.steps} steps",
            aim="faster",
            measured="; ".join(said),
            reached=min(ratios.values()),
        ),
        Row(
            what="same, dry day (wet area below 3 %)",
            against="same, rainy day",
            aim="at most a third",
            measured=f"{'; '.join(said_dry)}; rainy: {rainy.timing.summary()}",
            reached=DRY_SHARE / max(shares.values()),
        ),
    ]


def page(part: Mapping[str, Any]) -> str:
    """The table for docs/performance.md."""
    header = ["day and model", "runs as", "wet %", "median s", "spread", "MB", "GFLOP/s", "of peak", "pysteps takes"]
    measured: Sequence[Mapping[str, Any]] = part["measured"]
    peer = {each["day"]: each["median_s"] for each in measured if each["name"] == PYSTEPS}
    stages = list(dict.fromkeys(stage for each in measured for stage in each["stages"]))
    rows, spent = [], []
    for each in measured:
        variant, rate = each["variant"], each["network_gflops"]
        peak = part["peaks_gflops"].get(variant.partition(" ")[0])
        named = f"{each['day']}: {each['reference']}"
        rows.append(
            [
                named,
                variant,
                f"{each['wet_percent']:g}",
                f"{each['median_s']:.2f}",
                f"{each['min_s']:.2f} to {each['max_s']:.2f}",
                f"{each['peak_mb']:.0f}",
                f"{rate:.0f}" if rate else "",
                f"{rate / peak:.0%}" if rate and peak else "",
                f"{peer[each['day']] / each['median_s']:.2f} x",
            ]
        )
        spent.append([f"{named}, {variant}", *(f"{each['stages'].get(stage, 0):.2f}" for stage in stages)])
    told = ", ".join(f"{name} {peak:.0f}" for name, peak in part["peaks_gflops"].items())
    lines = [
        results.measured_on(part),
        results.markdown(header, rows),
        f"Convolutions alone reach here, in GFLOP/s (the larger of before and after the runs): {told}. Of the network, "
        "dry areas count as if they were computed.",
        "Where the seconds go, in one more run that is watched:",
        results.markdown(["day and model", *stages], spent),
    ]
    return "\n\n".join(lines)


def named_files(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Real events of `NAME=FILE,FILE,...`."""
    pairs = (word.partition("=") for word in words)
    return {name: tuple(files.split(",")) for name, _, files in pairs}


def main() -> None:
    """Measure, keep the figures, print them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--threads", type=int, default=0, help="0: one for each core.")
    parser.add_argument("--variant", action="append", help="fp32, int8 or auto (default); may be given several times.")
    parser.add_argument("--event", action="append", default=[], metavar="NAME=FILE,FILE,..", help="Real radar files.")
    parser.add_argument("--packages", help="A folder of more packages.")
    asked = parser.parse_args()
    plan = Plan(
        runs=asked.runs,
        threads=asked.threads,
        variants=tuple(asked.variant or ("auto",)),
        files=named_files(asked.event),
        packages=asked.packages,
    )
    others = results.Others()
    figures = measure(plan)
    print(json.dumps(results.keep("nowcast", {"others_cores": others.cores(), **figures})["nowcast"], indent=1))


if __name__ == "__main__":
    main()
