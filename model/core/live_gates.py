"""The gates of a promotion by the live skill of a challenger on a feed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from model.core.aliases import Gate
from model.core.model_info import EXTRAPOLATION, ModelInfo
from model.core.promotion import FEWEST_EVENTS, Evaluation


def compared_models(candidate: ModelInfo, champion: ModelInfo) -> list[str]:
    """Return the versions whose live skill is needed, the candidate first."""
    return list(dict.fromkeys((candidate.reference, champion.reference, EXTRAPOLATION.reference)))


def live_evaluation(champion: ModelInfo, feed: str, skill: Mapping[str, Any]) -> Evaluation:
    """Compare a challenger of a feed with the champion and with extrapolation, on the same live cases.

    Where there are too few cases, gates are inconclusive; thresholds that it has rained too little for are left out.
    Latency and parity are no gates here: the challenger has run in the service.

    Parameters
    ----------
    champion
        The model that `auto` resolves to.
    feed
        Name of the feed.
    skill
        Of `compared_models`, the JSON of `GET /v1/feeds/{feed}/skill`.
    """
    events = {each["threshold_mm_h"]: sum(each["pixels"]) for each in skill["observed"]}
    gates, why = [], "" if skill["enough"] else skill["comment"]
    for found in skill["differences"]:
        threshold = found["threshold_mm_h"]
        if events[threshold] < FEWEST_EVENTS:
            continue
        if found["other"] == champion.reference:
            gates += _beside_champion(found, champion.reference, why)
        if found["other"] == EXTRAPOLATION.reference:
            what = f"live CSI at {threshold:g} mm/h beside extrapolation"
            gate = partial(Gate, gate="extrapolation", what=what, limit=0.0)
            gates.append(_judged(gate, found["csi_mean"], why, lambda value, low, high: value > 0))
    if not gates:
        gates = [Gate(gate="csi", what="live skill", passed=None, note=why or "too little rain")]
    return Evaluation(
        gates=tuple(gates), champion=champion.reference, protocol=f"live skill of the feed {feed}", archives={}
    )


def _beside_champion(found: Mapping[str, Any], champion: str, why: str) -> list[Gate]:
    threshold = found["threshold_mm_h"]
    csi = partial(Gate, gate="csi", what=f"live CSI at {threshold:g} mm/h beside {champion}", limit=0.0)
    gates = [_judged(csi, found["csi_mean"], why, lambda value, low, high: high >= 0)]
    if found["brier_mean"] is not None:
        brier = partial(Gate, gate="brier", what=f"live Brier score at {threshold:g} mm/h beside {champion}", limit=0.0)
        gates.append(_judged(brier, found["brier_mean"], why, lambda value, low, high: low <= 0))
    return gates


def _judged(
    gate: Callable[..., Gate],
    score: Mapping[str, float | None],
    why: str,
    passes: Callable[[float, float, float], bool],
) -> Gate:
    value, low, high = (score[name] for name in ("value", "low", "high"))
    if why or value is None or low is None or high is None:
        return gate(passed=None, note=why or "no events, or too few hours of them for an interval")
    return gate(passed=passes(value, low, high), value=value, low=low, high=high)
