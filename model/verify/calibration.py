"""Fit the calibration of neighbourhood probabilities, and score them, on forecasts over archives.

Isotonic regression (Zadrozny and Elkan 2002, doi:10.1145/775047.775151) of whether rain reaches a threshold on the
share of the forecast's neighbourhood that does, by threshold and lead time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.core.errors import InputError
from model.core.isotonic import isotonic_regression
from model.core.probability_calibration import KNOTS, CalibrationArchive, ProbabilityCalibration
from model.core.rain_distribution import THRESHOLDS_MM_H
from model.core.units import FloatArray
from model.data.archive import Archive, DamagedFrame
from model.data.radar_dataset import Holdout, holdout_regions
from model.runtime.neighbourhood import neighbourhood_px, neighbourhood_shares
from model.runtime.predictor import Predictor
from model.runtime.request import ForecastRequest
from model.verify.cases import RegularStarts
from model.verify.protocols import NOWCAST_60
from model.verify.schedule import ProgressCallback

Part = Literal["train", "held-out", "whole"]

SELECTION: Final = RegularStarts(horizon_minutes=60, stride_minutes=15)
MAX_STARTS: Final = 24
"""Start times of one archive, spread evenly: a long one must not outweigh the others."""
LEAD_MINUTES: Final = (5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0)
ENOUGH_PIXELS: Final = 250_000
"""Of larger frames every n-th row and column is read: neighbourhoods overlap, and more pixels tell nothing new."""
PROTOCOL: Final = (
    "start times every 15 min, up to 24 of an archive, of the part that training reads (no held-out times, or columns "
    "of short archives), leads at the time step of the archive to 60 min; every start time weighs the same; a pixel "
    "counts where the truth and the forecast hold data; an event is rain >= threshold"
)


class Pair(NamedTuple):
    """A forecast frame and the true frame [y, x] (mm h-1) of a lead time, and the pixels that count.

    `weight`: over the number of leads, so that every start time weighs the same.
    """

    start: np.datetime64
    weight: float
    lead_minutes: float
    forecast: FloatArray
    truth: FloatArray
    scored: NDArray[np.bool_]


def _zeros() -> NDArray[np.float64]:
    return np.zeros((len(THRESHOLDS_MM_H), len(LEAD_MINUTES), len(KNOTS)))


@dataclass(frozen=True, eq=False)
class CalibrationSums:
    """Weights and events by threshold, lead time and knot of the share [threshold, lead time, share].

    A pixel between two knots counts for both, by its distance; a lead time between two likewise.
    """

    weight: NDArray[np.float64] = field(default_factory=_zeros)
    events: NDArray[np.float64] = field(default_factory=_zeros)

    def add(self, row: int, lead_minutes: float, shares: FloatArray, events: NDArray[np.bool_], total: float) -> None:
        """Add the pixels of one threshold and lead time; they weigh `total` together."""
        for column, lead_weight in _hat(lead_minutes, LEAD_MINUTES):
            for sums, chosen in ((self.weight, shares), (self.events, shares[events])):
                sums[row, column] += _hat_counts(chosen) * (total * lead_weight / max(1, shares.size))

    def calibration(self, archives: Sequence[CalibrationArchive], protocol: str = PROTOCOL) -> ProbabilityCalibration:
        """Return the isotonic regression; lead times without pixels are left out."""
        leads = np.flatnonzero(self.weight.sum(axis=(0, 2)) > 0)
        table = np.stack(
            [
                [isotonic_curve(self.events[row, lead], self.weight[row, lead]) for lead in leads]
                for row in range(len(THRESHOLDS_MM_H))
            ]
        )
        table = table.round(5)
        return ProbabilityCalibration(
            protocol=protocol,
            archives=tuple(archives),
            thresholds_mm_h=THRESHOLDS_MM_H,
            lead_minutes=tuple(LEAD_MINUTES[lead] for lead in leads),
            shares=KNOTS,
            probabilities=table.tolist(),
        )


def isotonic_curve(events: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the isotonic regression of event rates at `KNOTS`; between knots with pixels it is interpolated."""
    seen = weight > 0
    rates = np.clip(events[seen] / weight[seen], 0, 1)
    fitted = isotonic_regression(rates, weight[seen])
    return np.asarray(np.interp(KNOTS, np.asarray(KNOTS)[seen], fitted))


def fit_calibration(
    predictor: Predictor, archives: Sequence[Archive], progress: ProgressCallback = lambda done, total: None
) -> ProbabilityCalibration:
    """Fit the calibration of a model's neighbourhood probabilities on the training part of archives.

    Raises
    ------
    InputError
        No archive has a start time that the model can forecast from, or the model does not fit an archive.
    """
    sums, used = CalibrationSums(), []
    for done, archive in enumerate(archives):
        progress(done, len(archives))
        starts = set()
        for pair in forecast_pairs(predictor, archive, "train"):
            starts.add(pair.start)
            index, size = thinned(pair.scored), neighbourhood_px(archive.grid, pair.lead_minutes)
            shares = neighbourhood_shares(pair.forecast, THRESHOLDS_MM_H, size)
            for row, (threshold, share) in enumerate(zip(THRESHOLDS_MM_H, shares, strict=True)):
                events = pair.truth[index] >= np.float32(threshold)
                sums.add(row, pair.lead_minutes, share[index], events, pair.weight)
        if starts:
            days = tuple(sorted({str(start.astype("datetime64[D]")) for start in starts}))
            record = CalibrationArchive(name=archive.name, digest=archive.digest(), days=days, starts=len(starts))
            used.append(record)
    progress(len(archives), len(archives))
    if not used:
        raise InputError(
            "no archive has a start time with 60 minutes of frames after it, before its held-out part",
            where=", ".join(str(archive.root) for archive in archives),
            hint="Give longer archives",
        )
    return sums.calibration(used)


def forecast_pairs(predictor: Predictor, archive: Archive, part: Part) -> Iterator[Pair]:
    """Yield the pair of every lead of every start time of a part of an archive, without damaged frames.

    Raises
    ------
    InputError
        The model does not fit the archive.
    """
    train, held_out = holdout_regions(archive, Holdout())
    region = {"train": train, "held-out": held_out, "whole": {}}[part]
    left, right = region.get("columns", (0, archive.grid.shape[1]))
    counted = np.zeros(archive.grid.shape, np.bool_)
    counted[:, left:right] = True
    times = region.get("times", archive.times)
    cases = list(SELECTION.cases(times, archive.step_minutes, predictor.info.input_frames))
    chosen = np.linspace(0, len(cases) - 1, min(MAX_STARTS, len(cases))).round().astype(int).tolist()
    for case in [cases[index] for index in chosen]:
        try:
            context = NOWCAST_60.masking.read_context(archive, case.context_times)
            request = ForecastRequest.fit(context, predictor.info, case.steps)
        except DamagedFrame:
            continue
        except InputError as error:
            raise InputError(error.what, where=f"{archive.root} at {case.start}Z", hint=error.hint) from None
        for event in predictor.forecast([request]):
            if event.error is not None:
                raise event.error
            if event.frame is None:
                continue
            with suppress(DamagedFrame):
                truth = archive.read(case.valid_times[event.step - 1])
                scored = counted & np.isfinite(event.frame) & np.isfinite(truth)
                lead_minutes = case.lead_minutes[event.step - 1]
                yield Pair(case.start, 1 / case.steps, lead_minutes, event.frame, truth, scored)


def thinned(scored: NDArray[np.bool_]) -> tuple[NDArray[np.intp], ...]:
    """Return the index of the scored pixels of every n-th row and column, of about `ENOUGH_PIXELS` at most."""
    stride = int(np.ceil(np.sqrt(scored.size / ENOUGH_PIXELS)))
    rows, columns = np.nonzero(scored[::stride, ::stride])
    return rows * stride, columns * stride


def _hat(value: float, knots: Sequence[float]) -> list[tuple[int, float]]:
    """Return the knots around a value, and the weight of each."""
    position = float(np.interp(value, knots, np.arange(len(knots))))
    lower = int(position)
    weight = position - lower
    return [(lower, 1 - weight), (lower + 1, weight)] if weight else [(lower, 1.0)]


def _hat_counts(shares: FloatArray) -> NDArray[np.float64]:
    """Return how many shares count for each of `KNOTS`."""
    above = shares[shares > 0]
    position = np.interp(above, KNOTS, np.arange(len(KNOTS)))
    lower = position.astype(np.intp)
    weight = position - lower
    count = len(KNOTS)
    counts = np.bincount(lower, 1 - weight, count + 1) + np.bincount(lower + 1, weight, count + 1)
    counts[0] += shares.size - above.size
    return np.asarray(counts[:count])
