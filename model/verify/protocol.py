"""Protocols: what exactly a score means. Two protocols never stand in one table."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Final

import numpy as np

from model.core.errors import InputError, TooFewFrames
from model.core.extras import optional_imports
from model.core.manifest import WEIGHTS, read_manifest
from model.core.normalisation import hko7_rain_rate_mm_h
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.data.archive import Archive, DamagedFrame
from model.metrics import least_float32
from model.runtime.baselines import Extrapolation, Persistence
from model.runtime.nowcast import nowcast, rollout
from model.runtime.predictor import Predictor
from model.verify.bootstrap import FEWEST_DAYS, block_of
from model.verify.example import Example
from model.verify.pair import Pair
from model.verify.rules import Benchmark, Rules, Shrunk, WhereAllHoldData
from model.verify.scores import contingency_manager
from model.verify.tally import Layout, Sums
from model.verify.verification import Verification
from model.verify.windows import Clips, EveryMinutes, Window, Windows

Report = Callable[[int, int], None]
"""Called after each start time with how many are done, and of how many."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What is forecast from where, which pixels count, and what an event is.

    `reliability_mm_h`: edges of the classes of forecast rain rate for reliability. `fss_windows`: sides in pixels.
    `look_minutes`: lead times of the spectrum, LPIPS and the pictures; and, unless `images_at_all_leads`, of SSIM and
    PSNR. `rolling`: packages are fine-tuned on what has been seen, before each forecast.
    """

    name: str
    description: str
    windows: Windows
    rules: Rules
    thresholds_mm_h: tuple[float, ...]
    reliability_mm_h: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 50.0)
    fss_windows: tuple[int, ...] = (1, 5, 9, 17, 33, 65)
    look_minutes: tuple[float, ...] = (30.0, 60.0)
    images_at_all_leads: bool = False
    rolling: bool = False

    @property
    def class_edges_mm_h(self) -> tuple[float, ...]:
        """Edges of the classes of rain rate that are counted, thresholds among them."""
        return tuple(sorted({*self.reliability_mm_h, *self.thresholds_mm_h}))

    def layout(self, lead_minutes: Sequence[float], shape: tuple[int, int]) -> Layout:
        """The sums that its scores need."""
        edges = self.class_edges_mm_h
        looks = tuple(index for index, lead in enumerate(lead_minutes) if lead in self.look_minutes)
        return Layout(
            scale=self.rules.scale,
            edges=tuple(least_float32(self.rules.edge(edge)) for edge in edges),
            events=tuple(edges.index(threshold) for threshold in self.thresholds_mm_h),
            windows=self.fss_windows,
            looks=looks,
            images=tuple(range(len(lead_minutes))) if self.images_at_all_leads else looks,
            leads=len(lead_minutes),
            shape=shape,
            psnr_floor=self.rules.psnr_floor,
        )

    def extent(self, archive: Archive, wanted: int) -> tuple[int, int]:
        """How many frames of an archive are read, where models want up to `wanted` of them, and how many are forecast.

        Raises
        ------
        InputError
            The archive has another time step than the protocol, or a model wants more than it gives.
        """
        try:
            return self.windows.context(wanted), self.windows.lead_count(archive.step_minutes)
        except InputError as error:
            raise type(error)(error.what, where=str(archive.root), hint=error.hint) from None


NOWCAST_60: Final = Protocol(
    name="nowcast-60@1",
    windows=EveryMinutes(horizon_minutes=60, stride_minutes=30),
    rules=WhereAllHoldData(),
    thresholds_mm_h=(0.5, 2.0, 5.0, 10.0),
    description=(
        "start times every 30 min; leads at the archive's own time step to 60 min; counts pooled over all start times "
        "and pixels, by lead; a pixel counts where the truth and every compared forecast hold data; "
        "an event is rain >= threshold"
    ),
)
HKO7_FIXED: Final = Protocol(
    name="hko7-fixed@1",
    windows=Clips(frames_in=5, frames_out=20, stride=5, longest_gap=2, step_minutes=6),
    thresholds_mm_h=(0.5, 2.0, 5.0, 10.0, 30.0),
    rules=Benchmark(),
    look_minutes=(30.0, 60.0, 120.0),
    description=(
        "the benchmark of HKO-7 (Shi et al. 2017), its fixed setting: 5 frames of 6 min in, 20 out, one clip every 5 "
        "frames; at most 2 frames in a row missing, read as 0 and not scored; pixels that the static mask excludes, "
        "and true pixels in (0, 71), do not count; what a forecast does not know is 0; an event is pixel >= threshold; "
        "counts pooled over all clips, by lead, and scores averaged over the 20 leads"
    ),
)
HKO7_ONLINE: Final = replace(
    HKO7_FIXED,
    name="hko7-online@1",
    rolling=True,
    description=HKO7_FIXED.description.replace("its fixed setting", "its online setting")
    + "; before each forecast a network is fine-tuned by one step on the newest clip whose frames have all been seen "
    "(AdaGrad, rate 1e-3, B-MSE + B-MAE, gradients clipped to a norm of 50)",
)
MS_RNN: Final = Protocol(
    name="ms-rnn@1",
    windows=Clips(frames_in=10, frames_out=10, stride=20, longest_gap=0, step_minutes=6, every=6, over_input=True),
    thresholds_mm_h=HKO7_FIXED.thresholds_mm_h,
    rules=Shrunk(),
    look_minutes=(36.0, 180.0, 360.0),
    images_at_all_leads=True,
    description=(
        "the test loop of MS-RNN (Ma et al. 2022) for HKO-7: every sixth frame of 6 min, shrunk to 128 x 128 pixels; "
        "clips of 20 frames, 10 in and 10 out, none in two clips, none missing; scored are the 19 frames after the "
        "first: leads to 0 min are answers over the input, each one step ahead of true frames, those above 0 are the "
        "forecast; every pixel counts, noise too; what a forecast does not know is 0; an event is pixel >= threshold; "
        "PSNR of the MSE + 1e-5; counts pooled over all clips, by lead, and scores averaged over the 19 leads"
    ),
)
PROTOCOLS: Final[Mapping[str, Protocol]] = MappingProxyType(
    {"nowcast-60": NOWCAST_60, "hko7-fixed": HKO7_FIXED, "hko7-online": HKO7_ONLINE, "ms-rnn": MS_RNN}
)


def with_baselines(predictors: Sequence[Predictor]) -> list[Predictor]:
    """The predictors, and of persistence and extrapolation those that are not among them; each once."""
    found = {predictor.info.reference: predictor for predictor in (*predictors, Persistence(), Extrapolation())}
    first = {predictor.info.reference: predictor for predictor in reversed(predictors)}
    return [first.get(reference, predictor) for reference, predictor in found.items()]


def verify(
    archive: Archive,
    predictors: Sequence[Predictor],
    protocol: Protocol,
    report: Report = lambda done, total: None,
) -> Verification:
    """Score `predictors`, and persistence and extrapolation beside them, over an archive.

    Sums grow with the archive's days. Of its frames only their times are kept, and the times of each window.

    Raises
    ------
    TooFewFrames
        No start time has all its frames.
    InputError
        A model does not fit the archive, or the archive the protocol.
    MissingDependency
        The package `scores` is not installed.
    """
    contingency_manager()
    predictors = with_baselines(predictors)
    if protocol.rolling:
        predictors = list(map(_rolling, predictors))
    wanted, lead_count = protocol.extent(archive, max(predictor.info.input_frames for predictor in predictors))
    windows = list(protocol.windows.of(archive.times, archive.step_minutes, wanted))
    if not windows:
        raise TooFewFrames(
            f"no start time has {wanted} frames before and {lead_count} after it",
            where=str(archive.root),
            hint="Import more frames without gaps",
        )
    lead_minutes = windows[0].lead_minutes
    layout = protocol.layout(lead_minutes, protocol.rules.grid(archive).shape)
    days = sorted({block_of(window.start, short=False) for window in windows})
    short = len(days) < FEWEST_DAYS
    blocks = sorted({block_of(window.start, short=short) for window in windows})
    run = _Run(
        archive=archive,
        protocol=protocol,
        layout=layout,
        predictors=predictors,
        sums={predictor.info.reference: layout.empty(len(blocks)) for predictor in predictors},
        seconds={predictor.info.reference: 0.0 for predictor in predictors},
    )
    damaged: dict[str, str] = {}
    for done, window in enumerate(windows, start=1):
        if protocol.rolling:
            with suppress(DamagedFrame):  # no lesson, then
                run.learn(windows[: done - 1])
        try:
            run.add(window, blocks.index(block_of(window.start, short=short)))
        except DamagedFrame as error:
            damaged[f"{window.start}Z"] = str(error)
        report(done, len(windows))
    starts = len(windows) - len(damaged)
    if not starts:
        raise DamagedFrame("no start time has all its frames whole", where=str(archive.root), hint="Import it again")
    return Verification(
        protocol=protocol,
        layout=layout,
        lead_minutes=lead_minutes,
        days=tuple(map(str, days)),
        blocks=len(blocks),
        short_blocks=short,
        starts=starts,
        archive=archive,
        sums=run.sums,
        variants={predictor.info.reference: predictor.variant for predictor in predictors},
        weights=_weights_of(predictors),
        seconds_per_nowcast={name: seconds / starts for name, seconds in run.seconds.items()},
        damaged=damaged,
        example=run.example,
    )


def _rolling(predictor: Predictor) -> Predictor:
    """The predictor, so that it learns where it is a package.

    Raises
    ------
    MissingDependency
        PyTorch is not installed.
    """
    if predictor.info.folder is None:
        return predictor
    with optional_imports("protocol", "networks cannot be fine-tuned"):
        from model.runtime.onnx_predictor import OnnxPredictor
        from model.verify.rolling import Rolling
    return Rolling(predictor) if isinstance(predictor, OnnxPredictor) else predictor


def _weights_of(predictors: Sequence[Predictor]) -> dict[str, str]:
    """SHA-256 of the weights of those that are packages."""
    folders = {predictor.info.reference: predictor.info.folder for predictor in predictors}
    files = {reference: read_manifest(folder).files for reference, folder in folders.items() if folder}
    return {reference: kept[WEIGHTS] for reference, kept in files.items() if WEIGHTS in kept}


@dataclass(kw_only=True)
class _Run:
    """One verification under way."""

    archive: Archive
    protocol: Protocol
    layout: Layout
    predictors: Sequence[Predictor]
    sums: Mapping[str, Sums]
    seconds: dict[str, float]
    example: Example | None = None

    def add(self, window: Window, block: int) -> None:
        """Forecast from one start time, and score it."""
        rules = self.protocol.rules
        sequence = rules.read(self.archive, window.context)
        truths = [rules.truth(self.archive, valid) for valid in window.leads]  # all, before anything is summed
        forecasts = {each.info.reference: self._forecast(each, sequence, window.steps) for each in self.predictors}
        example = Example(start=window.start, looks=self.layout.looks)
        for lead, (truth, counts) in enumerate(truths):
            scored = rules.scored(counts, [forecast[lead] for forecast in forecasts.values()])
            true = rules.frame_of_truth(truth, scored)
            for name, forecast in forecasts.items():
                pair = Pair(forecast=rules.frame_of_forecast(forecast[lead], scored), truth=true, scored=scored)
                self.layout.add(self.sums[name], block, lead, pair)
                example.add(name, lead, pair)
        if self.example is None or example.wetness > self.example.wetness:
            self.example = example

    def learn(self, before: Sequence[Window]) -> None:
        """Fine-tune on the newest clip that has been seen whole: its leads are what was read of the clips after it.

        As in HKO-7's benchmark there must be as many clips before as a clip has frames read in it, one after the other.
        """
        needed = 1 + self.layout.leads // len(before[-1].context) if before else 0
        clips = before[-needed:]
        if not before or len(clips) < needed or any(a.leads[0] != b.context[0] for a, b in pairwise(clips)):
            return
        rules = self.protocol.rules
        context = rules.read(self.archive, clips[0].context)
        truths = [rules.truth(self.archive, valid) for valid in clips[0].leads]
        future = np.stack([np.where(counts, hko7_rain_rate_mm_h(p), np.float32(np.nan)) for p, counts in truths])
        for predictor in self.predictors:
            if learn := getattr(predictor, "learn", None):
                learn(context.rain_rate, future, self.archive.step_minutes)

    def _forecast(self, predictor: Predictor, sequence: FrameSequence, steps: int) -> FloatArray:
        """What is scored [lead, y, x]: `steps` forecast frames, and where there are more leads what is before them."""
        begun = time.perf_counter()
        try:
            if steps < self.layout.leads:
                forecast = rollout(sequence, predictor, steps)
            else:
                forecast = nowcast(sequence, predictor, steps).rain_rate
        except InputError as error:
            raise InputError(
                error.what, where=f"{self.archive.root} at {sequence.reference_time}Z", hint=error.hint
            ) from None
        self.seconds[predictor.info.reference] += time.perf_counter() - begun
        return forecast
