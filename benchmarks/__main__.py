"""`make bench`: every figure of docs/performance.md, and the table of aims.

`python -m benchmarks [PART..]` runs peak, nowcast, service and gpu, and inference if the folders of the official code
are given; or only the named parts. `tiles` takes minutes and runs by name only. Each part is also a command,
`python -m benchmarks.speed.PART`. A part that does not run keeps its last figures, with their date and machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.page import results
from benchmarks.page.aims import INFERENCE, Dated, aims, machines_of, markdown
from benchmarks.page.markdown import replace_part
from benchmarks.page.plots import Rate, draw_aims, draw_rates, draw_stages
from benchmarks.paths import PERFORMANCE_PAGE
from benchmarks.speed import gpu, nowcast, peak, service, tiles

IMAGES = "images"
PARTS = ("peak", "nowcast", "service", "gpu", "inference", "tiles")
BY_NAME_ONLY = ("tiles",)
FAMILIES = ("ms-rnn", "predrnn-pytorch", "openstl", "motionrnn")
"""Whose official code `inference`, and of the first `gpu`, compare with."""
WETTEST = "wide rain"
"""The day on which least can be skipped: the others' network is counted as if it computed what it skips."""
TEXTS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "peak": peak.page,
    "nowcast": nowcast.page,
    "service": service.page,
    "gpu": gpu.page,
    "tiles": tiles.page,
}


def main() -> None:
    """Run the parts, rewrite the page, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"Of {', '.join(PARTS)}.")
    parser.add_argument("--redraw", action="store_true", help="Run nothing: page and pictures of what was measured.")
    parser.add_argument("--threads", type=int, default=0, help="Of the CPU; 0: one for each core.")
    parser.add_argument("--variant", action="append", help="Of the shipped package; may be given several times.")
    parser.add_argument("--event", action="append", default=[], metavar="NAME=FILE,..", help="Real files for nowcast.")
    parser.add_argument("--pairs", type=int, metavar="N", help="Processes of each side of each network of inference.")
    for family in FAMILIES:
        variable = family.upper().replace("-", "_")
        help_text = f"A checkout of its official code (environment: {variable})."
        parser.add_argument(f"--{family}", metavar="DIR", default=os.environ.get(variable), help=help_text)
    asked = parser.parse_args()
    if unknown := [part for part in asked.parts if part not in PARTS]:
        parser.error(f"no part {unknown[0]}; there are {', '.join(PARTS)}")
    folders = {family: getattr(asked, family.replace("-", "_")) for family in FAMILIES}
    given = {family: folder for family, folder in folders.items() if folder}
    failed = []
    for part in [] if asked.redraw else asked.parts or _by_default(given):
        print(f"{part} ...", file=sys.stderr)
        command = [sys.executable, "-m", f"benchmarks.speed.{part}", *_options(part, asked, given)]
        if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
            failed.append(part)
    parts = results.read()
    rows = aims(parts)
    rewrite(parts, rows, PERFORMANCE_PAGE)
    print_table(rows)
    if failed:
        sys.exit(f"failed: {', '.join(failed)} (the table has what was measured before)")


def _by_default(given: Mapping[str, str]) -> list[str]:
    """The parts that run where none is named."""
    runs_inference = INFERENCE.exists() and set(given) == set(FAMILIES)
    return [part for part in PARTS if part not in BY_NAME_ONLY and (part != "inference" or runs_inference)]


def _options(part: str, asked: argparse.Namespace, given: Mapping[str, str]) -> list[str]:
    """What a part is told."""
    threads = ["--threads", str(asked.threads)] if asked.threads else []
    variants = [word for variant in asked.variant or () for word in ("--variant", variant)]
    folders = [word for family, folder in given.items() for word in (f"--{family}", folder)]
    if part == "nowcast":
        return [*threads, *variants, *(word for event in asked.event for word in ("--event", event))]
    if part in ("service", "tiles"):
        return [*threads, *variants[-2:]]
    if part == "gpu":
        return ["--ms-rnn", given["ms-rnn"]] if "ms-rnn" in given else []
    if part == "inference":
        return [*threads, *(["--pairs", str(asked.pairs)] if asked.pairs else []), *folders]
    return threads


def rewrite(parts: Mapping[str, Any], rows: Sequence[Dated], page: Path) -> None:
    """The pictures, and what stands between the markers of the page; `benchmarks.speed.inference` writes its own."""
    images = page.parent / IMAGES
    draw_aims(rows, images / "performance-aims.png")
    replace_part("aims", f"{markdown(rows)}\n\n![How far each aim is reached]({IMAGES}/performance-aims.png)", page)
    for name, text in TEXTS.items():
        if name in parts:
            replace_part(name, _with_picture(name, text(parts[name]), parts, images), page)


def _with_picture(name: str, text: str, parts: Mapping[str, Any], images: Path) -> str:
    """The text of a part, and its picture where it has one."""
    if name == "nowcast":
        draw_stages(parts[name]["measured"], images / "performance-stages.png")
        return f"{text}\n\n![Where the seconds go]({IMAGES}/performance-stages.png)"
    if name == "peak" and (rates := rates_of(parts)):
        draw_rates(rates, images / "performance-roofline.png")
        return f"{text}\n\n![GFLOP/s under the convolution peak]({IMAGES}/performance-roofline.png)"
    return text


def rates_of(parts: Mapping[str, Any], inference: Path = INFERENCE) -> list[Rate]:
    """What networks reach on CPU, each beside the peak that was measured with it."""
    rates = []
    part = parts.get("nowcast", {"measured": [], "peaks_gflops": {}})
    for each in part["measured"]:
        precision = each["variant"].partition(" ")[0]
        if each["day"] != WETTEST:
            continue
        if each["network_gflops"] and precision in part["peaks_gflops"]:
            name = f"{each['reference']}, {each['day']}"
            rates.append(Rate(name, precision, each["network_gflops"], part["peaks_gflops"][precision]))
    found = json.loads(inference.read_text(encoding="utf-8")) if inference.exists() else {"networks": {}}
    for name, network in found["networks"].items():
        for side, precision in (("theirs", "fp32"), ("fp32", "fp32"), ("int8", "int8")):
            if side in network:
                whose = "official code" if side == "theirs" else "ours"
                rate = network["gflop"] / network[side]["seconds"]
                rates.append(
                    Rate(f"{name}, {whose}, {precision}", precision, rate, found["machine"]["peak"][precision])
                )
    return rates


def print_table(rows: Sequence[Dated]) -> None:
    """The table of aims, on the terminal."""
    table = Table(title="Aims", title_justify="left", show_lines=True)
    for name in ("what", "against", "aim", "measured", "met", "date", "on"):
        table.add_column(name, overflow="fold")
    machines = machines_of(rows)
    for row, date, machine in rows:
        where = f"{machines.index(machine) + 1}" if machine else "-"
        table.add_row(row.what, row.against, row.aim, row.measured, row.met or "-", date or "-", where)
    console = Console()
    console.print(table)
    for number, machine in enumerate(machines, start=1):
        console.print(f"{number}. {machine}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main()
