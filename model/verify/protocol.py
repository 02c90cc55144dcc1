"""Protocols: what exactly a score means. Two protocols never stand in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from model.core.errors import InputError, TooFewFrames
from model.core.sequence import FrameSequence
from model.data.archive import Archive
from model.runtime.predictor import Predictor, nowcast
from model.verify.scores import Contingency


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Start times every `stride_minutes`, leads to `horizon_minutes`; counts pooled over start times, by lead.

    A pixel is scored where the truth and the forecast of every model that is compared hold data.
    """

    name: str
    horizon_minutes: float
    stride_minutes: float
    thresholds_mm_h: tuple[float, ...]
    description: str


NOWCAST_60: Final = Protocol(
    name="nowcast-60@1",
    horizon_minutes=60,
    stride_minutes=30,
    thresholds_mm_h=(0.5, 2.0, 5.0, 10.0),
    description=(
        "start times every 30 min; leads at the archive's own time step to 60 min; counts pooled over all start times "
        "and pixels, by lead; a pixel counts where the truth and every compared forecast hold data; "
        "an event is rain >= threshold"
    ),
)
PROTOCOLS: Final[Mapping[str, Protocol]] = MappingProxyType({"nowcast-60": NOWCAST_60})


def start_indices(archive: Archive, protocol: Protocol, context: int) -> Iterator[tuple[list[int], list[int]]]:
    """Indices of the context frames and of the lead frames of each start time; a gap leaves the start time out."""
    seconds = archive.times.astype("int64")
    step = round(archive.step_minutes * 60)
    leads = int(protocol.horizon_minutes * 60 // step)
    at = {int(second): index for index, second in enumerate(seconds)}
    last_start = -(10**12)
    for start in seconds:
        before = [at.get(int(start) - step * back) for back in range(context - 1, -1, -1)]
        after = [at.get(int(start) + step * lead) for lead in range(1, leads + 1)]
        known_before = [index for index in before if index is not None]
        known_after = [index for index in after if index is not None]
        due = int(start) - last_start >= protocol.stride_minutes * 60
        if due and len(known_before) == context and len(known_after) == leads:
            last_start = int(start)
            yield known_before, known_after


def verify(
    archive: Archive,
    predictors: Sequence[Predictor],
    protocol: Protocol,
    report: Callable[[int], None] = lambda starts: None,
) -> tuple[dict[str, Contingency], int]:
    """Counts of each model, by its reference, and how many start times there were; memory does not grow with them.

    Raises:
        TooFewFrames: no start time has all its frames.
    """
    context = max(predictor.info.input_frames for predictor in predictors)
    leads = int(protocol.horizon_minutes // archive.step_minutes)
    counts = {p.info.reference: Contingency.empty(protocol.thresholds_mm_h, leads) for p in predictors}
    starts = 0
    for before, after in start_indices(archive, protocol, context):
        sequence = FrameSequence(
            rain_rate=np.stack([archive.read(archive.times[index]) for index in before]),
            times=archive.times[before],
            grid=archive.grid,
        )
        try:
            forecasts = {p.info.reference: nowcast(sequence, p, leads).rain_rate for p in predictors}
        except InputError as error:
            raise InputError(
                error.what, where=f"{archive.root} at {archive.times[before[-1]]}Z", mend=error.mend
            ) from None
        for lead, index in enumerate(after):
            truth = archive.read(archive.times[index])
            scored = np.isfinite(truth)
            for forecast in forecasts.values():
                scored &= np.isfinite(forecast[lead])
            for name, forecast in forecasts.items():
                counts[name].add(lead, forecast[lead], truth, scored)
        starts += 1
        report(starts)
    if not starts:
        raise TooFewFrames(
            f"no start time has {context} frames before and {leads} after it",
            where=str(archive.root),
            mend="Import more frames without gaps",
        )
    return counts, starts
