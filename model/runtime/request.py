"""Forecast requests, which a predictor takes, and forecast events, which it reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from model.core.forecast_output import DETERMINISTIC_OUTPUT, ForecastOutput
from model.core.model_info import ModelInfo
from model.core.sequence import FrameSequence
from model.core.units import DRY_RAIN_RATE_MM_H, FloatArray
from model.runtime.cancellation import CancellationToken
from model.runtime.frame_selection import select_context
from model.runtime.remote_tiles import RemoteTiles


@dataclass(frozen=True, kw_only=True, eq=False)
class ForecastRequest:
    """One forecast to compute. Two requests with equal fields are still two requests.

    Attributes
    ----------
    sequence : FrameSequence
        The frames that the model reads, and no others: `fit` selects them, `for_context` takes them as selected.
    steps : int
        Number of lead steps.
    note : str
        Comment for the forecast file, '' for none.
    cancellation : CancellationToken
        Ends this forecast alone, whichever others run beside it.
    remote_tiles : RemoteTiles, optional
        Other workers that may compute tiles of this forecast if the domain is large.
    output : ForecastOutput
        Which field, probabilities and members are asked for.
    """

    sequence: FrameSequence
    steps: int
    note: str = ""
    cancellation: CancellationToken = field(default_factory=CancellationToken)
    remote_tiles: RemoteTiles | None = None
    output: ForecastOutput = DETERMINISTIC_OUTPUT

    @classmethod
    def fit(
        cls,
        sequence: FrameSequence,
        info: ModelInfo,
        steps: int,
        *,
        note: str = "",
        output: ForecastOutput = DETERMINISTIC_OUTPUT,
    ) -> ForecastRequest:
        """Return a request for the newest frames of a sequence that a model reads.

        Raises
        ------
        InputError
            The model does not fit the frames, or cannot forecast that many steps.
        """
        return cls.for_context(select_context(sequence, info), info, steps, note=note, output=output)

    @classmethod
    def for_context(
        cls,
        context: FrameSequence,
        info: ModelInfo,
        steps: int,
        *,
        note: str = "",
        remote_tiles: RemoteTiles | None = None,
        output: ForecastOutput = DETERMINISTIC_OUTPUT,
    ) -> ForecastRequest:
        """Return a request for frames that were selected for the model, as by `model.runtime.model_selection`.

        Raises
        ------
        StepsOutOfRange
            The model cannot forecast that many steps.
        InputError
            The model does not have the field, or makes no members.
        """
        info.check_steps(steps, context.time_step_minutes())
        info.check_output(output)
        return cls(sequence=context, steps=steps, note=note, remote_tiles=remote_tiles, output=output)

    @property
    def member_seed(self) -> tuple[int, int]:
        """Seed of the members: the one that was asked for, and the reference time.

        With the same seed at each start time, the members of all of them would err alike.
        """
        seconds = self.sequence.reference_time.astype("datetime64[s]").astype(np.int64)
        return self.output.seed, int(seconds) % 2**64

    @property
    def is_dry(self) -> bool:
        """Whether no pixel of any frame holds rain."""
        heaviest = np.fmax.reduce(self.sequence.rain_rate, axis=None, initial=0)
        return bool(heaviest < DRY_RAIN_RATE_MM_H)


class LeadFields(NamedTuple):
    """What a forecast holds at one lead step; see the attributes of `ForecastEvent`."""

    frame: FloatArray
    probability: FloatArray | None = None
    members: FloatArray | None = None


class ForecastEvent(NamedTuple):
    """Progress of a forecast: a new frame, the error that ended the forecast, or neither.

    Attributes
    ----------
    request : ForecastRequest
        The request that the event is about.
    progress : float
        Completed share of the work for all requests that were submitted together, 0 to 1.
    step : int
        Lead step of `frame`, counted from 1; 0 without a frame.
    frame : ndarray, optional
        Rain rate [y, x] (mm h-1, NaN = no data): the field that was asked for.
    probability : ndarray, optional
        P(rain >= threshold) [threshold, y, x] (0 to 1, NaN = no data) at the thresholds of the request.
    members : ndarray, optional
        Realizations of the rain rate [realization, y, x] (mm h-1, NaN = no data).
    error : Exception, optional
        The error that ended this forecast. No further event of this request follows.
    """

    request: ForecastRequest
    progress: float
    step: int = 0
    frame: FloatArray | None = None
    probability: FloatArray | None = None
    members: FloatArray | None = None
    error: Exception | None = None
