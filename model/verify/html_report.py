"""A verification as one self-contained HTML page, and as JSON next to it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from model.core.atomic import translate_write_errors, write_atomically
from model.core.rain_scale import RAIN_CLASSES
from model.verify import plots
from model.verify.json_output import Output, common_protocol, dump_json
from model.verify.terminal_tables import format_score, lead_range
from model.verify.verification import Verification

PAGE: Final = "verification.html"
MAX_LISTED_DAYS: Final = 8
ERRORS: Final = {
    "mse_mm_h": "MSE (mm²/h²)",
    "mae_mm_h": "MAE (mm/h)",
    "b_mse": "B-MSE",
    "b_mae": "B-MAE",
    "ssim": "SSIM",
    "psnr_db": "PSNR (dB)",
    "lpips": "LPIPS",
}
STYLE: Final = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); } h3 { margin-top: 1.8rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
small { opacity: .75; } code { overflow-wrap: anywhere; }
svg { max-width: 100%; height: auto; } svg text { font-family: inherit; }
.pictures { display: flex; flex-wrap: wrap; gap: .8rem; } figure { margin: 0; }
img { width: 13.4rem; background: var(--soft); image-rendering: pixelated; display: block; }
.key span { padding: .1rem .5rem; } dt { font-weight: 600; } dd { margin: 0 0 .5rem; }
"""


def prepare_report_path(out: Path) -> Path:
    """Return the path of the page: the .html file `out`, or a file in the folder `out`, which is created.

    Raises
    ------
    InputError
        The page cannot be written: an error that must show before hours of scoring, not after them.
    """
    page = out if out.suffix == ".html" else out / PAGE
    with translate_write_errors(page):
        page.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=page.parent):
            return page


def write_report(verifications: Sequence[Verification], outputs: Sequence[Output], page: Path) -> None:
    """Write the page and, next to it, the JSON.

    Parameters
    ----------
    verifications : sequence of Verification
        One for each archive; the page shows their case studies.
    outputs : sequence of mapping
        The JSON object of each.
    page : Path
        The path that `prepare_report_path` returned.

    Raises
    ------
    InputError
        The outputs are of different protocols, or a file cannot be written.
    """
    write_page(_page(verifications, outputs), outputs, page)


def write_page(lines: Iterable[str], outputs: Sequence[Output], page: Path) -> None:
    """Write a page and, next to it, the JSON.

    Raises
    ------
    InputError
        The outputs are of different protocols, or a file cannot be written.
    """
    common_protocol(outputs)
    text = "\n".join(lines)
    with translate_write_errors(page):
        write_atomically(page.with_suffix(".json"), dump_json(outputs).encode())
        write_atomically(page, text.encode())


def _page(verifications: Sequence[Verification], outputs: Sequence[Output]) -> Iterator[str]:
    yield from page_head(outputs)
    for verification, output in zip(verifications, outputs, strict=True):
        yield from _archive(verification, output)
    yield "</body></html>\n"


def page_head(outputs: Sequence[Output]) -> Iterator[str]:
    """Yield the head of the page, with title and protocol."""
    first = outputs[0]
    title = f"Verification, {first['protocol']}"
    yield f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>"
    yield f"<p>{escape(first['protocol_description'])}.</p>"
    yield f"<p><small>Written by {escape(first['software'])}. Each archive has tables of its own: scores of "
    yield "different data are not averaged.</small></p>"


def archive_facts(output: Output) -> Iterator[str]:
    """Yield the heading of an archive, and what was scored of it."""
    split = f", {output['split']} days" if output["split"] else ""
    yield f"<h2>{escape(output['archive'])}{escape(split)}</h2><dl>"
    facts = {
        "Source": output["source"].get("source", "not named"),
        "Frames": f"{output['from']} to {output['to']}",
        "Start times": f"{output['starts']}, on {', '.join(_shortened(output['days']))}",
        "Ran on": "; ".join(f"{model}: {scores['ran_on']}" for model, scores in output["models"].items()),
        "Intervals": output["intervals"],
        "Digest": output["archive_digest"],
    }
    seen = {model: scores.get("trained_on_days", ()) for model, scores in output["models"].items()}
    trained = [f"{model}, {len(days)} days" for model, days in seen.items() if days]
    if trained:
        facts["Trained on this archive"] = f"{'; '.join(trained)}: these scores do not show the skill on other data"
    if output["starts_left_out"]:
        facts["Left out"] = "; ".join(f"{start}: {why}" for start, why in output["starts_left_out"].items())
    yield from (f"<dt>{name}</dt><dd>{escape(str(fact))}</dd>" for name, fact in facts.items())
    yield "</dl>"


def _archive(verification: Verification, output: Output) -> Iterator[str]:
    yield from archive_facts(output)
    yield f"<h3>CSI, mean over {lead_range(output)}</h3>"
    yield from _means(output)
    yield f"<h3>By lead time</h3>{plots.csi_by_lead(output)}"
    yield f"<h3>Hits and false alarms</h3>{plots.performance_diagram(output)}"
    yield from _contingency(output)
    yield f"<h3>Fractions skill score, by scale</h3>{plots.fss_by_window(output)}"
    yield "<h3>Smoothing</h3><p>Below 1, a forecast has less detail of that size than the observed rain.</p>"
    yield plots.spectra(output)
    yield "<h3>Reliability</h3><p>How often the observed rain reached a threshold, by forecast rain rate.</p>"
    yield plots.reliability(output)
    yield "<h3>Errors</h3>"
    yield from _errors(output)
    yield from _case_study(verification, output)


def html_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield a table whose cells are HTML."""
    yield f'<div class="scroll"><table><tr>{"".join(f"<th>{cell}</th>" for cell in header)}</tr>'
    yield from (f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    yield "</table></div>"


def with_intervals(scores: Mapping[str, Any], digits: int = 3) -> list[str]:
    """Return cells of values with their intervals."""
    return [
        f"{format_score(value, digits)}<br><small>"
        f"{'-' if low is None else f'{format_score(low, digits)} to {format_score(high, digits)}'}</small>"
        for value, low, high in zip(scores["value"], scores["low"], scores["high"], strict=True)
    ]


def _means(output: Output) -> Iterator[str]:
    rows = [[escape(model), *with_intervals(scores["csi_mean"])] for model, scores in output["models"].items()]
    for model, scores in output["models"].items():
        ratios = scores["csi_ratio"].items() if scores["weights_sha256"] else ()
        rows += [[f"{escape(model)} / {escape(other)}", *with_intervals(ratio)] for other, ratio in ratios]
    yield from html_table(["", *threshold_names(output)], rows)


def _contingency(output: Output) -> Iterator[str]:
    for name in ("hss", "pod", "far", "bias"):
        rows = ([escape(model), *with_intervals(scores[f"{name}_mean"])] for model, scores in output["models"].items())
        title = {"bias": "Frequency bias"}.get(name, name.upper())
        yield from html_table([f"{title}, mean over leads", *threshold_names(output)], rows)


def _errors(output: Output) -> Iterator[str]:
    rows = []
    for model, scores in output["models"].items():
        errors = [_three_digits(scores[f"{name}_mean"]) for name in ERRORS]
        rows.append([escape(model), *errors, f"{scores['seconds_per_nowcast']:.2f}"])
    yield from html_table(["mean over leads", *ERRORS.values(), "s per nowcast"], rows)
    yield "<p><small>B-MSE and B-MAE: HKO-7's weights, summed over a frame's pixels on the 0-1 scale. "
    all_leads = output["ssim_psnr_lead_minutes"] == output["lead_minutes"]
    yield f"SSIM: {escape(output['ssim'])}. LPIPS: {escape(output['lpips'])}. SSIM and PSNR are of "
    yield f"{'all leads' if all_leads else 'the plotted leads'}, LPIPS of the plotted leads. "
    yield "Seconds are of this run, which shared the machine with other programs.</small></p>"


def _case_study(verification: Verification, output: Output) -> Iterator[str]:
    study = verification.case_study
    if study is None:
        return
    yield f"<h3>Case study: {study.start}Z</h3>"
    yield "<p>The start time with the most rain observed at the leads shown.</p>"
    yield '<p class="key">'
    for item in RAIN_CLASSES:
        style = f"background:{item.hex};color:{plots.text_colour_on(item.colour)}"
        yield f'<span style="{style}">{item.lower:g}</span>'
    yield " mm/h and more; no colour: dry; grey: not scored</p>"
    for lead, truth in study.truth.items():
        yield f'<h4>{output["lead_minutes"][lead]:g} min ahead</h4><div class="pictures">'
        panels = {"observed": truth, **{model: frames[lead] for model, frames in study.forecasts.items()}}
        for name, rain in panels.items():
            source = plots.rain_image(rain, north_up=verification.archive.grid.north_up)
            yield f'<figure><img src="{source}" alt=""><figcaption>{escape(name)}</figcaption></figure>'
        yield "</div>"


def _three_digits(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _shortened(days: Sequence[str]) -> list[str]:
    return [*days] if len(days) <= MAX_LISTED_DAYS else [days[0], f"... ({len(days)} days)", days[-1]]


def threshold_names(output: Output) -> list[str]:
    """Return the header cells of the thresholds."""
    return [f"{threshold:g} mm/h" for threshold in output["thresholds_mm_h"]]
