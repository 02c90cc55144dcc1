"""A probabilistic verification as JSON: the output of `echocast verify --json`, and the input of reports and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from model.core.bootstrap import Interval
from model.core.contingency import ratio
from model.core.probability_scores import DECOMPOSITION, rank_share
from model.verify.json_output import interval_output, output_header, rounded
from model.verify.probabilistic.accumulators import MEMBERS, area_side_px
from model.verify.probabilistic.verification import ProbabilisticVerification
from model.verify.probabilistic.window import window_shape
from model.verify.spectrum import average_half_octaves, half_octaves

ALIKE: Final = "cannot be told apart"
NO_INTERVAL: Final = "no interval"


def json_output(verification: ProbabilisticVerification) -> dict[str, Any]:
    """Return a verification as a JSON object; unknown numbers are null."""
    protocol, archive = verification.protocol, verification.archive
    pixel_km = float(np.mean(archive.grid.pixel_size_m)) / 1000
    shape = window_shape(archive.grid.shape, protocol.window_px)
    return {
        **output_header(verification),
        "thresholds_mm_h": list(protocol.thresholds_mm_h),
        "pixel_km": round(pixel_km, 4),
        "window_px": list(shape),
        "members": protocol.members,
        "seed": protocol.seed,
        "stride_minutes": protocol.selection.stride_minutes,
        "probability_edges": list(protocol.reliability_edges),
        "fewest_pixels": protocol.fewest_pixels,
        "area_km": area_side_px(protocol.area_km, archive.grid.pixel_size_m) * pixel_km,
        "spectrum_wavelength_km": rounded(half_octaves(shape)[0] * pixel_km),
        "models": {model: _model(verification, model) for model in verification.models},
    }


def _model(verification: ProbabilisticVerification, model: str) -> dict[str, Any]:
    output: dict[str, Any] = {
        "weights_sha256": verification.weights.get(model),
        "ran_on": verification.variants[model],
        "seconds_per_nowcast": round(verification.seconds_per_nowcast[model], 4),
        "probability_method": verification.methods[model],
        "compared_by": verification.main_source(model),
        "pixels": [int(count) for count in verification.pixels(model)],
        "events": [int(count) for count in verification.events(model).sum(axis=0)],
    }
    for source in verification.sources(model):
        output[source] = _source(verification, model, source)
    if MEMBERS in output:
        output[MEMBERS] |= _members(verification, model)
    output["fields"] = {
        name: {score: interval_output(found) for score, found in verification.field_scores(model, name).items()}
        for name in verification.fields(model)
    }
    output["areas"] = _areas(verification, model)
    output["spectrum"] = _spectrum(verification, model)
    output["differences"] = {
        other: _differences(verification, model, other) for other in verification.models if other != model
    }
    return output


def _source(verification: ProbabilisticVerification, model: str, source: str) -> dict[str, Any]:
    """Return the scores of one source of probabilities."""
    brier, crps = verification.brier(model, source), verification.crps(model, source)
    terms = verification.decomposition_means(model, source)
    by_lead = verification.decomposition(model, source)
    deviation, deviation_by_lead = verification.largest_deviation(model, source)
    return {
        "brier": rounded(brier.value),
        "brier_interval": [rounded(brier.low), rounded(brier.high)],
        "brier_mean": interval_output(verification.mean_brier(model, source)),
        "crps_mm_h": rounded(crps.value),
        "crps_mm_h_interval": [rounded(crps.low), rounded(crps.high)],
        "crps_mm_h_mean": interval_output(verification.mean_crps(model, source)),
        "decomposition": {name: rounded(values) for name, values in zip(DECOMPOSITION, by_lead, strict=True)},
        "decomposition_mean": {
            name: {
                "value": rounded(terms.value[:, row]),
                "low": rounded(terms.low[:, row]),
                "high": rounded(terms.high[:, row]),
            }
            for row, name in enumerate(DECOMPOSITION)
        },
        "roc_area": rounded(verification.roc_area(model, source)),
        "roc_area_mean": interval_output(verification.mean_roc_area(model, source)),
        "reliability": _reliability(verification, model, source),
        "largest_deviation": rounded(deviation),
        "largest_deviation_by_lead": rounded(deviation_by_lead),
    }


def _reliability(verification: ProbabilisticVerification, model: str, source: str) -> dict[str, Any]:
    """Return the reliability diagram over all leads, by threshold and bin."""
    curve = verification.reliability_curve(model, source)
    observed = verification.observed_share_intervals(model, source)
    return {
        "pixels": [[int(count) for count in counts] for counts in curve.pixels],
        "forecast": rounded(curve.forecast),
        "observed": rounded(curve.observed),
        "observed_interval": [rounded(observed.low), rounded(observed.high)],
    }


def _members(verification: ProbabilisticVerification, model: str) -> dict[str, Any]:
    """Return the scores that only members have: spread over error, and the rank histograms over all leads."""
    spread_error = verification.spread_error(model)
    output: dict[str, Any] = {
        "spread_error": rounded(spread_error.value),
        "spread_error_interval": [rounded(spread_error.low), rounded(spread_error.high)],
        "spread_error_mean": interval_output(verification.mean_spread_error(model)),
    }
    for name, ranks in zip(("ranks", "ranks_where_wet"), verification.ranks(model), strict=True):
        output[name] = [int(count) for count in ranks.sum(axis=-1)]
        output[f"{name}_over_mean"] = rounded(rank_share(ranks.sum(axis=-1)))
    return output


def _areas(verification: ProbabilisticVerification, model: str) -> dict[str, Any]:
    """Return the scores of totals over areas (mm), and their counts."""
    totals, starts = verification.area_counts(model)
    output: dict[str, Any] = {"totals": totals, "starts": starts}
    for score, found in verification.area_scores(model).items():
        output[f"{score}_mm"] = interval_output(found)
    if "crps_mm" in output:
        ranks = verification.area_ranks(model)
        output |= {"ranks": [int(count) for count in ranks], "ranks_over_mean": rounded(rank_share(ranks))}
    return output


def _spectrum(verification: ProbabilisticVerification, model: str) -> dict[str, Any]:
    """Return the power by half octave of each field and of the members over that of the truth, by lead (minutes)."""
    names, power = verification.power(model)
    accumulators = verification.accumulators[model]
    output = {}
    for lead in accumulators.spectrum_leads:
        bands = [average_half_octaves(one[:, lead], accumulators.shape) for one in power]
        output[f"{verification.lead_minutes[lead]:g}"] = {
            name: rounded(ratio(band, bands[0])) for name, band in zip(names[1:], bands[1:], strict=True)
        }
    return output


def _differences(verification: ProbabilisticVerification, model: str, other: str) -> dict[str, Any]:
    """Return the scores, mean over leads, of a model minus another's, and what the paired intervals say."""
    brier = [
        _difference(verification.brier_difference(model, other, threshold))
        for threshold in verification.protocol.thresholds_mm_h
    ]
    output: dict[str, Any] = {"brier": brier, "crps_mm_h": _difference(verification.crps_difference(model, other))}
    areas = verification.area_difference(model, other)
    if areas is not None:
        output["area_crps_mm"] = _difference(areas)
    return output


def _difference(found: Interval) -> dict[str, Any]:
    return {
        "value": rounded(found.value),
        "low": rounded(found.low),
        "high": rounded(found.high),
        "conclusion": conclusion(found),
    }


def conclusion(difference: Interval) -> str:
    """Return what a paired difference says: `lower`, `higher`, `cannot be told apart`, or that it has no interval."""
    if not np.isfinite([difference.low, difference.high]).all():
        return NO_INTERVAL
    if difference.low <= 0 <= difference.high:
        return ALIKE
    return "lower" if difference.high < 0 else "higher"


def score_of(model: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401  (JSON)
    """Return a score of the source that a model of an `Output` is compared by."""
    return model[model["compared_by"]][name]
