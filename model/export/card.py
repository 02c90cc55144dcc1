"""Write the model card of a package: network, training data, scores and weaknesses (Mitchell et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from model.core.manifest import Form, Imported, Manifest
from model.export.parity import Parity
from model.verify.json_output import is_probabilistic


def write_card(path: Path, manifest: Manifest, scores: Sequence[Mapping[str, Any]], parity: Parity) -> None:
    """Write `card.md` from the manifest, the output of `echocast verify --json`, and the parity of the graph."""
    path.write_text("\n".join(_lines(manifest, scores, parity)).rstrip() + "\n", encoding="utf-8")


FORMS: Final[Mapping[Form, str]] = {"as-published": "as published", "paper": "as in the paper"}


def import_remarks(imported: Imported) -> Iterator[str]:
    """Yield sentences about deviations of imported weights from the paper and from the published code."""
    if imported.faults:
        departs = f"the code of {imported.family} departs from the paper: {'; '.join(imported.faults)}."
        consequence = (
            "Echocast computes the same, because the weights were trained with it."
            if imported.form == "as-published"
            else "Echocast follows the paper: weights from that code forecast differently than they did there."
        )
        yield f"{imported.network} {FORMS[imported.form]}: {departs} {consequence}"
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
    span = f"{manifest.context_minutes} min from the first to the newest"
    minutes = f" at one time step of {manifest.time_step} min, {span}" if rain else ""
    yield f"- Input: {manifest.input_frames} frames{minutes}, {grid}."
    if not rain:
        yield f"- Trained on {manifest.kind} that are not rain: the model makes no nowcast."
    if settings := manifest.distribution:
        listed = ", ".join(f"{threshold:g}" for threshold in settings.thresholds_mm_h)
        yield (
            f"- Forecasts a distribution: exceedance probabilities at {listed} mm/h, beyond them an exponential "
            f"tail of {settings.tail_mm_h:g} mm/h; fields `expected`, `median` and `sharp`, by default "
            f"`{settings.default_field}`."
        )
    if manifest.fields:
        yield f"- Exogenous fields: {', '.join(manifest.fields)}."
    lagrangian = manifest.frame_of_reference == "lagrangian"
    forecasts = "the change of rain along its motion" if lagrangian else "frames on the grid"
    yield f"- Frame of reference: {manifest.frame_of_reference}; the network forecasts {forecasts}."
    yield f"- PyTorch and ONNX differ by at most {parity.difference:.1e} in pixel fraction over 12 steps." + (
        f" The network amplifies rounding: PyTorch in float32 and in float64 differ by {parity.rounding:.1e}."
        if parity.rounding is not None
        else ""
    )
    if imported := manifest.imported:
        yield f"- Imported from a checkpoint of {imported.family} (SHA-256 `{imported.checkpoint_sha256}`)."
        yield from (f"- {sentence}" for sentence in import_remarks(imported))
    if training:
        yield f"- Training: {training.iterations} iterations of recipe {training.recipe['name']}; {training.software}."
        if initial := training.recipe.get("init"):
            yield f"- Initial weights: those of `{initial['from']}`."
        if training.provenance_gaps:
            yield f"- {training.provenance_gaps[0].upper()}{training.provenance_gaps[1:]}."
        yield f"- Trained on: {'; '.join(training.sources)}."
        if rain and training.step_minutes:
            steps = ", ".join(f"{step:g}" for step in training.step_minutes)
            yield f"- Time steps of the training windows: {steps} min."
        if training.days:
            held_out = ", ".join(training.held_out_days)
            selection = f"Scores on {held_out}" if held_out else "Scores on a held-out part of each day"
            yield f"- Days: {', '.join(training.days)}. {selection} selected the weights."
        yield f"- Data digest (SHA-256 of each archive): `{training.data_digest}`."
    yield f"- Licence: {manifest.licence}.\n"
    thresholds = [key.removeprefix("csi_") for key in training.held_out if key.startswith("csi_")] if training else []
    if training and training.held_out and not thresholds:
        yield "## Held-out scores\n"
        yield from (f"- {name}: {value:.4g}" for name, value in training.held_out.items())
        yield ""
    if training and thresholds:
        yield "## Scores on the held-out part of the training events\n"
        if manifest.distribution is None:
            metrics: tuple[str, ...] = ("csi", "ratio", "bias")
            yield "CSI, the ratio to the CSI of extrapolation, and frequency bias, over all time steps and leads:\n"
        else:
            metrics = ("brier", "ratio", "reliability", "bias", "csi")
            yield (
                "Brier score, 1 + its skill over extrapolation's, mean difference between forecast and observed "
                "shares, mean probability over the observed share, and CSI of the best cut, over all time steps and "
                "leads:\n"
            )
        yield f"| | {' | '.join(f'{threshold} mm/h' for threshold in thresholds)} |"
        yield f"|---|{'---|' * len(thresholds)}"
        for metric in metrics:
            yield f"| {metric} | {' | '.join(_figure(training.held_out[f'{metric}_{t}']) for t in thresholds)} |"
        yield ""
    trained_on = training.data_digest.split("+") if training else []
    ordered = sorted(scores, key=is_probabilistic)
    for number, output in enumerate(ordered):
        if not number:
            yield "## Scores\n"
        if not number or is_probabilistic(output) != is_probabilistic(ordered[number - 1]):
            yield f"Protocol {output['protocol']}: {output['protocol_description']}.\n"
        days = output["models"].get(manifest.reference, {}).get("trained_on_days")
        known = days is not None and not (training and training.provenance_gaps)
        seen = bool(days) or output["archive_digest"] in trained_on
        yield from _tables(output, seen=seen, known=known)
    if rain:
        yield from _weaknesses(manifest)


def _weaknesses(manifest: Manifest) -> Iterator[str]:
    training = manifest.training
    yield "## Weaknesses\n"
    if manifest.distribution is None:
        yield "Like every deterministic nowcast it smooths: at long leads it shows rain areas, not single cells."
    else:
        yield "Its single fields smooth: at long leads they show rain areas, not single cells. Members do not."
    yield "The frequency bias is the ratio of forecast to observed rain area."
    yield "At a threshold with a ratio below 1 extrapolation is the better forecast on that data."
    if training and "horizon_minutes" in training.recipe.get("windows", {}):
        horizon = training.recipe["windows"]["horizon_minutes"]
        yield f"Trained on leads up to {horizon:g} min: longer leads have no scores."
    if manifest.frame_of_reference == "lagrangian":
        yield "Rain that enters the domain is unknown: these pixels have no data. Motion comes from optical flow and is"
        yield "constant over the forecast."


def _settings(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield `name value` of each setting, also of nested ones."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _settings(value)
        else:
            yield f"{name} {' '.join(map(str, value)) if isinstance(value, list | tuple) else value}"


def _tables(output: Mapping[str, Any], *, seen: bool, known: bool) -> Iterator[str]:
    """Yield the tables of one archive; `seen`: the training had days of the archive; `known`: whether that is known."""
    leads = output["lead_minutes"]
    part = f", {output['split']} days" if output["split"] else ""
    yield f"### {output['archive']}{part}: {output['from']} to {output['to']}, {output['starts']} start times\n"
    if seen:
        yield "**The model was trained on this archive: these scores do not generalise to other data.**\n"
    elif known:
        yield f"{output['source'].get('source', 'This archive')}: no day of this archive was in the training.\n"
    if is_probabilistic(output):
        yield from _probabilities(output)
        return
    yield from _means(output)
    for index, threshold in enumerate(output["thresholds_mm_h"]):
        yield f"CSI at {threshold:g} mm/h by lead time (min):\n"
        yield f"| model | {' | '.join(f'{lead:g}' for lead in leads)} | mean | POD | FAR | bias |"
        yield f"|---|{'---|' * (len(leads) + 4)}"
        for model, metrics in output["models"].items():
            cells = [_figure(value) for value in metrics["csi"][index]]
            means = [_figure(_mean(metrics[name][index])) for name in ("csi", "pod", "far", "bias")]
            yield f"| {model} | {' | '.join([*cells, *means])} |"
        yield ""


def _probabilities(output: Mapping[str, Any]) -> Iterator[str]:
    """Yield a table of the Brier score and the CRPS of each model, and of its largest deviation from reliability."""
    thresholds, leads = output["thresholds_mm_h"], output["lead_minutes"]
    span = f"leads of {leads[0]:g} to {leads[-1]:g} min"
    yield f"Brier score and CRPS (mm/h), mean over {span} ({output['intervals']}):\n"
    header = " | ".join(f"{threshold:g} mm/h" for threshold in thresholds)
    yield f"| | {header} | CRPS |"
    yield f"|---|{'---|' * (len(thresholds) + 1)}"
    for model, metrics in output["models"].items():
        found = metrics[metrics["compared_by"]]
        crps = {bound: [value] for bound, value in found["crps_mm_h_mean"].items()}
        cells = [*_with_interval(found["brier_mean"], 4), *_with_interval(crps)]
        yield f"| {model}, {metrics['probability_method']} | {' | '.join(cells)} |"
    yield "\nLargest deviation of the observed from the forecast share, of bins with "
    yield f"{output['fewest_pixels']} pixels or more:\n"
    yield f"| | {header} |"
    yield f"|---|{'---|' * len(thresholds)}"
    for model, metrics in output["models"].items():
        cells = [_figure(value) for value in metrics[metrics["compared_by"]]["largest_deviation"]]
        yield f"| {model}, {metrics['probability_method']} | {' | '.join(cells)} |"
    yield ""


def _means(output: Mapping[str, Any]) -> Iterator[str]:
    """Yield a table of the CSI of each model, mean over leads, and of its ratio to the CSI of the others."""
    thresholds, leads = output["thresholds_mm_h"], output["lead_minutes"]
    yield f"CSI, mean over leads of {leads[0]:g} to {leads[-1]:g} min ({output['intervals']}):\n"
    yield f"| | {' | '.join(f'{threshold:g} mm/h' for threshold in thresholds)} |"
    yield f"|---|{'---|' * len(thresholds)}"
    for model, metrics in output["models"].items():
        yield f"| {model} | {' | '.join(_with_interval(metrics['csi_mean']))} |"
    for model, metrics in output["models"].items():
        for other, ratio in metrics["csi_ratio"].items() if metrics["weights_sha256"] else ():
            yield f"| {model} / {other} | {' | '.join(_with_interval(ratio))} |"
    yield ""


def _with_interval(result: Mapping[str, Any], digits: int = 3) -> Iterator[str]:
    for value, low, high in zip(result["value"], result["low"], result["high"], strict=True):
        interval = "" if low is None else f" ({_figure(low, digits)} to {_figure(high, digits)})"
        yield f"{_figure(value, digits)}{interval}"


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if numbers else None


def _figure(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
