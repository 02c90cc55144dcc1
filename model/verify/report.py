"""A verification as one page that needs nothing beside it, and the same as JSON."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from model.core.atomic import translate_write_errors, write_atomically
from model.core.rain_scale import RAIN_CLASSES
from model.verify import plots
from model.verify.answer import as_text, one_protocol
from model.verify.table import figure, leads_of
from model.verify.verification import Verification

PAGE: Final = "verification.html"
MOST_DAYS: Final = 8
"""As many are listed by name."""
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


def page_at(out: Path) -> Path:
    """Where the page goes: the .html file `out`, or into that folder, which is made.

    Raises
    ------
    InputError
        Nothing can be written there. Told before hours of scoring, not after.
    """
    page = out if out.suffix == ".html" else out / PAGE
    with translate_write_errors(page):
        page.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=page.parent):
            return page


def write_report(found: Sequence[Verification], answers: Sequence[Mapping[str, Any]], page: Path) -> None:
    """Write the page, and the same as JSON beside it.

    Raises
    ------
    InputError
        The answers are of two protocols, or a file cannot be written.
    """
    one_protocol(answers)
    text = "\n".join(_page(found, answers))
    with translate_write_errors(page):
        write_atomically(page.with_suffix(".json"), as_text(answers).encode())
        write_atomically(page, text.encode())


def _page(found: Sequence[Verification], answers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    first = answers[0]
    title = f"Verification, {first['protocol']}"
    yield f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>"
    yield f"<p>{escape(first['protocol_description'])}.</p>"
    yield f"<p><small>Made by {escape(first['software'])}. Each archive has its own tables: scores of "
    yield "different data are not averaged.</small></p>"
    for verification, answer in zip(found, answers, strict=True):
        yield from _archive(verification, answer)
    yield "</body></html>\n"


def _archive(found: Verification, answer: Mapping[str, Any]) -> Iterator[str]:
    part = f", {answer['split']} days" if answer["split"] else ""
    yield f"<h2>{escape(answer['archive'])}{escape(part)}</h2><dl>"
    facts = {
        "Source": answer["source"].get("source", "not named"),
        "Frames": f"{answer['from']} to {answer['to']}",
        "Start times": f"{answer['starts']}, on {', '.join(_shortened(answer['days']))}",
        "Ran on": "; ".join(f"{model}: {scores['ran_on']}" for model, scores in answer["models"].items()),
        "Intervals": answer["intervals"],
        "Digest": answer["archive_digest"],
    }
    known = {model: scores.get("trained_on_days", ()) for model, scores in answer["models"].items()}
    seen = [f"{model}, {len(days)} days" for model, days in known.items() if days]
    if seen:
        facts["Trained on days of it"] = f"{'; '.join(seen)}: their scores do not tell how good they are elsewhere"
    if answer["starts_left_out"]:
        facts["Left out"] = "; ".join(f"{start}: {why}" for start, why in answer["starts_left_out"].items())
    yield from (f"<dt>{name}</dt><dd>{escape(str(fact))}</dd>" for name, fact in facts.items())
    yield f"</dl><h3>CSI, mean over {leads_of(answer)}</h3>"
    yield from _means(answer)
    yield f"<h3>By lead time</h3>{plots.csi_by_lead(answer)}"
    yield f"<h3>Hits and false alarms</h3>{plots.performance(answer)}"
    yield from _contingency(answer)
    yield f"<h3>Fractions skill score, by scale</h3>{plots.fss_by_window(answer)}"
    yield "<h3>Smoothing</h3><p>Below 1, a forecast has less detail of that size than rain has.</p>"
    yield plots.spectra(answer)
    yield "<h3>Reliability</h3><p>How often rain then reached a threshold, by what was forecast.</p>"
    yield plots.reliability(answer)
    yield "<h3>Errors</h3>"
    yield from _errors(answer)
    yield from _example(found, answer)


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    """Cells are HTML."""
    yield f'<div class="scroll"><table><tr>{"".join(f"<th>{cell}</th>" for cell in head)}</tr>'
    yield from (f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    yield "</table></div>"


def _with_intervals(found: Mapping[str, Any]) -> list[str]:
    return [
        f"{figure(value)}<br><small>{'-' if low is None else f'{figure(low)} to {figure(high)}'}</small>"
        for value, low, high in zip(found["value"], found["low"], found["high"], strict=True)
    ]


def _means(answer: Mapping[str, Any]) -> Iterator[str]:
    rows = [[escape(model), *_with_intervals(scores["csi_mean"])] for model, scores in answer["models"].items()]
    rows += [
        [f"{escape(model)} / {escape(other)}", *_with_intervals(found)]
        for model, scores in answer["models"].items()
        if scores["weights_sha256"]
        for other, found in scores["csi_ratio"].items()
    ]
    yield from _table(["", *_thresholds(answer)], iter(rows))


def _contingency(answer: Mapping[str, Any]) -> Iterator[str]:
    for name in ("hss", "pod", "far", "bias"):
        rows = ([escape(model), *_with_intervals(scores[f"{name}_mean"])] for model, scores in answer["models"].items())
        title = {"bias": "Frequency bias"}.get(name, name.upper())
        yield from _table([f"{title}, mean over leads", *_thresholds(answer)], rows)


def _errors(answer: Mapping[str, Any]) -> Iterator[str]:
    rows = (
        [
            escape(model),
            *(_of_any_size(scores[f"{name}_mean"]) for name in ERRORS),
            f"{scores['seconds_per_nowcast']:.2f}",
        ]
        for model, scores in answer["models"].items()
    )
    yield from _table(["mean over leads", *ERRORS.values(), "s per nowcast"], rows)
    yield "<p><small>B-MSE and B-MAE: HKO-7's weights, summed over a frame's pixels on the 0-1 scale. "
    all_leads = answer["ssim_psnr_lead_minutes"] == answer["lead_minutes"]
    yield f"SSIM: {escape(answer['ssim'])}. LPIPS: {escape(answer['lpips'])}. SSIM and PSNR are of "
    yield f"{'all leads' if all_leads else 'those that are pictured'}, LPIPS of those that are pictured. "
    yield "Seconds are those of this run, with whatever else the machine did.</small></p>"


def _example(found: Verification, answer: Mapping[str, Any]) -> Iterator[str]:
    if found.example is None:
        return
    yield f"<h3>One case: {found.example.start}Z</h3>"
    yield "<p>The start time after which most rain fell at the leads shown, chosen by what was observed alone.</p>"
    yield '<p class="key">'
    for item in RAIN_CLASSES:
        style = f"background:{item.hex};color:{plots.text_colour_on(item.colour)}"
        yield f'<span style="{style}">{item.lower:g}</span>'
    yield " mm/h and more; no colour: dry; grey: not compared</p>"
    for lead, truth in found.example.truth.items():
        yield f'<h4>{answer["lead_minutes"][lead]:g} min ahead</h4><div class="pictures">'
        panels = {"observed": truth, **{model: frames[lead] for model, frames in found.example.forecasts.items()}}
        for name, rain in panels.items():
            source = plots.picture(rain, north_up=found.archive.grid.north_up)
            yield f'<figure><img src="{source}" alt=""><figcaption>{escape(name)}</figcaption></figure>'
        yield "</div>"


def _of_any_size(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _shortened(days: Sequence[str]) -> list[str]:
    return [*days] if len(days) <= MOST_DAYS else [days[0], f"... ({len(days)} days)", days[-1]]


def _thresholds(answer: Mapping[str, Any]) -> list[str]:
    return [f"{threshold:g} mm/h" for threshold in answer["thresholds_mm_h"]]
