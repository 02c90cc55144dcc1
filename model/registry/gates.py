"""The gates before `champion`: what each compares, and when it lets a model through. Figures in, verdicts out.

A gate that cannot judge (too little rain in the archive, a package that is not installed) does not let a model through.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from model.core.aliases import Gate

BEAT_AT_MINUTES: Final = (30.0, 60.0)
HEAVY_MM_H: Final = 10.0
FEWEST_BLOCKS: Final = 3
FEWEST_EVENTS: Final = 1000
"""An archive tells of a threshold where rain reaches it in so many blocks of time and pixels, over all leads."""

STEP_SHARE: Final = 0.2
"""A nowcast may take this much of the archive's time step: the rest is for reading, writing and other feeds."""


class Between(Protocol):
    """A value and its 95 % interval; NaN where there is nothing to count."""

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


def too_little(events: NDArray[np.float64]) -> str:
    """Why an archive cannot tell of a threshold, from the pixels that reached it, by block of time; '' where it can."""
    blocks, pixels = int(np.count_nonzero(events)), int(events.sum())
    if blocks < FEWEST_BLOCKS or pixels < FEWEST_EVENTS:
        return (
            f"the archive holds too little of it: {pixels} pixels in {blocks} blocks of time, "
            f"{FEWEST_EVENTS} in {FEWEST_BLOCKS} are needed"
        )
    return ""


def csi_gate(scored: Scored, model: str, champion: str, threshold: float, unsaid: str, archive: str) -> Gate:
    """CSI, mean over leads: the paired interval of its difference to the champion's must not lie below 0.

    `unsaid`: why the archive cannot tell, if so.
    """
    what = f"CSI at {threshold:g} mm/h beside {champion}"
    if unsaid:
        return Gate(gate="csi", what=what, archive=archive, passed=None, note=unsaid)
    found = scored.csi_difference(model, champion, threshold)
    if not np.isfinite([found.value, found.low, found.high]).all():
        return Gate(gate="csi", what=what, archive=archive, passed=None, note="there is nothing to count")
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
    scored: Scored, model: str, extrapolation: str, thresholds: Sequence[float], unsaid_heavy: str, archive: str
) -> list[Gate]:
    """CSI at 30 and at 60 min, mean over thresholds and of heavy rain: each must be above extrapolation's."""
    gates = []
    ours, its = scored.csi(model), scored.csi(extrapolation)
    for minutes in BEAT_AT_MINUTES:
        lead = _lead_near(scored.lead_minutes, minutes)
        for heavy in (False, True):
            of = f"at {HEAVY_MM_H:g} mm/h" if heavy else "mean over thresholds"
            what = f"CSI {of} at {minutes:g} min beside extrapolation"
            note = unsaid_heavy if heavy else ""
            if lead is None:
                note = "the protocol's leads do not reach it"
            elif heavy and HEAVY_MM_H not in thresholds:
                note = "the protocol has no such threshold"
            value = float("nan")
            if not note and lead is not None:
                rows = [thresholds.index(HEAVY_MM_H)] if heavy else list(range(len(thresholds)))
                value = _mean_difference(ours[rows, lead], its[rows, lead])
                note = "" if np.isfinite(value) else "there is nothing to count"
            known = not note
            gates.append(
                Gate(
                    gate="extrapolation",
                    what=what,
                    archive=archive,
                    passed=value > 0 if known else None,
                    value=value if known else None,
                    limit=0.0,
                    note=note,
                )
            )
    return gates


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


def _mean_difference(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Mean of the differences that are known; NaN where none is."""
    difference = one - other
    known = difference[np.isfinite(difference)]
    return float(known.mean()) if known.size else float("nan")
