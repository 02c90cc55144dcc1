"""A verification as tables for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.table import Table

from model.verify.json_output import Output

MAX_LEADS: Final = 8


def terminal_tables(output: Output) -> Iterator[Table]:
    """Yield a table of mean CSI with its interval and the frequency bias, and a table of CSI by lead time."""
    yield _means(output)
    yield _by_lead(output)


def _means(output: Output) -> Table:
    split = f", {output['split']} days" if output["split"] else ""
    table = Table(
        title=f"CSI, mean over {lead_range(output)}\n"
        f"{output['archive']}{split}, {output['starts']} start times, {output['protocol']}",
        caption=f"Below: the interval, then frequency bias. {output['intervals']}.",
    )
    table.add_column("model", overflow="fold")
    for threshold in output["thresholds_mm_h"]:
        table.add_column(f"{threshold:g} mm/h", justify="right", no_wrap=True)
    for model, scores in output["models"].items():
        cells = []
        for row in range(len(output["thresholds_mm_h"])):
            mean = scores["csi_mean"]
            low, high = mean["low"][row], mean["high"][row]
            interval = "-" if low is None else f"{short_score(low)}-{short_score(high)}"
            bias = scores["bias_mean"]["value"][row]
            cells.append(f"{format_score(mean['value'][row])}\n{interval}\n{format_score(bias, 2)}")
        table.add_row(model, *cells, end_section=True)
    return table


def _by_lead(output: Output) -> Table:
    selected = _selected_leads(output["lead_minutes"])
    table = Table(title="CSI by lead time (min)")
    table.add_column("mm/h", justify="right")
    table.add_column("model", overflow="fold")
    for lead in selected:
        table.add_column(f"{output['lead_minutes'][lead]:g}", justify="right", no_wrap=True)
    for row, threshold in enumerate(output["thresholds_mm_h"]):
        for number, (model, scores) in enumerate(output["models"].items(), start=1):
            cells = [short_score(scores["csi"][row][lead]) for lead in selected]
            last = number == len(output["models"])
            table.add_row(f"{threshold:g}" if number == 1 else "", model, *cells, end_section=last)
    return table


def lead_range(output: Output) -> str:
    """Return `leads of 6 to 120 min`, with a remark where some leads are outputs over the input."""
    leads = output["lead_minutes"]
    span = f"leads of {leads[0]:g} to {leads[-1]:g} min"
    return span if leads[0] > 0 else f"{span} (to 0: over the input)"


def _selected_leads(leads: Sequence[float]) -> list[int]:
    """Return the indices of at most MAX_LEADS leads, evenly spaced and including the last."""
    every = -(-len(leads) // MAX_LEADS)
    return [index for index in range(len(leads)) if (index + 1) % every == len(leads) % every]


def format_score(value: float | None, digits: int = 3) -> str:
    """Return a number with so many decimals, or a dash for None."""
    return "-" if value is None else f"{value:.{digits}f}"


def short_score(value: float | None, digits: int = 2) -> str:
    """Return a score with so many decimals, without its leading zero: .42."""
    text = format_score(value, digits)
    return text.replace("0.", ".", 1) if value is None or 0 <= value < 1 else text
