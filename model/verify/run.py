"""Runs a verification: forecasts every case of an archive with every model, and accumulates the scores."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from model.core.errors import InputError
from model.core.extras import optional_imports
from model.core.manifest import WEIGHTS, read_manifest
from model.core.normalisation import hko7_rain_rate_mm_h
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.data.archive import Archive, DamagedFrame
from model.runtime.baselines import Extrapolation, Persistence
from model.runtime.nowcast import nowcast, rollout
from model.runtime.predictor import Predictor
from model.verify.accumulators import Accumulators, Sums
from model.verify.case_study import CaseStudy
from model.verify.cases import ForecastCase
from model.verify.frames import FramePair
from model.verify.protocols import Protocol
from model.verify.schedule import ProgressCallback, Schedule
from model.verify.verification import Verification


def verify(
    archive: Archive,
    predictors: Sequence[Predictor],
    protocol: Protocol,
    progress: ProgressCallback = lambda done, total: None,
) -> Verification:
    """Score `predictors`, persistence and extrapolation over an archive.

    Memory grows with the number of days only: the run holds the valid times of all frames, but not their pixels.

    Parameters
    ----------
    archive : Archive
        The archive, or a split of one.
    predictors : sequence of Predictor
        The models to compare, each with a reference of its own.
    protocol : Protocol
        What a score means.
    progress : callable
        See `ProgressCallback`.

    Raises
    ------
    TooFewFrames
        The archive has no start time with all of its frames.
    InputError
        A model does not fit the archive, or the archive does not fit the protocol.
    """
    predictors = with_baselines(predictors)
    if protocol.online_fine_tuning:
        predictors = list(map(_fine_tunable, predictors))
    context_length, lead_count = protocol.case_size(
        archive, max(predictor.info.input_frames for predictor in predictors)
    )
    schedule = Schedule.of(archive, protocol.selection, context_length, lead_count)
    accumulators = protocol.accumulators(schedule.lead_minutes, protocol.masking.grid(archive).shape)
    run = _Run(
        archive=archive,
        protocol=protocol,
        accumulators=accumulators,
        predictors=predictors,
        sums={predictor.info.reference: accumulators.zeros(len(schedule.blocks)) for predictor in predictors},
        seconds={predictor.info.reference: 0.0 for predictor in predictors},
    )

    def score(index: int, block: int) -> None:
        if protocol.online_fine_tuning:
            with suppress(DamagedFrame):  # then no step of fine-tuning before this forecast
                run.fine_tune(schedule.cases[:index])
        run.score(schedule.cases[index], block)

    damaged = schedule.score(score, progress)
    starts = len(schedule.cases) - len(damaged)
    return Verification(
        protocol=protocol,
        accumulators=accumulators,
        lead_minutes=schedule.lead_minutes,
        days=tuple(map(str, schedule.days)),
        blocks=len(schedule.blocks),
        short_blocks=schedule.short_blocks,
        starts=starts,
        archive=archive,
        sums=run.sums,
        variants={predictor.info.reference: predictor.variant for predictor in predictors},
        weights=weights_digests(predictors),
        seconds_per_nowcast={name: seconds / starts for name, seconds in run.seconds.items()},
        damaged=damaged,
        case_study=run.case_study,
    )


def with_baselines(predictors: Sequence[Predictor]) -> list[Predictor]:
    """Return the predictors, each reference once, followed by the baselines that are not among them."""
    unique: dict[str, Predictor] = {}
    for predictor in (*predictors, Persistence(), Extrapolation()):
        unique.setdefault(predictor.info.reference, predictor)
    return list(unique.values())


def _fine_tunable(predictor: Predictor) -> Predictor:
    """Return a predictor that can be fine-tuned for a package; any other predictor as it is.

    Raises
    ------
    MissingDependency
        PyTorch is not installed.
    """
    if predictor.info.folder is None:
        return predictor
    with optional_imports("protocol", "networks cannot be fine-tuned"):
        from model.runtime.onnx_predictor import OnnxPredictor
        from model.verify.online_fine_tuning import FineTunedPredictor
    return FineTunedPredictor(predictor) if isinstance(predictor, OnnxPredictor) else predictor


def weights_digests(predictors: Sequence[Predictor]) -> dict[str, str]:
    """Return the SHA-256 of the weights of each package."""
    folders = {predictor.info.reference: predictor.info.folder for predictor in predictors}
    files = {reference: read_manifest(folder).files for reference, folder in folders.items() if folder}
    return {reference: digests[WEIGHTS] for reference, digests in files.items() if WEIGHTS in digests}


@dataclass(kw_only=True)
class _Run:
    """The state of a verification that is running."""

    archive: Archive
    protocol: Protocol
    accumulators: Accumulators
    predictors: Sequence[Predictor]
    sums: Mapping[str, Sums]
    seconds: dict[str, float]
    case_study: CaseStudy | None = None

    def score(self, case: ForecastCase, block: int) -> None:
        """Forecast one case with every model, and add its frames to the sums."""
        masking = self.protocol.masking
        context = masking.read_context(self.archive, case.context_times)
        # All true frames are read before anything is added: a damaged frame leaves out the whole case.
        truths = [masking.read_truth(self.archive, time) for time in case.valid_times]
        forecasts = {each.info.reference: self._forecast(each, context, case.steps) for each in self.predictors}
        study = CaseStudy(start=case.start, plotted_leads=self.accumulators.plotted_leads)
        for lead, (truth, valid) in enumerate(truths):
            scored = masking.scored_pixels(valid, [forecast[lead] for forecast in forecasts.values()])
            truth_frame = masking.truth_frame(truth, scored)
            for model, forecast in forecasts.items():
                frame = masking.forecast_frame(forecast[lead], scored)
                pair = FramePair(forecast=frame, truth=truth_frame, scored=scored)
                self.accumulators.add(self.sums[model], block, lead, pair)
                study.add(model, lead, pair)
        if self.case_study is None or study.wet_pixels > self.case_study.wet_pixels:
            self.case_study = study

    def fine_tune(self, past: Sequence[ForecastCase]) -> None:
        """Fine-tune on the newest clip whose scored frames have all been input frames of later clips.

        As in the HKO-7 benchmark, that takes an unbroken row of clips: with 20 leads and 5 input frames, the clip
        itself and the four after it.
        """
        if not past:
            return
        later = self.accumulators.lead_count // len(past[-1].context_times)
        clips = past[-(1 + later) :]
        if len(clips) <= later or any(a.valid_times[0] != b.context_times[0] for a, b in pairwise(clips)):
            return
        masking = self.protocol.masking
        context = masking.read_context(self.archive, clips[0].context_times)
        truths = [masking.read_truth(self.archive, time) for time in clips[0].valid_times]
        future = np.stack([np.where(valid, hko7_rain_rate_mm_h(p), np.float32(np.nan)) for p, valid in truths])
        for predictor in self.predictors:
            if fine_tune := getattr(predictor, "fine_tune", None):
                fine_tune(context.rain_rate, future, self.archive.step_minutes)

    def _forecast(self, predictor: Predictor, context: FrameSequence, steps: int) -> FloatArray:
        """Return the outputs to score [lead, y, x] (mm h-1): over the input if the protocol scores it, then `steps`."""
        started = time.perf_counter()
        try:
            if steps < self.accumulators.lead_count:
                forecast = rollout(context, predictor, steps)
            else:
                forecast = nowcast(context, predictor, steps).rain_rate
        except InputError as error:
            raise InputError(
                error.what, where=f"{self.archive.root} at {context.reference_time}Z", hint=error.hint
            ) from None
        self.seconds[predictor.info.reference] += time.perf_counter() - started
        return forecast
