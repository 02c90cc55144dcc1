"""Input sequences of an analysis: from radar files, a data set, or synthetic rain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from model.analyze.analysed_model import AnalysedModel
from model.core.errors import InputError, TooFewFrames
from model.core.grid import Grid
from model.core.normalisation import hko7_fraction
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.data.datasets import open_dataset
from model.data.synthetic_storms import convective, frontal, stratiform, synthesise
from model.data.windows import Window
from model.nets.forecast_model import FrameBatch
from model.readers import read
from model.runtime.exogenous_fields import fields_for
from model.runtime.frame_selection import newest_regular
from model.runtime.motion import estimate_motion, to_newest

SEQUENCES = 4
STEP_MINUTES = 5.0
SYNTHETIC, MOVING_MNIST = "synthetic", "moving-mnist"
MARGIN = 64
"""Pixels around a synthetic domain, so that the rain that flows in along the motion is known."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AnalysisInput:
    """Input sequences.

    Attributes
    ----------
    what
        Description for analysis.json and error messages.
    rain
        Whether frames are HKO-7 fractions of rain.
    data : [b, t, c, y, x]
        Frames in [0, 1], NaN for no data.
    step_minutes
        Time step.
    fields : [b, t + leads, n, y, x]
        Exogenous fields, or None.
    """

    what: str
    rain: bool
    data: FloatArray
    step_minutes: float
    fields: FloatArray | None = None

    def frames(self) -> FrameBatch:
        """Return the sequences as a batch for a forecast model."""
        known = np.isfinite(self.data)
        return FrameBatch(
            data=torch.from_numpy(np.where(known, self.data, np.float32(0))),
            known=torch.from_numpy(known.all(axis=2, keepdims=True).astype(np.float32)),
            step_minutes=torch.full((len(self.data),), self.step_minutes),
            fields=None if self.fields is None else torch.from_numpy(self.fields),
        )


def from_files(
    model: AnalysedModel,
    files: Sequence[Path],
    size: int,
    leads: int,
    *,
    variable: str | None = None,
    zr: str | None = None,
    fields: Path | None = None,
) -> AnalysisInput:
    """Return the newest frames of radar files, cropped to the wettest part, and exogenous fields for `leads` more.

    Raises
    ------
    InputError
        A file or field cannot be read, or the frames are too few or not at one time step.
    """
    sequence = newest_regular(read(files, variable=variable, zr=zr), model.context)
    fraction = _fraction(model, sequence)
    rows, columns = _wettest(fraction[-1], *_sides(model, size, fraction.shape[1:]))
    newest = np.datetime_as_string(sequence.reference_time, unit="m")
    return AnalysisInput(
        what=f"{len(files)} radar file{'s' if len(files) > 1 else ''}, newest frame {newest}Z",
        rain=True,
        data=np.ascontiguousarray(fraction[:, rows, columns])[None, :, None],
        step_minutes=sequence.time_step_minutes(),
        fields=_fields(model, sequence, rows, columns, leads, fields),
    )


def from_dataset(
    model: AnalysedModel,
    data: str | None,
    size: int,
    leads: int,
    *,
    seed: int,
    cache_folder: Path,
    fields: Path | None = None,
) -> AnalysisInput:
    """Return sequences that a seed selects from a data set.

    Parameters
    ----------
    model
        The network.
    data
        `synthetic`, or a data set as in `echocast train --data`; by default synthetic rain or Moving MNIST, as the
        network reads rain or not.
    size
        Side of synthetic rain in pixels.
    leads
        Number of forecast frames, which exogenous fields cover.
    seed
        Seed of the sequences.
    cache_folder
        Folder of prepared data.
    fields
        Folder of exogenous fields, for synthetic rain.

    Raises
    ------
    InputError
        There is no such data set, files are missing, or the network reads other frames.
    """
    chosen = data or (SYNTHETIC if model.rain else MOVING_MNIST)
    if chosen == SYNTHETIC:
        return synthetic_rain(model, size, leads, seed=seed, fields=fields)
    net = model.net.config
    source = open_dataset(
        chosen, cache_folder=cache_folder, context=model.context, channels=net.channels, multiple=net.net.stride
    )
    windows = source.held_out(seed, SEQUENCES, SEQUENCES)[0]
    what = f"{len(windows)} sequences of {chosen}, seed {seed}"
    return from_windows(model, windows, what, rain=source.kind == "rain")


def synthetic_rain(
    model: AnalysedModel, size: int, leads: int, *, seed: int, fields: Path | None = None
) -> AnalysisInput:
    """Return storms that move, grow and decay, of three weather types."""
    ny, nx = _sides(model, size, (size, size))
    weather_types = (frontal(), convective(), stratiform())
    inner = slice(MARGIN, MARGIN + ny), slice(MARGIN, MARGIN + nx)
    sequences, fields_of_storms = [], []
    for index in range(SEQUENCES):
        storms = synthesise(
            frames=model.context,
            shape=(ny + 2 * MARGIN, nx + 2 * MARGIN),
            step_minutes=STEP_MINUTES,
            seed=seed + index,
            weather=weather_types[index % len(weather_types)],
        )
        sequences.append(_fraction(model, storms)[:, *inner])
        fields_of_storms.append(_fields(model, storms, *inner, leads, fields))
    what = f"{SEQUENCES} sequences of synthetic rain, seed {seed}"
    known = [planes for planes in fields_of_storms if planes is not None]
    return AnalysisInput(
        what=what,
        rain=True,
        data=np.stack(sequences)[:, :, None],
        step_minutes=STEP_MINUTES,
        fields=np.concatenate(known) if known else None,
    )


def from_windows(model: AnalysedModel, windows: Sequence[Window], what: str, *, rain: bool) -> AnalysisInput:
    """Return the contexts of windows of one time step.

    Raises
    ------
    InputError
        The windows have fewer frames than the network reads.
    """
    first = windows[0]
    if len(first.context) < model.context:
        raise TooFewFrames(
            f"{model.name} reads {model.context} frames, the windows have {len(first.context)}",
            where=what,
            hint="Choose other --data",
        )
    fields = None
    if first.fields is not None:
        before = len(first.context) - model.context
        fields = np.stack([window.fields[before:] for window in windows if window.fields is not None])
    return AnalysisInput(
        what=what,
        rain=rain,
        data=np.stack([window.context[-model.context :] for window in windows]),
        step_minutes=first.step_minutes,
        fields=fields,
    )


def check_input(model: AnalysedModel, inputs: AnalysisInput, leads: int) -> None:
    """Check that the network can predict `leads` frames from the input.

    Raises
    ------
    InputError
        Channels, fields, or the size of frames do not fit the network.
    """
    config = model.net.config
    channels, (height, width) = inputs.data.shape[2], inputs.data.shape[-2:]
    fields, stride = 0 if inputs.fields is None else inputs.fields.shape[2], config.net.stride
    reason, hint = "", "Choose other --data"
    if channels != config.channels:
        reason = f"reads frames of {config.channels} channels, the input has {channels}"
    elif fields != config.fields:
        reason = f"reads {config.fields} planes of exogenous fields, the input has another number"
        hint = "Choose --data with these fields"
    elif inputs.fields is not None and inputs.fields.shape[1] < model.context + leads:
        most = inputs.fields.shape[1] - model.context
        raise InputError(f"the fields cover {most} steps only", where="--steps", hint=f"Use at most {most}")
    elif height % stride or width % stride:
        reason = f"reads frames whose sides are multiples of {stride}, these are {height} x {width}"
    if reason:
        raise InputError(f"{model.name} {reason}", where=inputs.what, hint=hint)


def _fraction(model: AnalysedModel, sequence: FrameSequence) -> FloatArray:
    """Return frames [t, y, x] as the network reads them: in the Lagrangian frame, warped to the newest frame."""
    rain = sequence.rain_rate
    if model.lagrangian:
        rain = to_newest(rain, estimate_motion(rain))
    return hko7_fraction(rain)


def _fields(
    model: AnalysedModel, sequence: FrameSequence, rows: slice, columns: slice, leads: int, folder: Path | None
) -> FloatArray | None:
    """Return the exogenous fields [1, t + leads, n, y, x] on a part of the grid; None where the network reads none.

    As in a nowcast, fields are not warped along the motion.
    """
    if not model.fields:
        return None
    grid = sequence.grid
    return fields_for(
        model.fields,
        sequence.times_with_leads(leads),
        Grid(crs=grid.crs, x=grid.x[columns], y=grid.y[rows]),
        folder,
        package=model.package,
    )[None]


def _sides(model: AnalysedModel, size: int, available: Sequence[int]) -> tuple[int, int]:
    """Return sides of about `size` pixels that fit the stride, or the grid that the network is bound to."""
    grid = getattr(model.net.config.net, "grid", None)
    stride = model.net.config.net.stride
    required = grid or (size, size)
    ny, nx = (max(stride, min(side, most) // stride * stride) for side, most in zip(required, available, strict=True))
    if (grid and (ny, nx) != tuple(grid)) or ny > available[0] or nx > available[1]:
        raise InputError(
            f"the frames are {available[0]} x {available[1]} pixels, {model.name} requires {max(ny, required[0])} x "
            f"{max(nx, required[1])}",
            where="size",
            hint="Provide larger frames",
        )
    return ny, nx


def _wettest(newest: FloatArray, ny: int, nx: int) -> tuple[slice, slice]:
    """Return the rows and columns of the part of the newest frame [y, x] with the most rain."""
    rain = np.nan_to_num(newest).astype(np.float64)
    sums = cv2.integral(rain)
    totals = sums[ny:, nx:] - sums[:-ny, nx:] - sums[ny:, :-nx] + sums[:-ny, :-nx]
    top, left = np.unravel_index(int(np.argmax(totals)), totals.shape)
    return slice(int(top), int(top) + ny), slice(int(left), int(left) + nx)
