"""Runs a probabilistic verification: forecasts every case with every model, lead by lead, and adds up the scores."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from model.core.errors import InputError
from model.core.forecast_output import ForecastOutput
from model.core.model_info import ModelInfo
from model.core.rain_distribution import RainDistribution
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.data.archive import Archive
from model.runtime.predictor import Predictor
from model.runtime.request import ForecastRequest
from model.verify.cases import ForecastCase
from model.verify.masking import CommonMasking
from model.verify.probabilistic.accumulators import MEMBERS, Accumulators, HourTotals, area_side_px
from model.verify.probabilistic.forecast import LeadForecast, Mask, lead_forecast
from model.verify.probabilistic.protocol import ProbabilisticProtocol
from model.verify.probabilistic.verification import ProbabilisticVerification
from model.verify.probabilistic.window import Window, cropped_around, wettest_window, window_shape
from model.verify.run import weights_digests, with_baselines
from model.verify.schedule import ProgressCallback, Schedule, no_start_time
from model.verify.steps import MembersInfo, Steps


def verify_probabilities(
    archive: Archive,
    predictors: Sequence[Predictor],
    protocol: ProbabilisticProtocol,
    progress: ProgressCallback = lambda done, total: None,
) -> ProbabilisticVerification:
    """Score the probabilities, members and fields of `predictors`, persistence and extrapolation over an archive.

    One lead time of each model is in memory at a time, and the total rain of each member in the window.

    Parameters
    ----------
    archive : Archive
        The archive, or a split of one.
    predictors : sequence of Predictor
        The models to compare, each with a reference of its own.
    protocol : ProbabilisticProtocol
        What a score means.
    progress : callable
        See `ProgressCallback`.

    Raises
    ------
    TooFewFrames
        The archive has no start time with all of its frames.
    InputError
        A model does not fit the archive, or lacks probabilities that are scored.
    """
    predictors = with_baselines(predictors)
    for each in predictors:
        _check_model(each.info, protocol)
    context_length, lead_count = protocol.case_size(archive, max(each.info.input_frames for each in predictors))
    if not lead_count:
        raise no_start_time(archive, context_length, lead_count)
    schedule = Schedule.of(archive, protocol.selection, context_length, lead_count)
    shape = window_shape(archive.grid.shape, protocol.window_px)
    run = _Run(
        archive=archive,
        protocol=protocol,
        predictors=predictors,
        sums={
            each.info.reference: Accumulators(
                protocol=protocol, lead_minutes=schedule.lead_minutes, blocks=len(schedule.blocks), shape=shape
            )
            for each in predictors
        },
    )
    damaged = schedule.score(lambda index, block: run.score(schedule.cases[index], block), progress)
    starts = len(schedule.cases) - len(damaged)
    return ProbabilisticVerification(
        protocol=protocol,
        lead_minutes=schedule.lead_minutes,
        days=tuple(map(str, schedule.days)),
        blocks=len(schedule.blocks),
        short_blocks=schedule.short_blocks,
        starts=starts,
        archive=archive,
        accumulators=run.sums,
        methods={
            each.info.reference: MEMBERS if isinstance(each, Steps) else each.probability_method for each in predictors
        },
        variants={each.info.reference: each.variant for each in predictors},
        weights=weights_digests(predictors),
        seconds_per_nowcast={name: seconds / starts for name, seconds in run.seconds.items()},
        damaged=damaged,
    )


def _check_model(info: ModelInfo, protocol: ProbabilisticProtocol) -> None:
    """Check that a model gives what is scored.

    Raises
    ------
    InputError
        It gives nothing but members, and none are asked for; or its distribution begins above the lowest threshold.
    """
    if isinstance(info, MembersInfo) and not protocol.members:
        raise InputError(
            f"{info.reference} has no probabilities but the shares of members", where="members", hint="Ask for members"
        )
    if protocol.thresholds_mm_h[0] < info.first_threshold_mm_h:
        raise InputError(
            f"{info.reference} forecasts no probability of less than {info.first_threshold_mm_h:g} mm/h, and "
            f"{protocol.thresholds_mm_h[0]:g} mm/h is scored",
            where="model",
            hint="Train a model with a lower first threshold",
        )


@dataclass(kw_only=True)
class _Run:
    """The state of a verification that is running."""

    archive: Archive
    protocol: ProbabilisticProtocol
    predictors: Sequence[Predictor]
    sums: Mapping[str, Accumulators]
    seconds: dict[str, float] = field(default_factory=dict)

    def score(self, case: ForecastCase, block: int) -> None:
        """Forecast one case with every model, all of them one lead time after the other, and add it to the sums."""
        masking, protocol = CommonMasking(), self.protocol
        context = masking.read_context(self.archive, case.context_times)
        # All true frames are read before anything is added: a damaged frame leaves out the whole case.
        truths = [masking.read_truth(self.archive, time)[0] for time in case.valid_times]
        window = wettest_window(truths, protocol.window_px)
        context, inner = cropped_around(context, window, protocol.margin_px(self.archive))
        forecasts = {
            each.info.reference: self._forecasts(each, context, case.lead_minutes, inner) for each in self.predictors
        }
        totals = HourTotals(
            side_px=area_side_px(protocol.area_km, self.archive.grid.pixel_size_m),
            share=protocol.area_share,
            hours=self.archive.step_minutes / 60,
        )
        for lead, whole in enumerate(truths):
            truth = whole[window]
            at_lead = {model: next(forecast) for model, forecast in forecasts.items()}
            scored = self._scored(truth, at_lead)
            for model, forecast in at_lead.items():
                self.sums[model].add(block, lead, forecast, truth, scored, case.start)
            totals.add(at_lead, truth, scored)
        truth, by_model = totals.areas()
        for model, total in by_model.items():
            self.sums[model].add_areas(block, total, truth, case.start)

    @staticmethod
    def _scored(truth: FloatArray, forecasts: Mapping[str, LeadForecast]) -> Mask:
        """Return the pixels where the truth and everything that any model forecasts are known [y, x]."""
        known = np.isfinite(truth)
        for forecast in forecasts.values():
            known &= forecast.known()
        return known

    def _forecasts(
        self, predictor: Predictor, context: FrameSequence, lead_minutes: Sequence[float], window: Window
    ) -> Iterator[LeadForecast]:
        """Yield what a model forecasts for each lead time, in the window."""
        info = predictor.info
        thresholds = info.distribution.thresholds_mm_h if info.distribution else self._thresholds
        members = self.protocol.members if info.makes_members else 0
        output = ForecastOutput(thresholds_mm_h=thresholds, members=members, seed=self.protocol.seed)
        where = f"{self.archive.root} at {context.reference_time}Z"
        started = time.perf_counter()
        try:
            request = ForecastRequest.fit(context, info, len(lead_minutes), output=output)
            for event in predictor.forecast([request]):
                if event.error is not None:
                    raise event.error
                if event.frame is None:
                    continue
                forecast = lead_forecast(event, info, lead_minutes[event.step - 1], thresholds)
                self._clock(info.reference, started)
                yield _in_window(forecast, window)
                started = time.perf_counter()
        except InputError as error:
            raise InputError(error.what, where=where, hint=error.hint) from None
        self._clock(info.reference, started)

    @property
    def _thresholds(self) -> tuple[float, ...]:
        return self.protocol.distribution_thresholds_mm_h

    def _clock(self, model: str, started: float) -> None:
        self.seconds[model] = self.seconds.get(model, 0.0) + time.perf_counter() - started


def _in_window(forecast: LeadForecast, window: Window) -> LeadForecast:
    rows, columns = window
    distribution = forecast.distribution
    if distribution is not None:
        distribution = RainDistribution(
            distribution.thresholds_mm_h, distribution.exceedance[:, rows, columns], distribution.tail_mm_h
        )
    return LeadForecast(
        fields={name: frame[rows, columns] for name, frame in forecast.fields.items()},
        distribution=distribution,
        members=None if forecast.members is None else forecast.members[:, rows, columns],
    )
