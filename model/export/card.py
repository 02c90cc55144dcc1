"""The card of a package: what it is, what it was trained on, how good it is, and where it is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from model.core.manifest import Form, Imported, Manifest
from model.export.parity import Parity
from model.verify.json_output import common_protocol


def write_card(path: Path, manifest: Manifest, scores: Sequence[Mapping[str, Any]], parity: Parity) -> None:
    """Write `card.md`; every figure in it comes from the manifest, the run, or an answer of `echocast verify`."""
    path.write_text("\n".join(_lines(manifest, scores, parity)).rstrip() + "\n", encoding="utf-8")


FORMS: Final[Mapping[Form, str]] = {"as-published": "as published", "paper": "as in the paper"}


def said_of(imported: Imported) -> Iterator[str]:
    """What the user of imported weights must know, a sentence at a time."""
    if imported.faults:
        departs = f"the code of {imported.family} departs from the paper: {'; '.join(imported.faults)}."
        kept = (
            "It is kept here, for the weights learned with it."
            if imported.form == "as-published"
            else ("It is not kept here: weights that were trained by that code forecast otherwise than they did there.")
        )
        yield f"{imported.network} {FORMS[imported.form]}: {departs} {kept}"
    yield from (f"{imported.network}: {remark}." for remark in imported.remarks)


def _lines(manifest: Manifest, scores: Sequence[Mapping[str, Any]], parity: Parity) -> Iterator[str]:
    training = manifest.training
    yield f"# {manifest.name} {manifest.version}\n"
    yield f"{manifest.summary}\n"
    yield f"- Network: {manifest.architecture}, {', '.join(_settings(manifest.config))}"
    if manifest.layers:
        parameters = sum(layer.parameters for layer in manifest.layers)
        yield f"- {parameters} parameters; `echocast models show {manifest.reference}` lists the layers."
    grid = f"a grid of {manifest.grid[0]} x {manifest.grid[1]} pixels" if manifest.grid else "any grid"
    rain = manifest.kind == "rain"
    lasts = f"{manifest.context_minutes} min from the first to the newest"
    minutes = f" at one time step of {manifest.time_step} min, {lasts}" if rain else ""
    yield f"- Input: {manifest.input_frames} frames{minutes}, {grid}."
    if not rain:
        yield f"- Trained on {manifest.kind} that are not rain: it makes no nowcast."
    if manifest.fields:
        yield f"- Exogenous fields: {', '.join(manifest.fields)}."
    lagrangian = manifest.frame_of_reference == "lagrangian"
    yield f"- Frame of reference: {manifest.frame_of_reference}; it forecasts " + (
        "the change of rain along its motion." if lagrangian else "frames as they are."
    )
    yield f"- torch and ONNX differ by at most {parity.difference:.1e} in pixel fraction over 12 steps." + (
        f" The network amplifies rounding: torch in float32 and in float64 differ by {parity.rounding:.1e}."
        if parity.rounding is not None
        else ""
    )
    if imported := manifest.imported:
        yield f"- Imported from a checkpoint of {imported.family} (SHA-256 `{imported.checkpoint_sha256}`)."
        yield from (f"- {sentence}" for sentence in said_of(imported))
    if training:
        yield f"- Training: {training.iterations} iterations of recipe {training.recipe['name']}; {training.software}."
        if begun := training.recipe.get("init"):
            yield f"- It began with the weights of `{begun['from']}`."
        if training.provenance_gaps:
            yield f"- {training.provenance_gaps[0].upper()}{training.provenance_gaps[1:]}."
        yield f"- Trained on: {'; '.join(training.sources)}."
        if rain and training.step_minutes:
            yield f"- Time steps of its windows: {', '.join(f'{step:g}' for step in training.step_minutes)} min."
        if training.days:
            chosen_on = ", ".join(training.held_out_days)
            apart = (
                f"The weights were chosen on {chosen_on}"
                if chosen_on
                else "Part of each was held out to choose the weights"
            )
            yield f"- Days: {', '.join(training.days)}. {apart}."
        yield f"- Data digest (SHA-256 of each archive): `{training.data_digest}`."
    yield f"- Licence: {manifest.licence}.\n"
    thresholds = [key.removeprefix("csi_") for key in training.held_out if key.startswith("csi_")] if training else []
    if training and training.held_out and not thresholds:
        yield "## On what training did not see\n"
        yield from (f"- {name}: {value:.4g}" for name, value in training.held_out.items())
        yield ""
    if training and thresholds:
        yield "## On the held-out part of the training events\n"
        yield "CSI, its ratio to extrapolation's, and frequency bias; windows at all time steps, all leads pooled:\n"
        yield f"| | {' | '.join(f'{threshold} mm/h' for threshold in thresholds)} |"
        yield f"|---|{'---|' * len(thresholds)}"
        for metric in ("csi", "ratio", "bias"):
            yield f"| {metric} | {' | '.join(_figure(training.held_out[f'{metric}_{t}']) for t in thresholds)} |"
        yield ""
    if scores:
        yield "## Scores\n"
        yield f"Protocol {common_protocol(scores)}: {scores[0]['protocol_description']}.\n"
    trained_on = training.data_digest.split("+") if training else []
    for answer in scores:
        seen = answer["models"].get(manifest.reference, {}).get("trained_on_days")
        told = seen is not None and not (training and training.provenance_gaps)
        yield from _tables(answer, seen=bool(seen) or answer["archive_digest"] in trained_on, told=told)
    if rain:
        yield from _weaknesses(manifest)


def _weaknesses(manifest: Manifest) -> Iterator[str]:
    training = manifest.training
    yield "## Where it is weak\n"
    yield "Like every deterministic nowcast it smooths: at long leads it draws rain areas and not single cells."
    yield "The frequency bias tells how much wider than observed they are: above 1, more rain area than falls."
    yield "A ratio below 1 is a threshold at which extrapolation is the better forecast on that data."
    if training and "horizon_minutes" in training.recipe.get("windows", {}):
        horizon = training.recipe["windows"]["horizon_minutes"]
        yield f"It was trained on leads to {horizon:g} min: what it forecasts beyond has not been scored."
    if manifest.frame_of_reference == "lagrangian":
        yield "What enters the domain is not known and stays without data. Motion is estimated from optical flow and"
        yield "kept steady over the forecast."


def _settings(config: Mapping[str, Any]) -> Iterator[str]:
    """`name value` of each setting, those of the network among the others."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _settings(value)
        else:
            yield f"{name} {' '.join(map(str, value)) if isinstance(value, list | tuple) else value}"


def _tables(answer: Mapping[str, Any], *, seen: bool, told: bool) -> Iterator[str]:
    """`seen`: whether days of the archive were trained on; `told`: whether that is known."""
    leads = answer["lead_minutes"]
    part = f", {answer['split']} days" if answer["split"] else ""
    yield f"### {answer['archive']}{part}: {answer['from']} to {answer['to']}, {answer['starts']} start times\n"
    if seen:
        yield "**This archive was trained on: these scores do not tell how good the model is elsewhere.**\n"
    elif told:
        yield f"{answer['source'].get('source', 'This archive')}: no day of it was trained on.\n"
    yield from _means(answer)
    for index, threshold in enumerate(answer["thresholds_mm_h"]):
        yield f"CSI at {threshold:g} mm/h by lead time (min):\n"
        yield f"| model | {' | '.join(f'{lead:g}' for lead in leads)} | mean | POD | FAR | bias |"
        yield f"|---|{'---|' * (len(leads) + 4)}"
        for model, metrics in answer["models"].items():
            cells = [_figure(value) for value in metrics["csi"][index]]
            means = [_figure(_mean(metrics[name][index])) for name in ("csi", "pod", "far", "bias")]
            yield f"| {model} | {' | '.join([*cells, *means])} |"
        yield ""


def _means(answer: Mapping[str, Any]) -> Iterator[str]:
    """CSI of each model as a mean over leads, and the ratios of the others' to those of extrapolation."""
    thresholds, leads = answer["thresholds_mm_h"], answer["lead_minutes"]
    yield f"CSI, mean over leads of {leads[0]:g} to {leads[-1]:g} min ({answer['intervals']}):\n"
    yield f"| | {' | '.join(f'{threshold:g} mm/h' for threshold in thresholds)} |"
    yield f"|---|{'---|' * len(thresholds)}"
    for model, metrics in answer["models"].items():
        yield f"| {model} | {' | '.join(_with_interval(metrics['csi_mean']))} |"
    for model, metrics in answer["models"].items():
        for other, found in metrics["csi_ratio"].items() if metrics["weights_sha256"] else ():
            yield f"| {model} / {other} | {' | '.join(_with_interval(found))} |"
    yield ""


def _with_interval(found: Mapping[str, Any]) -> Iterator[str]:
    for value, low, high in zip(found["value"], found["low"], found["high"], strict=True):
        interval = "" if low is None else f" ({_figure(low)} to {_figure(high)})"
        yield f"{_figure(value)}{interval}"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
