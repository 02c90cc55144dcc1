"""A verification as tables for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.table import Table

MOST_LEADS: Final = 8


def tables(answer: Mapping[str, Any]) -> Iterator[Table]:
    """CSI as a mean over leads, with its interval and the frequency bias; then CSI by lead time."""
    yield _means(answer)
    yield _by_lead(answer)


def _means(answer: Mapping[str, Any]) -> Table:
    split = f", {answer['split']} days" if answer["split"] else ""
    table = Table(
        title=f"CSI, mean over {leads_of(answer)}\n"
        f"{answer['archive']}{split}, {answer['starts']} start times, {answer['protocol']}",
        caption=f"Below: the interval, then frequency bias. {answer['intervals']}.",
    )
    table.add_column("model", overflow="fold")
    for threshold in answer["thresholds_mm_h"]:
        table.add_column(f"{threshold:g} mm/h", justify="right", no_wrap=True)
    for model, scores in answer["models"].items():
        cells = []
        for row in range(len(answer["thresholds_mm_h"])):
            mean = scores["csi_mean"]
            low, high = mean["low"][row], mean["high"][row]
            interval = "-" if low is None else f"{short(low)}-{short(high)}"
            cells.append(f"{figure(mean['value'][row])}\n{interval}\n{figure(scores['bias_mean']['value'][row], 2)}")
        table.add_row(model, *cells, end_section=True)
    return table


def _by_lead(answer: Mapping[str, Any]) -> Table:
    chosen = some_of(answer["lead_minutes"])
    table = Table(title="CSI by lead time (min)")
    table.add_column("mm/h", justify="right")
    table.add_column("model", overflow="fold")
    for lead in chosen:
        table.add_column(f"{answer['lead_minutes'][lead]:g}", justify="right", no_wrap=True)
    for row, threshold in enumerate(answer["thresholds_mm_h"]):
        for number, (model, scores) in enumerate(answer["models"].items(), start=1):
            cells = [short(scores["csi"][row][lead]) for lead in chosen]
            last = number == len(answer["models"])
            table.add_row(f"{threshold:g}" if number == 1 else "", model, *cells, end_section=last)
    return table


def leads_of(answer: Mapping[str, Any]) -> str:
    """`leads of 6 to 120 min`; and which of them are answers over the input, where any is."""
    leads = answer["lead_minutes"]
    span = f"leads of {leads[0]:g} to {leads[-1]:g} min"
    return span if leads[0] > 0 else f"{span} (to 0: over the input)"


def some_of(leads: Sequence[float]) -> list[int]:
    """Indices of at most MOST_LEADS leads, evenly spaced, the last among them."""
    every = -(-len(leads) // MOST_LEADS)
    return [index for index in range(len(leads)) if (index + 1) % every == len(leads) % every]


def figure(value: float | None, digits: int = 3) -> str:
    """A number, or a dash."""
    return "-" if value is None else f"{value:.{digits}f}"


def short(value: float | None) -> str:
    """A score of two decimals without its leading zero: .42."""
    return figure(value, 2).replace("0.", ".", 1) if value is None or 0 <= value < 1 else figure(value, 2)
