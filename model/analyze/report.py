"""Analyse networks and write the plots, the response maps and analysis.json to one folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.analyze.analysed_model import AnalysedModel
from model.analyze.diagnostics import LayerResponses, cosines, gradient_by_frame, layer_responses, rollout_increments
from model.analyze.inputs import AnalysisInput
from model.analyze.plots import COSINE_BINS, cosine_shares, cosine_table, plot_decoupling, plot_gradient, plot_responses
from model.core.atomic import translate_write_errors
from model.nets.forecast_model import RecurrentModel

ANALYSIS = "analysis.json"
MAPS = "responses.npz"
GRADIENT, DECOUPLING, RESPONSES = "gradient.png", "decoupling.png", "responses.png"
DIGITS = 6
"""Significant digits in analysis.json."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Analysis:
    """Diagnostics of one network.

    Attributes
    ----------
    model, inputs
        The network, and the sequences that it reads.
    gradient : [t]
        See `gradient_by_frame`.
    raw, projected
        Cosines of the increments by layer, [step, sequence, channel], without and with the projection W; empty where
        the network lacks one of the memories, or W.
    responses
        See `layer_responses`.
    """

    model: AnalysedModel
    inputs: AnalysisInput
    gradient: NDArray[np.float64]
    raw: Sequence[NDArray[np.float32]]
    projected: Sequence[NDArray[np.float32]]
    responses: LayerResponses


def analyse(model: AnalysedModel, inputs: AnalysisInput, leads: int, lead: int) -> Analysis:
    """Return the diagnostics of a forecast of `leads` frames, with the responses at lead step `lead`."""
    net, frames = model.net, inputs.frames()
    increments = rollout_increments(net, frames, leads)
    projection = net.stack.decouple if isinstance(net, RecurrentModel) else None
    return Analysis(
        model=model,
        inputs=inputs,
        gradient=gradient_by_frame(net, frames, leads),
        raw=cosines(increments) if increments else [],
        projected=cosines(increments, projection) if increments and projection is not None else [],
        responses=layer_responses(net, frames, lead),
    )


def write(analyses: Sequence[Analysis], out: Path, leads: int, lead: int) -> dict[str, Any]:
    """Write the plots, the response maps and analysis.json to the folder `out`.

    Parameters
    ----------
    analyses
        Diagnostics of one or two networks.
    out
        Folder, which is created if necessary.
    leads
        Number of forecast frames.
    lead
        Lead step of the responses, counted from 1.

    Returns
    -------
    dict
        Content of analysis.json.

    Raises
    ------
    InputError
        The folder cannot be created or written to.
    """
    with translate_write_errors(out, hint="Choose another --out"):
        out.mkdir(parents=True, exist_ok=True)
        pictures = _pictures(analyses, out, leads, lead)
        np.savez_compressed(
            out / MAPS,
            allow_pickle=False,
            **{f"{one.model.name}/{name}": map_ for one in analyses for name, map_ in one.responses.layers},
        )
        analysis = {
            "steps": leads,
            "lead": lead,
            "bin_edges": [round(float(edge), 3) for edge in COSINE_BINS],
            "models": [_to_json(one) for one in analyses],
            "pictures": pictures,
            "maps": MAPS,
        }
        (out / ANALYSIS).write_text(json.dumps(analysis, indent=2) + "\n", encoding="utf-8")
    return analysis


def _pictures(analyses: Sequence[Analysis], out: Path, leads: int, lead: int) -> list[str]:
    """Draw the plots and return their names."""
    first = analyses[0]
    rain = first.inputs.rain
    step_minutes = first.inputs.step_minutes if rain else None
    plot_gradient(out / GRADIENT, {one.model.name: one.gradient for one in analyses}, leads, step_minutes)
    pictures = [GRADIENT]
    raw = {one.model.name: one.raw for one in analyses if len(one.raw)}
    (out / DECOUPLING).unlink(missing_ok=True)  # a plot of an earlier run would be mistaken for this one
    if raw:
        projected = {one.model.name: one.projected for one in analyses if len(one.projected)}
        contexts = [one.model.context for one in analyses if len(one.raw)]
        plot_decoupling(out / DECOUPLING, raw, projected, contexts)
        pictures.append(DECOUPLING)
    plot_responses(out / RESPONSES, {one.model.name: one.responses for one in analyses}, lead, rain)
    return [*pictures, RESPONSES]


def _to_json(one: Analysis) -> dict[str, Any]:
    """Return the diagnostics of one network for analysis.json."""
    sequences, frames, channels, height, width = one.inputs.data.shape
    return {
        "model": one.model.name,
        "input": {
            "what": one.inputs.what,
            "sequences": sequences,
            "frames": frames,
            "channels": channels,
            "shape": [height, width],
            "step_minutes": one.inputs.step_minutes,
            "frame_of_reference": "lagrangian" if one.model.lagrangian else "eulerian",
        },
        "gradient": {"frame": list(range(1 - frames, 1)), "mean_abs": _rounded(one.gradient)},
        "decoupling": _decoupling_to_json(one),
        "responses": {
            "read_frame": one.responses.read_at,
            "layers": [
                {"name": name, "shape": list(map_.shape), "mean": _rounded(map_.mean()), "max": _rounded(map_.max())}
                for name, map_ in one.responses.layers
            ],
        },
    }


def _decoupling_to_json(one: Analysis) -> dict[str, Any]:
    if not len(one.raw):
        return {"omitted": f"{one.model.name} lacks the memory C or M"}
    steps = len(one.raw[0])
    kinds = {"raw": one.raw, **({"projected": one.projected} if len(one.projected) else {})}
    return {
        "frame": list(range(1 - one.model.context, 1 - one.model.context + steps)),
        **{
            kind: {
                "mean_by_layer_and_step": _rounded(cosine_table(layers)),
                "share_by_bin": _rounded(cosine_shares(layers)),
            }
            for kind, layers in kinds.items()
        },
    }


def _rounded(values: NDArray[np.floating] | np.floating) -> Any:  # noqa: ANN401  # a number or nested lists
    """Return rounded numbers; None for NaN and infinity, which JSON lacks."""
    if np.ndim(values):
        return [_rounded(value) for value in np.asarray(values)]
    return float(f"{float(values):.{DIGITS}g}") if np.isfinite(values) else None
