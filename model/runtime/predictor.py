"""The Predictor protocol, which model an input gets, and answers over an input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from model.core.catalog import Catalog, ModelInfo
from model.core.errors import InputError
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.runtime.context import check_known, context_of, repeats
from model.runtime.outages import without_outages


class Predictor(Protocol):
    """A model that is ready to run."""

    @property
    def info(self) -> ModelInfo:
        """Which model this is, how many frames it wants, how many steps it can do."""
        ...

    @property
    def variant(self) -> str:
        """What runs: the ONNX variant and the device, as in `fp32 on CPU`; `numpy` for a baseline."""
        ...

    def forecast(self, sequence: FrameSequence, steps: int) -> Iterator[FloatArray]:
        """Yield `steps` frames [y, x] (mm h-1, NaN = not known), one per time step after the newest frame.

        `sequence` holds exactly `info.input_frames` frames at one time step.
        """
        ...

    def unroll(self, sequence: FrameSequence, steps: int) -> Iterator[FloatArray]:
        """Yield what it answers over its input, then `steps` frames that follow.

        An answer over the input is the frame after one of `sequence`, from that one and those before it: one for each
        but the newest. `sequence` may hold more frames than `info.input_frames`.

        Raises
        ------
        InputError
            It has no such answers.
        """
        ...


class Choice(NamedTuple):
    """The model that runs, the context that it starts from, and the note of its forecast."""

    info: ModelInfo
    context: FrameSequence
    note: str


def choose(sequence: FrameSequence, reference: str, catalog: Catalog) -> Choice:
    """The model that `reference` means for this input, with its context. The note says why it is not the one that was
    asked for, what is missing in the context, and what the frames' own `notes` say.

    A model asked for by name must fit: its time steps, its number of frames, and what is known of them. `auto` takes
    the champion where it fits, else the default model, else extrapolation.

    Raises
    ------
    InputError
        The named model does not exist or does not fit; nor does extrapolation.
    """
    models, note = catalog.resolve(reference)
    notes = [note] if note else []
    misfits: list[InputError] = []
    for info in models:
        try:
            context = without_outages(fitting_frames(sequence, info))
            missing = check_known(context, info)
        except InputError as misfit:
            misfits.append(misfit)
            notes.append(f"{info.reference} does not fit the input: {misfit.what}")
        else:
            return Choice(info, context, "; ".join([*missing, *notes, *context.notes, *repeats(context)]))
    raise misfits[-1]


def fitting_frames(sequence: FrameSequence, info: ModelInfo) -> FrameSequence:
    """The context of `info`: see `model.runtime.context.context_of`.

    Raises
    ------
    TooFewFrames, IrregularTimeStep, NoData
        `info` cannot run on them.
    InputError
        `info` is bound to another grid, or is no model of rain.
    """
    if info.data != "rain":
        raise InputError(
            f"{info.reference} was trained on {info.data} that are not rain",
            where="model",
            hint="Choose a model of rain",
        )
    if info.grid not in (None, sequence.grid.shape):
        raise InputError(
            "the grid is {} x {} pixels, {} takes {} x {}".format(*sequence.grid.shape, info.reference, *info.grid),
            where="input",
            hint="Give frames of that grid, or choose another model",
        )
    return context_of(sequence, info)


def unrolled(sequence: FrameSequence, predictor: Predictor, steps: int) -> FloatArray:
    """Answers of `predictor` over all of `sequence`, then `steps` forecast frames [answer, y, x]; see Predictor.unroll.

    It runs whether or not there is rain, and as far as the steps go: the limit in minutes is one of nowcasts.

    Raises
    ------
    InputError
        The model does not fit the input, has no answers over it, or `steps` is out of its range.
    """
    predictor.info.check_steps(steps)
    fitting_frames(sequence, predictor.info)
    return np.stack([*predictor.unroll(sequence, steps)])


def unroll_afresh(predictor: Predictor, sequence: FrameSequence, steps: int) -> Iterator[FloatArray]:
    """`Predictor.unroll` of a model that remembers nothing: a forecast anew from each frame on, with as many frames as
    there are before it; from the first one, persistence."""
    wanted = predictor.info.input_frames
    yield sequence.rain_rate[0]
    for end in range(2, len(sequence)):
        seen = slice(max(0, end - wanted), end)
        newest = replace(sequence, rain_rate=sequence.rain_rate[seen], times=sequence.times[seen])
        yield next(predictor.forecast(newest, 1))
    yield from predictor.forecast(sequence.last(wanted), steps)
