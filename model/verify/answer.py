"""A verification as JSON: what `echocast verify --json` prints, cards and reports are made of, and gates may keep."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version as distribution_version
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from model.core.catalog import EXTRAPOLATION
from model.core.errors import InputError
from model.verify.bootstrap import Intervals
from model.verify.scores import CONTINGENCY, mean_over_leads, ratio
from model.verify.spectrum import half_octaves, in_half_octaves

if TYPE_CHECKING:
    from model.verify.verification import Verification

SCHEMA: Final = 2
PYSTEPS: Final = "pysteps"
"""Name of the model that is pysteps' extrapolation (`model.verify.lucas_kanade`)."""
SSIM_NAME: Final = "Wang et al. 2004, 11 x 11 Gaussian window, sigma 1.5, data range 1, of the HKO-7 pixel fraction"


def answer_of(found: Verification) -> dict[str, Any]:
    """JSON of a verification; a number that is not known is null."""
    protocol, archive = found.protocol, found.archive
    km = float(np.mean(protocol.rules.grid(archive).pixel_size_m)) / 1000
    wavelengths, _ = half_octaves(found.layout.shape)
    return {
        "schema": SCHEMA,
        "protocol": protocol.name,
        "protocol_description": protocol.description,
        "archive": archive.name,
        "archive_digest": archive.digest(),
        "split": archive.split,
        "source": dict(archive.attributes),
        "from": f"{archive.times[0]}Z",
        "to": f"{archive.times[-1]}Z",
        "days": list(found.days),
        "starts": found.starts,
        "starts_left_out": dict(found.damaged),
        "software": f"echocast {distribution_version('echocast')}",
        "intervals": found.note,
        "lead_minutes": list(found.lead_minutes),
        "ssim_psnr_lead_minutes": [found.lead_minutes[lead] for lead in found.layout.images],
        "thresholds_mm_h": list(protocol.thresholds_mm_h),
        "pixel_km": round(km, 4),
        "fss_windows_px": list(protocol.fss_windows),
        "fss_windows_km": [round(side * km, 3) for side in protocol.fss_windows],
        "classes_from_mm_h": [0.0, *protocol.class_edges_mm_h],
        "spectrum_wavelength_km": _plain(wavelengths * km),
        "ssim": SSIM_NAME,
        "lpips": "by AlexNet, of the HKO-7 pixel fraction" if found.has("lpips") else _why_no_lpips(),
        "models": {model: _model(found, model) for model in found.models},
    }


def as_text(answers: Sequence[Mapping[str, Any]]) -> str:
    """JSON of one answer, or of several as a list."""
    return json.dumps(answers[0] if len(answers) == 1 else answers, indent=2) + "\n"


def one_protocol(answers: Sequence[Mapping[str, Any]]) -> str:
    """The protocol of all of them.

    Raises
    ------
    InputError
        There are two: scores of two protocols are never put in one table.
    """
    names = sorted({str(answer["protocol"]) for answer in answers})
    if len(names) != 1:
        raise InputError(
            f"scores of two protocols are never put in one table: {', '.join(names)}",
            where="scores",
            hint="Give scores of one protocol",
        )
    return names[0]


def _model(found: Verification, model: str) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "weights_sha256": found.weights.get(model),
        "ran_on": found.variants[model],
        "seconds_per_nowcast": round(found.seconds_per_nowcast[model], 4),
    }
    for name in CONTINGENCY:
        by_lead = found.intervals(model, name)
        answer[name] = _plain(by_lead.value)
        answer[f"{name}_interval"] = [_plain(by_lead.low), _plain(by_lead.high)]
        answer[f"{name}_mean"] = _interval(found.mean_intervals(model, name))
    answer["csi_ratio"] = {
        other: _interval(found.csi_ratio(model, other))
        for other in found.models
        if other != model and other.partition("@")[0] in (EXTRAPOLATION.name, PYSTEPS)
    }
    answer["fss"] = _plain(found.fss(model).value)
    answer["fss_mean"] = _interval(found.mean_fss(model))
    errors = found.errors(model)
    answer.update({name: _plain(values) for name, values in errors.items()})
    answer.update({f"{name}_mean": _plain(mean_over_leads(values)) for name, values in errors.items()})
    answer["spectrum"] = _spectrum(found, model)
    answer["reliability"] = _reliability(found, model)
    return answer


def _spectrum(found: Verification, model: str) -> dict[str, Any]:
    """Power by half octave of the forecast and of the truth, and their ratio, by lead (minutes)."""
    power = found.sums[model]["power"].sum(axis=0)
    answer = {}
    for lead in found.layout.looks:
        forecast, truth = (in_half_octaves(one[:, lead], found.layout.shape) for one in power)
        number = found.sums[model]["sequences"].sum(axis=0)[lead]
        answer[f"{found.lead_minutes[lead]:g}"] = {
            "forecast": _plain(forecast / number),
            "truth": _plain(truth / number),
            "ratio": _plain(ratio(forecast, truth)),
        }
    return answer


def _reliability(found: Verification, model: str) -> dict[str, Any]:
    """Pixels by class of forecast rain, all leads pooled; and how often the truth then reached each threshold."""
    classes = found.sums[model]["classes"].sum(axis=(0, -1))
    return {
        "pixels": [int(count) for count in classes.sum(axis=1)],
        "observed": [
            _plain(ratio(classes[:, event + 1 :].sum(axis=1), classes.sum(axis=1))) for event in found.layout.events
        ],
    }


def _interval(found: Intervals) -> dict[str, Any]:
    return {"value": _plain(found.value), "low": _plain(found.low), "high": _plain(found.high)}


def _why_no_lpips() -> str:
    absent = importlib.util.find_spec("lpips") is None
    return "absent: the package lpips is not installed" if absent else "absent"


def _plain(values: NDArray[np.floating] | np.floating | float) -> Any:  # noqa: ANN401  # a number, or lists of them
    """Numbers of five significant digits; null where there is none."""
    if np.ndim(values):
        return [_plain(value) for value in np.asarray(values)]
    return float(f"{float(values):.5g}") if math.isfinite(float(values)) else None
