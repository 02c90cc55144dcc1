"""A probabilistic verification as tables for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.table import Table

from model.core.forecast_output import DETERMINISTIC
from model.verify.json_output import Output
from model.verify.probabilistic.accumulators import MEMBERS, PROBABILITIES
from model.verify.probabilistic.json_output import ALIKE, NO_INTERVAL
from model.verify.terminal_tables import format_score, lead_range, short_score

SIGNS: Final = {"lower": "-", "higher": "+", ALIKE: "=", NO_INTERVAL: "?"}


def terminal_tables(output: Output) -> Iterator[Table]:
    """Yield tables of Brier score and CRPS, their paired differences, reliability, members, and fields."""
    yield _scores(output)
    if len(output["models"]) > 1:
        yield _differences(output)
    yield _reliability(output)
    if any(MEMBERS in model for model in output["models"].values()):
        yield _members(output)
    yield _fields(output)


def sources_of(output: Output) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield model, source and scores of each source of probabilities."""
    for model, scores in output["models"].items():
        for source in (PROBABILITIES, MEMBERS):
            if source in scores:
                yield model, source, scores[source]


def label(output: Output, model: str, source: str) -> str:
    """Return the name of a row: the model, and where the probabilities come from."""
    method = output["models"][model]["probability_method"] if source == PROBABILITIES else MEMBERS
    return f"{model} {method}"


def _table(output: Output, title: str, caption: str = "") -> Table:
    table = Table(title=title, caption=caption or None, padding=0)  # intervals take the room
    table.add_column("model", overflow="fold")
    for threshold in output["thresholds_mm_h"]:
        table.add_column(f"{threshold:g}", justify="right", no_wrap=True)
    return table


def _scores(output: Output) -> Table:
    split = f", {output['split']} days" if output["split"] else ""
    title = f"Brier score by threshold and CRPS (mm/h), mean over {lead_range(output)}\n"
    title += f"{output['archive']}{split}, {output['starts']} start times, {output['protocol']}"
    table = _table(output, title, f"Below: the interval. {output['intervals']}.")
    table.add_column("CRPS", justify="right", no_wrap=True)
    for model, source, scores in sources_of(output):
        brier, crps = scores["brier_mean"], scores["crps_mm_h_mean"]
        cells = [_with_interval(*(brier[key][row] for key in ("value", "low", "high"))) for row in _rows(output)]
        cells.append(_with_interval(crps["value"], crps["low"], crps["high"], digits=2))
        table.add_row(label(output, model, source), *cells, end_section=True)
    for model, scores in output["models"].items():
        if DETERMINISTIC in scores["fields"]:
            field = scores["fields"][DETERMINISTIC]
            cells = [
                _with_interval(*(field["brier"][key][row] for key in ("value", "low", "high"))) for row in _rows(output)
            ]
            cells.append(_with_interval(*(field["mae"][key] for key in ("value", "low", "high")), digits=2))
            table.add_row(f"{model} as it is", *cells, end_section=True)
    return table


def _with_interval(value: float | None, low: float | None, high: float | None, *, digits: int = 3) -> str:
    interval = "-" if low is None else f"{short_score(low, digits)}-{short_score(high, digits)}"
    return f"{short_score(value, digits + 1)}\n{interval}"


def _differences(output: Output) -> Table:
    first, *others = output["models"]
    caption = f"- lower, + higher, = {ALIKE} (the paired interval covers 0), ? {NO_INTERVAL}."
    table = _table(
        output,
        f"{first} beside the others: change in % of Brier score by threshold\n(mm/h), CRPS and CRPS of totals",
        caption,
    )
    table.add_column("CRPS", justify="right", no_wrap=True)
    table.add_column(f"{output['area_km']:g} km", justify="right", no_wrap=True)
    found = output["models"][first]["differences"]
    for other in others:
        reference, differences = output["models"][other], found[other]
        scores = reference[reference["compared_by"]]
        cells = [_change(differences["brier"][row], scores["brier_mean"]["value"][row]) for row in _rows(output)]
        cells.append(_change(differences["crps_mm_h"], scores["crps_mm_h_mean"]["value"]))
        areas = reference["areas"].get("crps_mm", reference["areas"].get("mae_mm"))
        cells.append(_change(differences["area_crps_mm"], areas["value"]) if areas else "-")
        table.add_row(other, *cells)
    return table


def _change(difference: Mapping[str, Any], reference: float | None) -> str:
    if difference["value"] is None or not reference:
        return "-"
    return f"{100 * difference['value'] / reference:+.1f} {SIGNS[difference['conclusion']]}"


def _reliability(output: Output) -> Table:
    title = (
        f"Largest deviation in the reliability diagram, by threshold (mm/h); bins of {output['fewest_pixels']} pixels"
    )
    table = _table(output, title, "Of all leads together; below: the ROC area, mean over leads.")
    for model, source, scores in sources_of(output):
        pairs = zip(scores["largest_deviation"], scores["roc_area_mean"]["value"], strict=True)
        cells = ["\n".join(short_score(value, 3) for value in pair) for pair in pairs]
        table.add_row(label(output, model, source), *cells, end_section=True)
    return table


def _members(output: Output) -> Table:
    title = f"Members: {output['members']}. CRPS, ranks and energy score of totals over {output['area_km']:g} km"
    table = Table(
        title=title,
        caption="ranks: the fullest and the emptiest bin, over the mean bin; CRPS without members: the MAE.",
    )
    table.add_column("model", overflow="fold")
    for column in ("spread\n/error", "ranks", "ranks\nin rain", "CRPS\nmm", "ranks", "energy\nmm"):
        table.add_column(column, justify="right")
    for model, scores in output["models"].items():
        members, areas = scores.get(MEMBERS, {}), scores["areas"]
        cells = [format_score(members["spread_error_mean"]["value"], 2)] if members else ["-"]
        cells += [_extremes(members.get(name)) for name in ("ranks_over_mean", "ranks_where_wet_over_mean")]
        crps = areas.get("crps_mm", areas.get("mae_mm", {}))
        cells += [format_score(crps.get("value")), _extremes(areas.get("ranks_over_mean"))]
        cells.append(format_score(areas.get("energy_mm", {}).get("value")))
        table.add_row(model, *cells)
    return table


def _extremes(ranks: list[float | None] | None) -> str:
    known = [rank for rank in ranks or [] if rank is not None]
    return f"{max(known):.2f}\n{min(known):.2f}" if known else "-"


def _fields(output: Output) -> Table:
    title = "Fields: CSI and frequency bias by threshold (mm/h); MAE and RMSE (mm/h)"
    table = _table(output, title, "Means over leads.")
    table.add_column("MAE\nRMSE", justify="right", no_wrap=True)
    for model, scores in output["models"].items():
        for name, field in scores["fields"].items():
            cells = [
                f"{format_score(field['csi']['value'][row])}\n{format_score(field['bias']['value'][row], 2)}"
                for row in _rows(output)
            ]
            cells.append("\n".join(format_score(field[score]["value"]) for score in ("mae", "rmse")))
            table.add_row(f"{model} {name}", *cells, end_section=True)
    return table


def _rows(output: Output) -> range:
    return range(len(output["thresholds_mm_h"]))
