"""One look at each network, then the pictures and the figures behind them in one folder."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.analyze.draw import COSINE_BINS, cosine_shares, cosine_table, draw_decoupling, draw_gradient, draw_responses
from model.analyze.figures import Responses, cosines, gradient_by_frame, increments_of, responses
from model.analyze.sample import Sample
from model.analyze.subject import Subject
from model.core.errors import InputError
from model.nets.forecast_model import RecurrentModel

ANALYSIS = "analysis.json"
MAPS = "responses.npz"
GRADIENT, DECOUPLING, RESPONSES = "gradient.png", "decoupling.png", "responses.png"
DIGITS = 6
"""Significant digits in analysis.json."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """What was found in one network.

    `gradient` [t]: see `gradient_by_frame`. `written` and `through_w`: cosines per layer [step, sequence, channel], as
    written and through the projection W; empty where the network has none.
    """

    subject: Subject
    sample: Sample
    gradient: NDArray[np.float64]
    written: Sequence[NDArray[np.float32]]
    through_w: Sequence[NDArray[np.float32]]
    responses: Responses


def look(subject: Subject, sample: Sample, leads: int, lead: int) -> Look:
    """Look into a network while it forecasts `leads` frames; its responses at one `lead` of them (1 is the first)."""
    net, frames = subject.net, sample.frames()
    increments = increments_of(net, frames, leads)
    projection = net.stack.decouple if isinstance(net, RecurrentModel) else None
    return Look(
        subject=subject,
        sample=sample,
        gradient=gradient_by_frame(net, frames, leads),
        written=cosines(increments) if increments else [],
        through_w=cosines(increments, projection) if increments and projection is not None else [],
        responses=responses(net, frames, lead),
    )


def write(looks: Sequence[Look], out: Path, leads: int, lead: int) -> dict[str, Any]:
    """Write the pictures, the response maps and analysis.json to the folder `out`, and return what the latter holds.

    Raises
    ------
    InputError
        The folder cannot be made or written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        pictures = _pictures(looks, out, leads, lead)
        np.savez_compressed(
            out / MAPS,
            allow_pickle=False,
            **{f"{one.subject.name}/{name}": map_ for one in looks for name, map_ in one.responses.layers},
        )
        analysis = {
            "steps": leads,
            "lead": lead,
            "bin_edges": [round(float(edge), 3) for edge in COSINE_BINS],
            "models": [_figures(one) for one in looks],
            "pictures": pictures,
            "maps": MAPS,
        }
        (out / ANALYSIS).write_text(json.dumps(analysis, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise InputError(f"cannot write ({reason})", where=str(out), hint="Choose another --out") from None
    return analysis


def _pictures(looks: Sequence[Look], out: Path, leads: int, lead: int) -> list[str]:
    """Draw them; the names of those that were drawn."""
    first = looks[0]
    rain = first.sample.rain
    step_minutes = first.sample.step_minutes if rain else None
    draw_gradient(out / GRADIENT, {one.subject.name: one.gradient for one in looks}, leads, step_minutes)
    pictures = [GRADIENT]
    written = {one.subject.name: one.written for one in looks if len(one.written)}
    (out / DECOUPLING).unlink(missing_ok=True)  # an older one would be taken for this network's
    if written:
        through_w = {one.subject.name: one.through_w for one in looks if len(one.through_w)}
        contexts = [one.subject.context for one in looks if len(one.written)]
        draw_decoupling(out / DECOUPLING, written, through_w, contexts)
        pictures.append(DECOUPLING)
    draw_responses(out / RESPONSES, {one.subject.name: one.responses for one in looks}, lead, rain)
    return [*pictures, RESPONSES]


def _figures(one: Look) -> dict[str, Any]:
    """One network's figures, as JSON holds them."""
    sequences, frames, channels, height, width = one.sample.data.shape
    return {
        "model": one.subject.name,
        "looked_at": {
            "what": one.sample.what,
            "sequences": sequences,
            "frames": frames,
            "channels": channels,
            "shape": [height, width],
            "step_minutes": one.sample.step_minutes,
            "frame_of_reference": "lagrangian" if one.subject.lagrangian else "eulerian",
        },
        "gradient": {"frame": list(range(1 - frames, 1)), "mean_abs": _plain(one.gradient)},
        "decoupling": _decoupling(one),
        "responses": {
            "read_frame": one.responses.read_at,
            "layers": [
                {"name": name, "shape": list(map_.shape), "mean": _plain(map_.mean()), "max": _plain(map_.max())}
                for name, map_ in one.responses.layers
            ],
        },
    }


def _decoupling(one: Look) -> dict[str, Any]:
    if not len(one.written):
        return {"left_out": f"{one.subject.name} has not both memories C and M"}
    steps = len(one.written[0])
    kinds = {"as_written": one.written, **({"through_w": one.through_w} if len(one.through_w) else {})}
    return {
        "frame": list(range(1 - one.subject.context, 1 - one.subject.context + steps)),
        **{
            kind: {
                "mean_by_layer_and_step": _plain(cosine_table(layers)),
                "share_by_bin": _plain(cosine_shares(layers)),
            }
            for kind, layers in kinds.items()
        },
    }


def _plain(values: NDArray[np.floating] | np.floating) -> Any:  # noqa: ANN401  # a number, or lists of them
    """Rounded numbers for JSON, which has none but finite ones."""
    if np.ndim(values):
        return [_plain(value) for value in np.asarray(values)]
    return float(f"{float(values):.{DIGITS}g}") if np.isfinite(values) else None
