"""The table of aims: what every part measured last, on which machine and when."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.page import results
from benchmarks.page.results import NOT_MEASURED, Row
from benchmarks.paths import FIGURES
from benchmarks.speed.inference import CASES
from model.bench.machine import machine_summary
from model.core.catalog import DEFAULT_MODEL, Catalog

INFERENCE = FIGURES / "inference.json"
"""What `benchmarks.speed.inference` measured last."""
FASTER, FASTER_IN_FP32, SHARE_OF_MEMORY, ALL_FASTER = 4.0, 1.3, 0.5, 2.0
NETWORK = "ms-predrnn"
UNGATED = "int8: every convolution in 8 bits, random weights, judged by no gate of CSI"
DISTURBING = 0.1
"""Cores that other processes keep busy."""


class Dated(NamedTuple):
    """A row, when it was measured, and on what."""

    row: Row
    date: str = ""
    machine: str = ""


def aims(parts: Mapping[str, Any], inference: Path = INFERENCE) -> list[Dated]:
    """All rows, in the order of the aims; a part that was never measured says so."""
    rows = _networks(inference)
    for name, never in NEVER.items():
        part = parts.get(name)
        if part is None:
            rows += [Dated(row) for row in never]
        else:
            machine = part["machine"]
            found = [_disturbed(_of_version(row, name, part), part) for row in results.rows_of(part)]
            rows += [Dated(row, machine["date"], machine_summary(machine)) for row in found]
    return rows


def shipped() -> str:
    """The package that is delivered, its newest version: NAME@VERSION."""
    return Catalog().find(DEFAULT_MODEL).reference


def _of_version(row: Row, name: str, part: Mapping[str, Any]) -> Row:
    """The row of a part, with the package and variant that it was measured with; of another than ships, no aim is met
    or missed."""
    ran = _ran(name, part)
    if ran is None:
        return row
    reference, variant = ran
    told_as = f"{reference} as {variant}" if variant else reference
    if reference == shipped():
        return replace(row, measured=f"{told_as}: {row.measured}")
    return replace(row, measured=f"not the shipped version, {told_as}: {row.measured}", reached=None)


def _ran(name: str, part: Mapping[str, Any]) -> tuple[str, str] | None:
    """Package and variant that a part ran; no variant where its rows compare several; None where it ran no package."""
    if name == "nowcast":
        ours = (each["reference"] for each in part["measured"] if each["name"].startswith(DEFAULT_MODEL))
        return next(ours), ""
    known = part["engine"] if name == "service" else part
    return (known["reference"], known["variant"]) if name in ("service", "tiles") else None


def _disturbed(row: Row, part: Mapping[str, Any]) -> Row:
    """The row, with what other processes took of the machine where it was enough to count."""
    others = part.get("others_cores") or 0.0
    if others < DISTURBING:
        return row
    return replace(row, measured=f"{row.measured} (other processes kept {others:g} cores busy: measure again)")


def _networks(path: Path) -> list[Dated]:
    """The networks against their official code, on CPU."""
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"networks": {}}
    networks, machine = found["networks"], found.get("machine", {})
    where = f"{machine['processor']}, {machine['cores']} cores" if machine else ""
    one = Row(
        what="MS-PredRNN 64 hidden, 128 x 128, 10 -> 10, batch 1, CPU",
        against="official MS-RNN, eager fp32, same weights",
        aim="4 x faster (fp32 alone: 1.3 x), half its peak memory",
        **(_of_one(networks[NETWORK]) if NETWORK in networks else {"measured": NOT_MEASURED}),
    )
    every = Row(
        what="all networks of docs/networks.md, CPU, best variant",
        against="their official code",
        aim="none below 2 x",
        **(_of_all(networks) if networks else {"measured": NOT_MEASURED}),
    )
    return [Dated(row, machine.get("date", ""), where) for row in (one, every)]


def _best(network: Mapping[str, Any]) -> str:
    """Of our variants the fastest."""
    return max((side for side in ("fp32", "int8") if side in network), key=lambda side: float(network[side]["times"]))


def _of_one(network: Mapping[str, Any]) -> dict[str, Any]:
    best = _best(network)
    times, alone = network[best]["times"], network["fp32"]["times"]
    memory = network[best]["mb"] / network["theirs"]["mb"]
    return {
        "measured": f"{times:.2f} x ({best}: {network[best]['seconds']:.2f} s against "
        f"{network['theirs']['seconds']:.2f} s), fp32 alone {alone:.2f} x, {memory:.0%} of its memory"
        f"{_ungated([best])}",
        "reached": min(times / FASTER, alone / FASTER_IN_FP32, SHARE_OF_MEMORY / memory),
    }


def _of_all(networks: Mapping[str, Any]) -> dict[str, Any]:
    """Reached only where every network was measured; missed as soon as one is below."""
    best = {name: _best(network) for name, network in networks.items()}
    times = {name: float(network[best[name]]["times"]) for name, network in networks.items()}
    slowest = sorted(times, key=lambda name: times[name])
    below = [f"{name} {times[name]:.2f} x" for name in slowest if times[name] < ALL_FASTER]
    told_below = f"; below 2 x: {', '.join(below)}" if below else ""
    counts = below or set(times) >= set(CASES)
    return {
        "measured": f"{len(times)} of {len(CASES)} networks measured, {times[slowest[0]]:.2f} x ({slowest[0]}) to "
        f"{times[slowest[-1]]:.2f} x ({slowest[-1]}){told_below}{_ungated(best.values())}",
        "reached": times[slowest[0]] / ALL_FASTER if counts else None,
    }


def _ungated(best: Iterable[str]) -> str:
    """What must be said where an int8 that nothing has judged is what counts."""
    return f" ({UNGATED})" if "int8" in best else ""


def _never(what: str, against: str, aim: str) -> Row:
    return Row(what=what, against=against, aim=aim, measured=NOT_MEASURED)


NEVER: Mapping[str, Sequence[Row]] = {
    "nowcast": (
        _never("shipped package, 640 x 710, CPU", "pysteps Lucas-Kanade + extrapolation", "faster"),
        _never("same, dry day", "same, rainy day", "at most a third"),
    ),
    "gpu": (
        _never("MS-PredRNN, GPU, batch 1, 128 x 128", "official code, same GPU", "8 x; absolute time reported"),
        _never("MS-PredRNN, GPU, batch 16, 480 x 480", "that GPU's measured bf16/fp16 convolution peak", "50 %"),
    ),
    "service": (
        _never("service, from upload to result, one client", "the engine alone", "at most 10 % or 150 ms more"),
        _never("service, 32 clients at once", "the engine alone, busy", "90 % of its throughput, no failure"),
    ),
    "tiles": (_never("3500 x 7000 to 60 min, CPU: peak memory", "a worker's memory", "below 3 GB"),),
}
"""The parts in the order of the aims, and their rows where they were never measured."""


def markdown(rows: Sequence[Dated]) -> str:
    """The table, and the machines below it."""
    machines = machines_of(rows)
    header = ["what", "against", "aim", "measured", "met", "date", "on"]
    cells = [
        [
            *(dated.row.what, dated.row.against, dated.row.aim, dated.row.measured, dated.row.met, dated.date),
            f"{machines.index(dated.machine) + 1}" if dated.machine else "",
        ]
        for dated in rows
    ]
    lines = [f"{number}. {machine}" for number, machine in enumerate(machines, start=1)]
    return "\n\n".join([results.markdown(header, cells, text=len(header)), "Machines:\n\n" + "\n".join(lines)])


def machines_of(rows: Sequence[Dated]) -> list[str]:
    """The machines of the rows, each once."""
    return list(dict.fromkeys(dated.machine for dated in rows if dated.machine))
