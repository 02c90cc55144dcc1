"""The gates before `champion`: what each compares, and when it lets a model through. Figures in, verdicts out.

A gate that cannot judge (too little rain in the archive, a package that is not installed) does not let a model through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from model.core.aliases import Gate
from model.verify.bootstrap import MIN_BLOCKS
from model.verify.scores import paired_means

BEAT_AT_MINUTES: Final = (30.0, 60.0)
HEAVY_MM_H: Final = 10.0
FEWEST_EVENTS: Final = 1000
"""An archive tells of a threshold where rain reaches it in so many pixels, over all leads, and in MIN_BLOCKS."""

STEP_SHARE: Final = 0.2
"""A nowcast may take this much of the archive's time step: the rest is for reading, writing and other feeds."""


class Between(Protocol):
    """A value and its 95 % interval; NaN where there is nothing to count, bounds also where blocks are too few."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


class Scored(Protocol):
    """What the gates need of `model.verify.verification.Verification`."""

    @property
    def lead_minutes(self) -> tuple[float, ...]: ...
    def csi(self, model: str) -> NDArray[np.float64]: ...
    def csi_difference(
        self, model: str, other: str, threshold_mm_h: float, lead_minutes: float | None = None
    ) -> Between: ...


def insufficient_rain(events: NDArray[np.float64]) -> str:
    """Why an archive cannot tell of a threshold, from the pixels that reached it, by block of time; '' where it can."""
    blocks, pixels = int(np.count_nonzero(events)), int(events.sum())
    if blocks < MIN_BLOCKS or pixels < FEWEST_EVENTS:
        return (
            f"the archive holds too little of it: {pixels} pixels in {blocks} blocks of time, "
            f"{FEWEST_EVENTS} in {MIN_BLOCKS} are needed"
        )
    return ""


def csi_gate(scored: Scored, model: str, champion: str, threshold: float, inconclusive: str, archive: str) -> Gate:
    """CSI, mean over leads: the paired interval of its difference to the champion's must not lie below 0.

    `inconclusive`: why the archive cannot tell, if so.
    """
    what = f"CSI at {threshold:g} mm/h beside {champion}"
    if inconclusive:
        return Gate(gate="csi", what=what, archive=archive, passed=None, note=inconclusive)
    found = scored.csi_difference(model, champion, threshold)
    if not np.isfinite([found.value, found.low, found.high]).all():
        note = "there are too few blocks of time for an interval"
        note = note if np.isfinite(found.value) else "there is nothing to count"
        return Gate(gate="csi", what=what, archive=archive, passed=None, note=note)
    return Gate(
        gate="csi",
        what=what,
        archive=archive,
        passed=found.high >= 0,
        value=found.value,
        low=found.low,
        high=found.high,
        limit=0.0,
        note="" if found.high >= 0 else "below by more than the interval",
    )


def extrapolation_gates(
    scored: Scored, model: str, extrapolation: str, inconclusive: Mapping[float, str], archive: str
) -> list[Gate]:
    """CSI at 30 and at 60 min, mean over thresholds and of heavy rain: each must be above extrapolation's.

    `inconclusive`: for each threshold of the protocol, in order, why the archive cannot decide it (empty: it can). The
    mean leaves inconclusive thresholds out.
    """
    ours, its = scored.csi(model), scored.csi(extrapolation)
    told = [threshold for threshold, why in inconclusive.items() if not why]
    untold = ", ".join(f"{threshold:g}" for threshold in inconclusive if threshold not in told)
    left_out = f"without {untold} mm/h, of which the archive holds too little" if untold else ""
    none = "" if told else "the archive holds too little rain at every threshold"
    no_heavy = inconclusive.get(HEAVY_MM_H, "the protocol has no such threshold")
    compared = (
        ("mean over thresholds", told, none, left_out),
        (f"at {HEAVY_MM_H:g} mm/h", [HEAVY_MM_H], no_heavy, ""),
    )
    gates = []
    for minutes in BEAT_AT_MINUTES:
        lead = _lead_near(scored.lead_minutes, minutes)
        for of, thresholds, cannot, remark in compared:
            why, value = cannot, float("nan")
            if lead is None:
                why = "the protocol's leads do not reach it"
            elif not why:
                rows = [list(inconclusive).index(threshold) for threshold in thresholds]
                first, second = paired_means(ours[rows, lead], its[rows, lead])
                value = float(first - second)
                why = "" if np.isfinite(value) else "there is nothing to count"
            gates.append(
                Gate(
                    gate="extrapolation",
                    what=f"CSI {of} at {minutes:g} min beside extrapolation",
                    archive=archive,
                    passed=None if why else value > 0,
                    value=None if why else value,
                    limit=0.0,
                    note=why or remark,
                )
            )
    return gates


def discount_seen_days(gates: Sequence[Gate], candidate: str, champion: str) -> list[Gate]:
    """Scored gates of an archive of which the candidate, or the champion, has seen days, as these clauses say; '' where
    it has not.

    What a candidate reaches on what it has seen tells nothing of elsewhere, so that no gate is passed by it. Where the
    champion has the advantage, a candidate that stays behind is not refused by it.
    """
    judged = []
    for gate in gates:
        passed, notes = gate.passed, [gate.note]
        if candidate:
            passed = None if passed else passed
            notes.append(f"{candidate}, which cannot pass a gate")
        if champion and gate.gate == "csi":
            passed = passed or None
            notes.append(f"{champion}, which favours that")
        judged.append(gate.model_copy(update={"passed": passed, "note": "; ".join(filter(None, notes))}))
    return judged


def latency_gate(seconds: Sequence[float], limit: float, archive: str, about: str) -> Gate:
    """The median of the seconds that nowcasts took. `about`: what was run."""
    what = "seconds per nowcast"
    if not seconds:
        note = "the archive holds no rain to time it on"
        return Gate(gate="latency", what=what, archive=archive, passed=None, limit=limit, note=note)
    median = float(np.median(seconds))
    return Gate(
        gate="latency", what=what, archive=archive, passed=median <= limit, value=median, limit=limit, note=about
    )


def refusals(gates: Sequence[Gate]) -> list[str]:
    """What does not let the model through; of several archives one at least must tell, and none may be against it."""
    several = len({gate.archive for gate in gates if gate.archive}) > 1
    by_what: dict[str, list[Gate]] = {}
    for gate in gates:
        by_what.setdefault(gate.what, []).append(gate)
    refused = []
    for what, found in by_what.items():
        against = [gate for gate in found if gate.passed is False]
        if against or not any(gate.passed for gate in found):
            first = (against or found)[0]
            where = f" on {first.archive}" if several and first.archive else ""
            refused.append(f"{what}{where}{'' if against else ' cannot be judged'}")
    return refused


def _lead_near(lead_minutes: Sequence[float], minutes: float) -> int | None:
    """Index of the lead time nearest to this one; None where none is within half a time step."""
    away = np.abs(np.array(lead_minutes) - minutes)
    nearest = int(np.argmin(away))
    return nearest if away[nearest] <= lead_minutes[0] / 2 + 1e-6 else None
