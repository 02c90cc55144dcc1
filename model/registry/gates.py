"""The gates of a promotion to champion: what each compares, and the condition to pass.

An inconclusive gate (too little rain in the archive, a package that is not installed) does not pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from model.core.aliases import Gate
from model.core.bootstrap import MIN_BLOCKS
from model.core.contingency import paired_means
from model.core.promotion import FEWEST_EVENTS

if TYPE_CHECKING:
    from model.core.bootstrap import Interval
    from model.verify.probabilistic.verification import ProbabilisticVerification
    from model.verify.verification import Verification

BEAT_AT_MINUTES: Final = (30.0, 60.0)
HEAVY_MM_H: Final = 10.0
BESIDE_CHAMPION: Final = ("csi", "brier", "crps")
"""Gates that compare a model with the champion."""

STEP_SHARE: Final = 0.2
"""Share of the archive's time step that a nowcast may take; the rest is for reading, writing and other feeds."""


def insufficient_rain(events: NDArray[np.float64]) -> str:
    """Return why an archive has too little rain at a threshold, given its pixels [block]; empty where it has enough."""
    blocks, pixels = int(np.count_nonzero(events)), int(events.sum())
    if blocks < MIN_BLOCKS or pixels < FEWEST_EVENTS:
        return (
            f"the archive holds too little such rain: {pixels} pixels in {blocks} blocks of time, "
            f"{FEWEST_EVENTS} in {MIN_BLOCKS} are needed"
        )
    return ""


def csi_gate(
    scored: Verification, model: str, champion: str, threshold: float, inconclusive: str, archive: str
) -> Gate:
    """Compare the CSI, mean over leads, with the champion's: the paired interval must not lie below 0.

    `inconclusive`: why the archive allows no conclusion; empty where it does.
    """
    gate = partial(Gate, gate="csi", what=f"CSI at {threshold:g} mm/h beside {champion}", archive=archive)
    if inconclusive:
        return gate(passed=None, note=inconclusive)
    found = scored.csi_difference(model, champion, threshold)
    if not np.isfinite([found.value, found.low, found.high]).all():
        note = "the archive has too few blocks of time for an interval"
        note = note if np.isfinite(found.value) else "no events"
        return gate(passed=None, note=note)
    passed, note = (True, "") if found.high >= 0 else (False, "the interval lies below 0")
    return gate(passed=passed, value=found.value, low=found.low, high=found.high, limit=0.0, note=note)


def extrapolation_gates(
    scored: Verification, model: str, extrapolation: str, inconclusive: Mapping[float, str], archive: str
) -> list[Gate]:
    """Compare CSI at 30 and 60 min with extrapolation: the mean over thresholds and heavy rain must both be higher.

    `inconclusive`: for each threshold of the protocol, in order, why the archive allows no conclusion (empty: it
    does). The mean leaves inconclusive thresholds out.
    """
    csi, reference = scored.csi(model), scored.csi(extrapolation)
    conclusive = [threshold for threshold, why in inconclusive.items() if not why]
    others = ", ".join(f"{threshold:g}" for threshold in inconclusive if threshold not in conclusive)
    left_out = f"without {others} mm/h, of which the archive holds too little" if others else ""
    none = "" if conclusive else "the archive holds too little rain at every threshold"
    no_heavy = inconclusive.get(HEAVY_MM_H, "the protocol has no such threshold")
    compared = (
        ("mean over thresholds", conclusive, none, left_out),
        (f"at {HEAVY_MM_H:g} mm/h", [HEAVY_MM_H], no_heavy, ""),
    )
    gate = partial(Gate, gate="extrapolation", archive=archive, limit=0.0)
    gates = []
    for minutes in BEAT_AT_MINUTES:
        lead = _lead_near(scored.lead_minutes, minutes)
        for label, thresholds, problem, remark in compared:
            why, value = problem, float("nan")
            if lead is None:
                why = "the protocol's leads do not reach it"
            elif not why:
                rows = [list(inconclusive).index(threshold) for threshold in thresholds]
                first, second = paired_means(csi[rows, lead], reference[rows, lead])
                value = float(first - second)
                why = "" if np.isfinite(value) else "no events"
            what = f"CSI {label} at {minutes:g} min beside extrapolation"
            passed, shown = (None, None) if why else (value > 0, value)
            gates.append(gate(what=what, passed=passed, value=shown, note=why or remark))
    return gates


def probability_gates(
    scored: ProbabilisticVerification, model: str, champion: str, inconclusive: Mapping[float, str], archive: str
) -> list[Gate]:
    """Compare Brier scores and CRPS, mean over leads, with the champion's: no paired interval must lie above 0.

    `inconclusive`: for each threshold, why the archive allows no conclusion (empty: it does). CRPS needs one threshold
    that allows one.
    """
    gate = partial(Gate, gate="brier", archive=archive)
    gates = []
    for threshold, why in inconclusive.items():
        what = f"Brier score at {threshold:g} mm/h beside {champion}"
        found = None if why else scored.brier_difference(model, champion, threshold)
        gates.append(_not_above_zero(partial(gate, what=what), found, why))
    why = "" if not all(inconclusive.values()) else next(iter(inconclusive.values()))
    found = None if why else scored.crps_difference(model, champion)
    crps = partial(Gate, gate="crps", archive=archive, what=f"CRPS (mm/h) beside {champion}")
    return [*gates, _not_above_zero(crps, found, why)]


def _not_above_zero(gate: Callable[..., Gate], found: Interval | None, inconclusive: str) -> Gate:
    if found is None:
        return gate(passed=None, note=inconclusive)
    if not np.isfinite([found.value, found.low, found.high]).all():
        return gate(passed=None, note="the archive has too few blocks of time for an interval")
    passed, note = (True, "") if found.low <= 0 else (False, "the interval lies above 0")
    return gate(passed=passed, value=found.value, low=found.low, high=found.high, limit=0.0, note=note)


def discount_seen_days(gates: Sequence[Gate], candidate: str, champion: str) -> list[Gate]:
    """Adjust the gates of an archive for days that the candidate or the champion was trained on or chosen by.

    Scores on such days do not generalise: a candidate passes no gate with them. Where the champion has the advantage,
    a candidate that scores lower does not fail.

    Parameters
    ----------
    gates
        Gates with scores on one archive.
    candidate, champion
        Clauses that describe such days of each; empty without any.
    """
    adjusted = []
    for gate in gates:
        passed, notes = gate.passed, [gate.note]
        if candidate:
            passed = None if passed else passed
            notes.append(f"{candidate}: no gate passes on such days")
        if champion and gate.gate in BESIDE_CHAMPION:
            passed = passed or None
            notes.append(f"{champion}, which gives it an advantage")
        adjusted.append(gate.model_copy(update={"passed": passed, "note": "; ".join(filter(None, notes))}))
    return adjusted


def latency_gate(seconds: Sequence[float], limit: float, archive: str, about: str) -> Gate:
    """Compare the median duration of nowcasts with the limit, in seconds. `about`: what ran."""
    gate = partial(Gate, gate="latency", what="seconds per nowcast", archive=archive, limit=limit)
    if not seconds:
        return gate(passed=None, note="the archive holds no rain to time nowcasts on")
    median = float(np.median(seconds))
    return gate(passed=median <= limit, value=median, note=about)


def _lead_near(lead_minutes: Sequence[float], minutes: float) -> int | None:
    """Return the index of the nearest lead time; None where none is within half a time step."""
    away = np.abs(np.array(lead_minutes) - minutes)
    nearest = int(np.argmin(away))
    return nearest if away[nearest] <= lead_minutes[0] / 2 + 1e-6 else None
