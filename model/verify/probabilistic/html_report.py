"""A probabilistic verification as one self-contained HTML page, and as JSON next to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from model.core.probability_scores import DECOMPOSITION
from model.verify.html_report import archive_facts, html_table, page_head, threshold_names, with_intervals, write_page
from model.verify.json_output import Output
from model.verify.probabilistic import plots
from model.verify.probabilistic.accumulators import MEMBERS
from model.verify.probabilistic.json_output import ALIKE
from model.verify.probabilistic.terminal_tables import label, sources_of
from model.verify.terminal_tables import format_score, lead_range


def write_report(outputs: Sequence[Output], page: Path) -> None:
    """Write the page and, next to it, the JSON; see `model.verify.html_report.write_report`."""
    write_page(_page(outputs), outputs, page)


def _page(outputs: Sequence[Output]) -> Iterator[str]:
    yield from page_head(outputs)
    for output in outputs:
        yield from _archive(output)
    yield "</body></html>\n"


def _archive(output: Output) -> Iterator[str]:
    yield from archive_facts(output)
    rows, columns = output["window_px"]
    yield f"<p>Scored: {rows} x {columns} pixels of {output['pixel_km']:g} km of each start time.</p>"
    yield f"<h3>Brier score and CRPS, mean over {lead_range(output)}</h3>"
    yield from _scores(output)
    yield from _differences(output)
    yield f"<h3>By lead time</h3>{plots.scores_by_lead(output)}"
    yield "<h3>Reliability</h3><p>The share of pixels at which rain reached a threshold, by forecast probability, of "
    yield f"all leads; hollow: bins of fewer than {output['fewest_pixels']} pixels. Below: the pixels of each bin.</p>"
    yield plots.reliability(output)
    yield from _decomposition(output)
    if any(MEMBERS in scores for scores in output["models"].values()):
        yield "<h3>Members</h3><p>How often the truth had each rank among the members, over the mean; of all pixels, "
        yield "of those with rain, and of totals over areas. A flat histogram is at 1.</p>"
        yield plots.ranks(output)
    yield "<h3>Totals of the hour over areas</h3>"
    yield from _areas(output)
    yield "<h3>Fields</h3>"
    yield from _fields(output)
    yield "<h3>Power spectra</h3><p>Below 1, a field or a member has less detail of that size than the truth.</p>"
    yield plots.spectra(output)


def _scores(output: Output) -> Iterator[str]:
    rows = []
    for model, source, scores in sources_of(output):
        crps = {bound: [value] for bound, value in scores["crps_mm_h_mean"].items()}
        cells = [*with_intervals(scores["brier_mean"], 4), *with_intervals(crps)]
        rows.append([escape(label(output, model, source)), *cells])
    yield from html_table(["", *threshold_names(output), "CRPS (mm/h)"], rows)


def _differences(output: Output) -> Iterator[str]:
    first, *others = output["models"]
    found = output["models"][first]["differences"]
    rows = []
    for other in others:
        cells = [*found[other]["brier"], found[other]["crps_mm_h"]]
        texts = [
            f"{'-' if cell['value'] is None else format(cell['value'], '+.4f')}<br><small>{cell['conclusion']}</small>"
            for cell in cells
        ]
        rows.append([escape(f"{first} - {other}"), *texts])
    if rows:
        yield from html_table(["difference", *threshold_names(output), "CRPS (mm/h)"], rows)
        yield f"<p><small>{ALIKE}: the interval of the paired difference covers 0.</small></p>"


def _decomposition(output: Output) -> Iterator[str]:
    names = {"within_bins": "within bins"}
    for name in DECOMPOSITION:
        rows = (
            [escape(label(output, model, source)), *with_intervals(scores["decomposition_mean"][name], 5)]
            for model, source, scores in sources_of(output)
        )
        yield from html_table([f"Brier score: {names.get(name, name)}", *threshold_names(output)], rows)
    rows = (
        [escape(label(output, model, source)), *with_intervals(scores["roc_area_mean"])]
        for model, source, scores in sources_of(output)
    )
    yield from html_table(["ROC area", *threshold_names(output)], rows)
    deviations = (
        [
            escape(label(output, model, source)),
            *(format_score(value) for value in scores["largest_deviation"]),
        ]
        for model, source, scores in sources_of(output)
    )
    yield from html_table(["largest deviation", *threshold_names(output)], deviations)


def _areas(output: Output) -> Iterator[str]:
    rows = []
    for model, scores in output["models"].items():
        areas = scores["areas"]
        cells = [str(areas["totals"]), str(areas["starts"])]
        for name in ("mae_mm", "crps_mm", "energy_mm"):
            found = areas.get(name, {"value": None, "low": None, "high": None})
            cells += with_intervals({bound: [value] for bound, value in found.items()})
        rows.append([escape(model), *cells])
    header = [f"squares of {output['area_km']:g} km", "totals", "start times", "MAE (mm)", "CRPS (mm)", "energy (mm)"]
    yield from html_table(header, rows)


def _fields(output: Output) -> Iterator[str]:
    for score, title in (("csi", "CSI"), ("bias", "frequency bias"), ("brier", "Brier score as it is")):
        rows = [
            [escape(f"{model} {name}"), *with_intervals(field[score], 4 if score == "brier" else 3)]
            for model, scores in output["models"].items()
            for name, field in scores["fields"].items()
        ]
        yield from html_table([title, *threshold_names(output)], rows)
    rows = []
    for model, scores in output["models"].items():
        for name, field in scores["fields"].items():
            errors = [
                with_intervals({bound: [value] for bound, value in field[score].items()})[0]
                for score in ("mae", "rmse")
            ]
            rows.append([escape(f"{model} {name}"), *errors, f"{scores['seconds_per_nowcast']:.2f}"])
    yield from html_table(["", "MAE (mm/h)", "RMSE (mm/h)", "s per nowcast"], rows)
