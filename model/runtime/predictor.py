"""The Predictor protocol, and a base class with the parts that all predictors share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version as distribution_version
from itertools import repeat
from typing import Final, Protocol

import numpy as np

from model.core.errors import DeviceLost
from model.core.forecast_file import ForecastHeader
from model.core.forecast_output import DETERMINISTIC, ProbabilityMethod
from model.core.model_info import ModelInfo
from model.core.probability_calibration import ProbabilityCalibration
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.runtime.motion_lattice import rain_motion
from model.runtime.neighbourhood import neighbourhood_probability
from model.runtime.request import ForecastEvent, ForecastRequest, LeadFields

PROVENANCE: Final = (
    "radar_format", "radar_product", "source_product", "phase", "quantity", "zr_relation", "max_dbz", "capped_pixels",
    "source", "licence", "institution", "gaps",
)  # fmt: skip
"""Attributes of the input that a forecast file repeats as `input_...`."""


class Predictor(Protocol):
    """A loaded model."""

    @property
    def info(self) -> ModelInfo:
        """The model's entry in the catalog: how many frames it reads, how many steps it forecasts."""
        ...

    @property
    def variant(self) -> str:
        """ONNX variant and device, as in `fp32 on CPU`; `numpy` for a baseline."""
        ...

    @property
    def probability_method(self) -> ProbabilityMethod:
        """Where the probabilities of this model come from."""
        ...

    def forecast(self, requests: Sequence[ForecastRequest]) -> Iterator[ForecastEvent]:
        """Compute forecasts, and yield an event for each lead step of each of them.

        An error ends the one forecast in which it occurs, and is reported as an event. Events of several requests
        interleave; those of one request come in order of lead step.

        Raises
        ------
        DeviceLost
            The device stopped responding: no forecast can continue.
        """
        ...

    def header(self, request: ForecastRequest) -> ForecastHeader:
        """Return the header of the forecast file for a request."""
        ...

    def rollout(self, sequence: FrameSequence, steps: int) -> Iterator[FloatArray]:
        """Yield one-step predictions over the input, then a forecast of `steps` frames.

        A prediction over the input is the frame [y, x] (mm h-1) that follows one of `sequence`, from that frame and the
        frames before it. There is one for each frame but the newest. `sequence` may be longer than the model's context.

        Raises
        ------
        InputError
            The model makes no predictions over its input.
        """
        ...

    def warm_up(self) -> None:
        """Run once, so that the first request does not pay for initialisation.

        Raises
        ------
        BadPackage
            The graph cannot run.
        DeviceLost
            The device does not respond.
        """
        ...

    def forecast_tile(self, tile: bytes) -> bytes:
        """Compute one encoded tile of a forecast that another worker runs (`model.runtime.remote_tiles`)."""
        ...


class BasePredictor:
    """The parts that all predictors share: header, dry input, probabilities by neighbourhood, requests one by one.

    A subclass sets `info` and `variant`, and overrides `frames`; or `lead_fields`, for more than frames; or `_events`,
    to run several requests at once.
    """

    info: ModelInfo
    variant: str

    @property
    def calibration(self) -> ProbabilityCalibration | None:
        """Calibration of neighbourhood probabilities; None: there is none for this model."""
        return None

    @property
    def probability_method(self) -> ProbabilityMethod:
        """Where the probabilities of this model come from."""
        if self.info.distribution is not None:
            return "distribution"
        return "neighbourhood" if self.calibration is None else "neighbourhood-calibrated"

    def forecast(self, requests: Sequence[ForecastRequest]) -> Iterator[ForecastEvent]:
        """See Predictor.forecast. Dry input gives a dry forecast at once: no model makes rain of none.

        The probability of rain is 0 then, and members are dry.
        """
        wet = []
        for request in requests:
            if request.is_dry:
                newest = request.sequence.rain_rate[-1]
                frame = np.where(np.isfinite(newest), np.float32(0), np.float32(np.nan))
                output = request.output
                dry = LeadFields(frame, _repeated(frame, len(output.thresholds_mm_h)), _repeated(frame, output.members))
                yield from _one_by_one(request, repeat(dry), 0, request.steps)
            else:
                wet.append(request)
        yield from map(self._with_probability, self._events(wet))

    def header(self, request: ForecastRequest) -> ForecastHeader:
        """See Predictor.header."""
        sequence, info = request.sequence, self.info
        attributes: dict[str, str] = {
            "source": f"Echocast {distribution_version('echocast')}, model {info.reference}",
            "echocast_version": distribution_version("echocast"),
            "model": info.name,
            "model_version": info.version,
            "model_digest": info.digest,
            "model_variant": self.variant,
            "input_digest": sequence.digest(),
            **{f"input_{key}": sequence.attributes[key] for key in PROVENANCE if key in sequence.attributes},
        }
        if request.note:
            attributes["comment"] = request.note
        default_field = DETERMINISTIC if info.distribution is None else info.distribution.default_field
        return ForecastHeader(
            reference_time=sequence.reference_time,
            lead_minutes=sequence.time_step_minutes() * np.arange(1, request.steps + 1, dtype=np.float64),
            grid=sequence.grid,
            attributes=attributes,
            output=request.output,
            field=request.output.field or default_field,
            probability_method=self.probability_method if request.output.thresholds_mm_h else None,
            motion=rain_motion(sequence),
        )

    def rollout(self, sequence: FrameSequence, steps: int) -> Iterator[FloatArray]:
        """See Predictor.rollout: without states, each prediction is a forecast of its own; the first is persistence."""
        context = self.info.input_frames
        yield sequence.rain_rate[0]
        for end in range(2, len(sequence)):
            frames = slice(max(0, end - context), end)
            newest = replace(sequence, rain_rate=sequence.rain_rate[frames], times=sequence.times[frames])
            yield next(self.frames(newest, 1))
        yield from self.frames(sequence.last(context), steps)

    def warm_up(self) -> None:
        """See Predictor.warm_up: nothing to initialise."""

    def forecast_tile(self, tile: bytes) -> bytes:
        """See Predictor.forecast_tile: baselines do not run in tiles."""
        raise TypeError(f"{self.info.reference} does not run in tiles")

    def frames(self, sequence: FrameSequence, steps: int) -> Iterator[FloatArray]:
        """Yield the frames [y, x] (mm h-1, NaN = no data) of `steps` lead steps after the newest frame."""
        raise NotImplementedError

    def lead_fields(self, request: ForecastRequest) -> Iterator[LeadFields]:
        """Yield what the forecast of a request holds at each lead step; probabilities may be left out."""
        return map(LeadFields, self.frames(request.sequence, request.steps))

    def _with_probability(self, event: ForecastEvent) -> ForecastEvent:
        """Return an event with the probabilities that are asked for; those of a model without them by neighbourhood."""
        sequence, thresholds = event.request.sequence, event.request.output.thresholds_mm_h
        if event.frame is None or event.probability is not None or not thresholds:
            return event
        lead_minutes = event.step * sequence.time_step_minutes()
        probability = neighbourhood_probability(event.frame, sequence.grid, thresholds, lead_minutes, self.calibration)
        return event._replace(probability=probability)

    def _events(self, requests: Sequence[ForecastRequest]) -> Iterator[ForecastEvent]:
        """Yield the events of requests in which it rains; the default runs one request after the other."""
        done, total = 0, sum(request.steps for request in requests)
        for request in requests:
            yield from _one_by_one(request, self.lead_fields(request), done, total)
            done += request.steps


def _repeated(frame: FloatArray, count: int) -> FloatArray | None:
    """Return a frame so many times [count, y, x], which takes no memory; None instead of no times."""
    return np.broadcast_to(frame, (count, *frame.shape)) if count else None


def _one_by_one(
    request: ForecastRequest, leads: Iterator[LeadFields], done: int, total: int
) -> Iterator[ForecastEvent]:
    """Yield the events of one request until it is cancelled; `done` of `total` steps were computed before it."""
    step = 0
    try:
        while step < request.steps and not request.cancellation.cancelled:
            fields = next(leads)
            step += 1
            yield ForecastEvent(request, (done + step) / total, step, *fields)
    except DeviceLost:
        raise
    except Exception as error:
        yield ForecastEvent(request, (done + step) / total, error=error)
