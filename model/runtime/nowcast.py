"""One forecast in memory, for scripts and scores."""

from __future__ import annotations

import numpy as np

from model.core.forecast_file import Forecast
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.runtime.frame_selection import select_context
from model.runtime.predictor import Predictor
from model.runtime.request import ForecastRequest


def nowcast(sequence: FrameSequence, predictor: Predictor, steps: int, note: str = "") -> Forecast:
    """Run a predictor over the newest frames of a sequence.

    Raises
    ------
    InputError
        The model does not fit the input, or `steps` is out of its range.
    """
    request = ForecastRequest.fit(sequence, predictor.info, steps, note=note)
    header = predictor.header(request)
    frames = np.empty((steps, *header.grid.shape), np.float32)
    for event in predictor.forecast([request]):
        if event.error is not None:
            raise event.error
        if event.frame is not None:
            frames[event.step - 1] = event.frame
    return Forecast(**vars(header), rain_rate=frames)


def rollout(sequence: FrameSequence, predictor: Predictor, steps: int) -> FloatArray:
    """Return one-step predictions over all of a sequence, then `steps` forecast frames [frame, y, x] (mm h-1).

    The network runs on dry input, too, and the model's limit of lead time does not apply; see Predictor.rollout.

    Raises
    ------
    InputError
        The model does not fit the input, makes no predictions over it, or `steps` is out of its range.
    """
    predictor.info.check_steps(steps)
    select_context(sequence, predictor.info)
    return np.stack([*predictor.rollout(sequence, steps)])
