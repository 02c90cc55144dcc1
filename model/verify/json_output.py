"""A verification as JSON: the output of `echocast verify --json`, and the input of reports, cards and tables."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version as distribution_version
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from model.core.bootstrap import IntervalArrays
from model.core.contingency import CONTINGENCY_SCORES, mean_over_leads, ratio
from model.core.errors import InputError
from model.core.model_info import EXTRAPOLATION
from model.verify.lucas_kanade import PYSTEPS
from model.verify.spectrum import average_half_octaves, half_octaves
from model.verify.verification import Verification

if TYPE_CHECKING:
    from model.verify.probabilistic.verification import ProbabilisticVerification

Output = Mapping[str, Any]
"""The JSON object of one verification."""

SCHEMA: Final = 2
SSIM_NAME: Final = "Wang et al. 2004, 11 x 11 Gaussian window, sigma 1.5, data range 1, of the HKO-7 pixel fraction"


def json_output(verification: Verification) -> dict[str, Any]:
    """Return a verification as a JSON object; unknown numbers are null."""
    protocol, archive = verification.protocol, verification.archive
    pixel_km = float(np.mean(protocol.masking.grid(archive).pixel_size_m)) / 1000
    wavelengths, _ = half_octaves(verification.accumulators.grid_shape)
    lead_minutes = verification.lead_minutes
    has_lpips = verification.has_score("lpips")
    return {
        **output_header(verification),
        "ssim_psnr_lead_minutes": [lead_minutes[lead] for lead in verification.accumulators.ssim_psnr_leads],
        "thresholds_mm_h": list(protocol.thresholds_mm_h),
        "pixel_km": round(pixel_km, 4),
        "fss_windows_px": list(protocol.fss_windows),
        "fss_windows_km": [round(window * pixel_km, 3) for window in protocol.fss_windows],
        "classes_from_mm_h": [0.0, *protocol.class_edges_mm_h],
        "spectrum_wavelength_km": rounded(wavelengths * pixel_km),
        "ssim": SSIM_NAME,
        "lpips": "by AlexNet, of the HKO-7 pixel fraction" if has_lpips else _why_no_lpips(),
        "models": {model: _model(verification, model) for model in verification.models},
    }


def output_header(verification: Verification | ProbabilisticVerification) -> dict[str, Any]:
    """Return what the JSON of every protocol starts with: protocol, data, start times, and leads."""
    protocol, archive = verification.protocol, verification.archive
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
        "days": list(verification.days),
        "starts": verification.starts,
        "starts_left_out": dict(verification.damaged),
        "software": f"echocast {distribution_version('echocast')}",
        "intervals": verification.interval_note,
        "lead_minutes": list(verification.lead_minutes),
    }


def dump_json(outputs: Sequence[Output]) -> str:
    """Return the JSON text of one output, or of several as a list."""
    return json.dumps(outputs[0] if len(outputs) == 1 else outputs, indent=2) + "\n"


def is_probabilistic(output: Output) -> bool:
    """Return whether an output is of a protocol that scores probabilities."""
    return "probability_edges" in output


def common_protocol(outputs: Sequence[Output]) -> str:
    """Return the protocol that all outputs share.

    Raises
    ------
    InputError
        The outputs are of different protocols, which a table must not mix.
    """
    names = sorted({str(output["protocol"]) for output in outputs})
    if len(names) != 1:
        what = f"a table must not mix scores of different protocols: {', '.join(names)}"
        raise InputError(what, where="scores", hint="Give scores of one protocol")
    return names[0]


def _model(verification: Verification, model: str) -> dict[str, Any]:
    output: dict[str, Any] = {
        "weights_sha256": verification.weights.get(model),
        "ran_on": verification.variants[model],
        "seconds_per_nowcast": round(verification.seconds_per_nowcast[model], 4),
    }
    for name in CONTINGENCY_SCORES:
        by_lead = verification.intervals(model, name)
        output[name] = rounded(by_lead.value)
        output[f"{name}_interval"] = [rounded(by_lead.low), rounded(by_lead.high)]
        output[f"{name}_mean"] = interval_output(verification.mean_intervals(model, name))
    output["csi_ratio"] = {
        other: interval_output(verification.csi_ratio(model, other))
        for other in verification.models
        if other != model and other.partition("@")[0] in (EXTRAPOLATION.name, PYSTEPS)
    }
    output["fss"] = rounded(verification.fss(model).value)
    output["fss_mean"] = interval_output(verification.mean_fss(model))
    errors = verification.errors(model)
    output.update({name: rounded(values) for name, values in errors.items()})
    output.update({f"{name}_mean": rounded(mean_over_leads(values)) for name, values in errors.items()})
    output["spectrum"] = _spectrum(verification, model)
    output["reliability"] = _reliability(verification, model)
    return output


def _spectrum(verification: Verification, model: str) -> dict[str, Any]:
    """Return the power by half octave of forecast and truth, and the ratio of both, by plotted lead (minutes)."""
    sums, accumulators = verification.sums[model], verification.accumulators
    power, sequences = sums["power"].sum(axis=0), sums["sequences"].sum(axis=0)
    output = {}
    for lead in accumulators.plotted_leads:
        forecast, truth = (average_half_octaves(one[:, lead], accumulators.grid_shape) for one in power)
        output[f"{verification.lead_minutes[lead]:g}"] = {
            "forecast": rounded(forecast / sequences[lead]),
            "truth": rounded(truth / sequences[lead]),
            "ratio": rounded(ratio(forecast, truth)),
        }
    return output


def _reliability(verification: Verification, model: str) -> dict[str, Any]:
    """Return the pixels of each class of forecast rain over all leads, and the observed frequency of each event."""
    histogram = verification.sums[model]["joint_histogram"].sum(axis=(0, -1))
    pixels, thresholds = histogram.sum(axis=1), verification.accumulators.threshold_indices
    observed = [rounded(ratio(histogram[:, index + 1 :].sum(axis=1), pixels)) for index in thresholds]
    return {"pixels": [int(count) for count in pixels], "observed": observed}


def interval_output(intervals: IntervalArrays) -> dict[str, Any]:
    """Return values and bounds; unknown numbers are null."""
    return {"value": rounded(intervals.value), "low": rounded(intervals.low), "high": rounded(intervals.high)}


def _why_no_lpips() -> str:
    absent = importlib.util.find_spec("lpips") is None
    return "absent: the package lpips is not installed" if absent else "absent"


def rounded(values: NDArray[np.floating] | np.floating | float) -> Any:  # noqa: ANN401  (a number, or nested lists)
    """Return numbers of five significant digits; NaN and infinity become null."""
    if np.ndim(values):
        return [rounded(value) for value in np.asarray(values)]
    return float(f"{float(values):.5g}") if math.isfinite(float(values)) else None
