"""The table of aims: the last result of every part, with its machine and date."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.page import results
from benchmarks.page.markdown import table
from benchmarks.page.results import NOT_MEASURED, AimRow
from benchmarks.paths import FIGURES
from benchmarks.speed.inference import CASES
from model.bench.machine import machine_summary
from model.core.catalog import DEFAULT_MODEL, Catalog

INFERENCE = FIGURES / "inference.json"
"""The last figures of `benchmarks.speed.inference`."""
SPEEDUP, FP32_SPEEDUP, MEMORY_SHARE, MIN_SPEEDUP = 4.0, 1.3, 0.5, 2.0
NETWORK = "ms-predrnn"
UNGATED = "int8: every convolution in 8 bits, random weights, judged by no gate of CSI"
BUSY_CORES = 0.1
"""The figures of a part are marked if other processes keep as many cores busy."""


class DatedRow(NamedTuple):
    """A row of the table with its date and machine."""

    row: AimRow
    date: str = ""
    machine: str = ""


def aims(parts: Mapping[str, Any], inference: Path = INFERENCE) -> list[DatedRow]:
    """Return all rows, in the order of the aims; parts without figures are marked as not measured."""
    rows = _networks(inference)
    for name, unmeasured in UNMEASURED.items():
        part = parts.get(name)
        if part is None:
            rows += [DatedRow(row) for row in unmeasured]
        else:
            machine = part["machine"]
            marked = [_mark_load(_mark_version(row, name, part), part) for row in results.rows_of(part)]
            rows += [DatedRow(row, machine["date"], machine_summary(machine)) for row in marked]
    return rows


def shipped() -> str:
    """Return NAME@VERSION of the newest shipped package."""
    return Catalog().find(DEFAULT_MODEL).reference


def _mark_version(row: AimRow, name: str, part: Mapping[str, Any]) -> AimRow:
    """Add the measured package and variant to a row; a package that is not shipped neither meets nor misses an aim."""
    measured = _measured_package(name, part)
    if measured is None:
        return row
    reference, variant = measured
    package = f"{reference} as {variant}" if variant else reference
    if reference == shipped():
        return replace(row, measured=f"{package}: {row.measured}")
    return replace(row, measured=f"not the shipped version, {package}: {row.measured}", reached=None)


def _measured_package(name: str, part: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the package and variant of a part; an empty variant if it compares several, None without a package."""
    if name == "nowcast":
        references = (each["reference"] for each in part["measured"] if each["name"].startswith(DEFAULT_MODEL))
        return next(references), ""
    figures = part["engine"] if name == "service" else part
    return (figures["reference"], figures["variant"]) if name in ("service", "tiles") else None


def _mark_load(row: AimRow, part: Mapping[str, Any]) -> AimRow:
    """Add the load of other processes to a row, unless it was negligible."""
    others = part.get("others_cores") or 0.0
    if others < BUSY_CORES:
        return row
    return replace(row, measured=f"{row.measured} (other processes kept {others:g} cores busy: measure again)")


def _networks(path: Path) -> list[DatedRow]:
    """Return the rows of the networks against their official code on CPU."""
    figures = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"networks": {}}
    networks, machine = figures["networks"], figures.get("machine", {})
    where = f"{machine['processor']}, {machine['cores']} cores" if machine else ""
    one = AimRow(
        what="MS-PredRNN 64 hidden, 128 x 128, 10 -> 10, batch 1, CPU",
        against="official MS-RNN, eager fp32, same weights",
        aim="4 x faster (fp32 alone: 1.3 x), half its peak memory",
        **(_one_network(networks[NETWORK]) if NETWORK in networks else {"measured": NOT_MEASURED}),
    )
    every = AimRow(
        what="all networks of docs/networks.md, CPU, best variant",
        against="their official code",
        aim="none below 2 x",
        **(_all_networks(networks) if networks else {"measured": NOT_MEASURED}),
    )
    return [DatedRow(row, machine.get("date", ""), where) for row in (one, every)]


def _best(network: Mapping[str, Any]) -> str:
    """Return the faster variant of Echocast."""
    return max((side for side in ("fp32", "int8") if side in network), key=lambda side: float(network[side]["times"]))


def _one_network(network: Mapping[str, Any]) -> dict[str, Any]:
    best = _best(network)
    times, alone = network[best]["times"], network["fp32"]["times"]
    memory = network[best]["mb"] / network["official"]["mb"]
    return {
        "measured": f"{times:.2f} x ({best}: {network[best]['seconds']:.2f} s against "
        f"{network['official']['seconds']:.2f} s), fp32 alone {alone:.2f} x, {memory:.0%} of its memory"
        f"{_ungated([best])}",
        "reached": min(times / SPEEDUP, alone / FP32_SPEEDUP, MEMORY_SHARE / memory),
    }


def _all_networks(networks: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row's figures: the aim is met once every network is measured, and missed as soon as one is slower."""
    best = {name: _best(network) for name, network in networks.items()}
    times = {name: float(network[best[name]]["times"]) for name, network in networks.items()}
    slowest = sorted(times, key=lambda name: times[name])
    below = [f"{name} {times[name]:.2f} x" for name in slowest if times[name] < MIN_SPEEDUP]
    slow = f"; below 2 x: {', '.join(below)}" if below else ""
    counts = below or set(times) >= set(CASES)
    return {
        "measured": f"{len(times)} of {len(CASES)} networks measured, {times[slowest[0]]:.2f} x ({slowest[0]}) to "
        f"{times[slowest[-1]]:.2f} x ({slowest[-1]}){slow}{_ungated(best.values())}",
        "reached": times[slowest[0]] / MIN_SPEEDUP if counts else None,
    }


def _ungated(best: Iterable[str]) -> str:
    """Return a remark if the result depends on an int8 graph that no CSI gate has judged."""
    return f" ({UNGATED})" if "int8" in best else ""


def _unmeasured(what: str, against: str, aim: str) -> AimRow:
    return AimRow(what=what, against=against, aim=aim, measured=NOT_MEASURED)


UNMEASURED: Mapping[str, Sequence[AimRow]] = {
    "nowcast": (
        _unmeasured("shipped package, 640 x 710, CPU", "pysteps Lucas-Kanade + extrapolation", "faster"),
        _unmeasured("same, dry day", "same, rainy day", "at most a third"),
    ),
    "gpu": (
        _unmeasured("MS-PredRNN, GPU, batch 1, 128 x 128", "official code, same GPU", "8 x; absolute time reported"),
        _unmeasured("MS-PredRNN, GPU, batch 16, 480 x 480", "that GPU's measured bf16/fp16 convolution peak", "50 %"),
    ),
    "service": (
        _unmeasured("service, from upload to result, one client", "the engine alone", "at most 10 % or 150 ms more"),
        _unmeasured("service, 32 clients at once", "the engine alone, busy", "90 % of its throughput, no failure"),
    ),
    "tiles": (_unmeasured("3500 x 7000 to 60 min, CPU: peak memory", "a worker's memory", "below 3 GB"),),
}
"""The parts in the order of the aims, with their rows as long as they are not measured."""


def markdown(rows: Sequence[DatedRow]) -> str:
    """Return the table, and the machines below it."""
    machines = machines_of(rows)
    header = ["what", "against", "aim", "measured", "met", "date", "on"]
    cells = []
    for row, date, machine in rows:
        where = f"{machines.index(machine) + 1}" if machine else ""
        cells.append([row.what, row.against, row.aim, row.measured, row.met, date, where])
    lines = [f"{number}. {machine}" for number, machine in enumerate(machines, start=1)]
    return "\n\n".join([table(header, cells, align="l" * len(header)), "Machines:\n\n" + "\n".join(lines)])


def machines_of(rows: Sequence[DatedRow]) -> list[str]:
    """Return the machines of the rows, each once."""
    return list(dict.fromkeys(dated.machine for dated in rows if dated.machine))
