"""`make bench`: every figure of docs/performance.md, and the table of aims.

`python -m benchmarks [PART..]` runs peak, nowcast, service and gpu, and inference if the folders of the official code
are given; or only the named parts. `tiles` takes minutes and runs by name only. Each part is also a command,
`python -m benchmarks.speed.PART`. A part that does not run keeps its last figures, with their date and machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.command_line import add_checkouts, add_threads, argument_parser, checkouts
from benchmarks.page import results
from benchmarks.page.aims import INFERENCE, DatedRow, aims, machines_of, markdown
from benchmarks.page.markdown import replace_part
from benchmarks.page.plots import ComputeRate, plot_aims, plot_rates, plot_stages
from benchmarks.paths import PERFORMANCE_PAGE
from benchmarks.speed import gpu, nowcast, peak, service, tiles
from benchmarks.speed.inference import FAMILIES

IMAGES = "images"
PARTS = ("peak", "nowcast", "service", "gpu", "inference", "tiles")
BY_NAME_ONLY = ("tiles",)
WETTEST = "wide rain"
"""The day without dry tiles to skip: rates count dry tiles as if they were computed."""
TEXTS = {"peak": peak.page, "nowcast": nowcast.page, "service": service.page, "gpu": gpu.page, "tiles": tiles.page}


def main() -> None:
    """Run the parts, rewrite the page, print the table."""
    parser = argument_parser(__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"Any of {', '.join(PARTS)}.")
    parser.add_argument(
        "--redraw", action="store_true", help="Run nothing; rewrite page and plots from the stored figures."
    )
    add_threads(parser)
    parser.add_argument(
        "--variant", action="append", help="Variant of the shipped package; may be given several times."
    )
    parser.add_argument("--event", action="append", default=[], metavar="NAME=FILE,..", help="Real files for nowcast.")
    parser.add_argument("--pairs", type=int, metavar="N", help="Processes of each side of each network, for inference.")
    add_checkouts(parser, FAMILIES)
    args = parser.parse_args()
    if unknown := [part for part in args.parts if part not in PARTS]:
        parser.error(f"unknown part {unknown[0]}; the parts are {', '.join(PARTS)}")
    folders = checkouts(args, FAMILIES)
    failed = []
    for part in [] if args.redraw else args.parts or _default_parts(folders):
        print(f"{part} ...", file=sys.stderr)
        command = [sys.executable, "-m", f"benchmarks.speed.{part}", *_options(part, args, folders)]
        if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
            failed.append(part)
    parts = results.read()
    rows = aims(parts)
    rewrite(parts, rows, PERFORMANCE_PAGE)
    print_table(rows)
    if failed:
        sys.exit(f"failed: {', '.join(failed)} (the table shows their last figures)")


def _default_parts(folders: Mapping[str, Path]) -> list[str]:
    """Return the parts that run if none is named."""
    runs_inference = INFERENCE.exists() and set(folders) == set(FAMILIES)
    return [part for part in PARTS if part not in BY_NAME_ONLY and (part != "inference" or runs_inference)]


def _options(part: str, args: argparse.Namespace, folders: Mapping[str, Path]) -> list[str]:
    """Return the command-line options of a part."""
    threads = ["--threads", str(args.threads)] if args.threads else []
    variants = [word for variant in args.variant or () for word in ("--variant", variant)]
    if part == "nowcast":
        return [*threads, *variants, *(word for event in args.event for word in ("--event", event))]
    if part in ("service", "tiles"):
        return [*threads, *variants[-2:]]
    if part == "gpu":
        return ["--ms-rnn", str(folders["ms-rnn"])] if "ms-rnn" in folders else []
    if part == "inference":
        pairs = ["--pairs", str(args.pairs)] if args.pairs else []
        locations = [word for family, folder in folders.items() for word in (f"--{family}", str(folder))]
        return [*threads, *pairs, *locations]
    return threads


def rewrite(parts: Mapping[str, Any], rows: Sequence[DatedRow], page: Path) -> None:
    """Rewrite the plots and the generated parts of the page; `benchmarks.speed.inference` writes its own part."""
    images = page.parent / IMAGES
    plot_aims(rows, images / "performance-aims.png")
    replace_part("aims", f"{markdown(rows)}\n\n![How far each aim is reached]({IMAGES}/performance-aims.png)", page)
    for name, text in TEXTS.items():
        if name in parts:
            replace_part(name, _with_plot(name, text(parts[name]), parts, images), page)


def _with_plot(name: str, text: str, parts: Mapping[str, Any], images: Path) -> str:
    """Return the text of a part, followed by its plot if it has one."""
    if name == "nowcast":
        plot_stages(parts[name]["measured"], images / "performance-stages.png")
        return f"{text}\n\n![Where the seconds go]({IMAGES}/performance-stages.png)"
    if name == "peak" and (rates := rates_of(parts)):
        plot_rates(rates, images / "performance-roofline.png")
        return f"{text}\n\n![GFLOP/s under the convolution peak]({IMAGES}/performance-roofline.png)"
    return text


def rates_of(parts: Mapping[str, Any], inference: Path = INFERENCE) -> list[ComputeRate]:
    """Return the rates of networks on CPU, each with the peak of the same run."""
    rates = []
    part = parts.get("nowcast", {"measured": [], "peaks_gflops": {}})
    for each in part["measured"]:
        precision = each["variant"].partition(" ")[0]
        if each["day"] == WETTEST and each["network_gflops"] and precision in part["peaks_gflops"]:
            name = f"{each['reference']}, {each['day']}"
            rates.append(ComputeRate(name, precision, each["network_gflops"], part["peaks_gflops"][precision]))
    figures = json.loads(inference.read_text(encoding="utf-8")) if inference.exists() else {"networks": {}}
    for name, network in figures["networks"].items():
        for side, precision in (("official", "fp32"), ("fp32", "fp32"), ("int8", "int8")):
            if side in network:
                bar = f"{name}, {'official code' if side == 'official' else 'Echocast'}, {precision}"
                rate, peak = network["gflop"] / network[side]["seconds"], figures["machine"]["peak"][precision]
                rates.append(ComputeRate(bar, precision, rate, peak))
    return rates


def print_table(rows: Sequence[DatedRow]) -> None:
    """Print the table of aims on the terminal."""
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
