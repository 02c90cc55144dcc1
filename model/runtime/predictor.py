"""The Predictor protocol, and `nowcast`, which runs one over a sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version as distribution_version
from typing import Final, Protocol

import numpy as np

from model.core.catalog import EXTRAPOLATION, Catalog, ModelInfo
from model.core.errors import InputError, IrregularTimeStep
from model.core.forecast import Forecast
from model.core.sequence import FrameSequence
from model.core.units import DRY_RAIN_RATE_MM_H, FloatArray


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

    def warm_up(self) -> None:
        """STAND-IN."""
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

        Raises:
            InputError: it has no such answers.
        """
        ...


PROVENANCE: Final = (
    "radar_format",
    "source_product",
    "quantity",
    "zr_relation",
    "source",
    "licence",
    "institution",
    "gaps",
)
"""What a forecast file keeps of the attributes of its input, as `input_...`."""

OnStep = Callable[[int, FloatArray], None]


def choose(sequence: FrameSequence, reference: str, catalog: Catalog) -> tuple[ModelInfo, str]:
    """The model that `reference` means for this input, and why, where it is not the one that was asked for.

    A model asked for by name must fit: its time steps and its number of frames are checked by name. `auto` takes the
    champion where it fits, else the default model, else extrapolation.

    Raises:
        InputError: the named model does not exist or does not fit; nor does extrapolation.
    """
    models, note = catalog.meant(reference)
    notes = [note] if note else []
    misfits: list[InputError] = []
    for info in models:
        try:
            fitting_frames(sequence, info)
        except InputError as misfit:
            misfits.append(misfit)
            notes.append(f"{info.reference} does not fit the input: {misfit.what}")
        else:
            return info, "; ".join(notes)
    raise misfits[0] if len(sequence) < EXTRAPOLATION.input_frames else misfits[-1]


def fitting_frames(sequence: FrameSequence, info: ModelInfo) -> FrameSequence:
    """The newest frames, as many as `info` wants.

    Raises:
        TooFewFrames, IrregularTimeStep, NoData: `info` cannot run on them.
        InputError: `info` is bound to another grid, or is no model of rain.
    """
    if info.data != "rain":
        raise InputError(
            f"{info.reference} was trained on {info.data} that are not rain",
            where="model",
            mend="Choose a model of rain",
        )
    if info.grid not in (None, sequence.grid.shape):
        raise InputError(
            "the grid is {} x {} pixels, {} takes {} x {}".format(*sequence.grid.shape, info.reference, *info.grid),
            where="input",
            mend="Give frames of that grid, or choose another model",
        )
    newest = sequence.newest_regular(info.input_frames)
    step = newest.time_step_minutes()
    if not info.time_step.holds(step):
        low, high = info.time_step.min_minutes, info.time_step.max_minutes
        raise IrregularTimeStep(
            f"frames step by {step:g} min, {info.reference} takes {low:g} to {high:g} min",
            where="input",
            mend=f"Give frames every {low:g} to {high:g} min, or choose the model extrapolation",
        )
    return newest


def nowcast(
    sequence: FrameSequence,
    predictor: Predictor,
    steps: int,
    on_step: OnStep = lambda step, frame: None,
    note: str = "",
) -> Forecast:
    """Run `predictor` over the newest frames of `sequence`; dry input gives a dry forecast at once.

    `on_step(step, frame)` is called after each lead step, counted from 1; it may raise to cancel.

    Raises:
        InputError: the model does not fit the input, or `steps` is out of its range.
    """
    info = predictor.info
    info.check_steps(steps)
    newest = fitting_frames(sequence, info)
    step_minutes = newest.time_step_minutes()
    info.check_steps(steps, step_minutes)
    frames = np.empty((steps, *sequence.grid.shape), np.float32)
    for step, frame in enumerate(_frames(newest, predictor, steps), start=1):
        frames[step - 1] = frame
        on_step(step, frame)
    attributes: dict[str, str] = {
        "source": f"Echocast {distribution_version('echocast')}, model {info.reference}",
        "echocast_version": distribution_version("echocast"),
        "model": info.name,
        "model_version": info.version,
        "model_digest": info.digest,
        "model_variant": predictor.variant,
        "input_digest": newest.digest(),
        **{f"input_{key}": sequence.attributes[key] for key in PROVENANCE if key in sequence.attributes},
    }
    if note:
        attributes["comment"] = note
    return Forecast(
        rain_rate=frames,
        reference_time=newest.reference_time,
        lead_minutes=step_minutes * np.arange(1, steps + 1, dtype=np.float64),
        grid=sequence.grid,
        attributes=attributes,
    )


def unrolled(sequence: FrameSequence, predictor: Predictor, steps: int) -> FloatArray:
    """Answers of `predictor` over all of `sequence`, then `steps` forecast frames [answer, y, x]; see Predictor.unroll.

    It runs whether or not there is rain, and as far as the steps go: the limit in minutes is one of nowcasts.

    Raises:
        InputError: the model does not fit the input, has no answers over it, or `steps` is out of its range.
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


def _frames(newest: FrameSequence, predictor: Predictor, steps: int) -> Iterator[FloatArray]:
    """The predictor's frames; where no frame holds rain, dry ones at once, without running it."""
    wet = np.nan_to_num(newest.rain_rate).max(initial=0) >= DRY_RAIN_RATE_MM_H
    if wet:
        yield from predictor.forecast(newest, steps)
        return
    dry = np.where(np.isfinite(newest.rain_rate[-1]), np.float32(0), np.float32(np.nan))
    for _ in range(steps):
        yield dry
