"""The sequences that a network is looked at with: of radar files, of a data set, or synthetic rain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from model.analyze.subject import Subject
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
"""Pixels around a synthetic domain, so that what flows in along the motion is known."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Sequences [b, t, c, y, x] in [0, 1], NaN = no data; `step_minutes` between frames; `what` they are.

    `rain`: they are HKO-7 fractions of rain. `fields`: exogenous fields [b, t + leads, n, y, x].
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


def of_files(
    subject: Subject,
    files: Sequence[Path],
    size: int,
    leads: int,
    *,
    variable: str | None = None,
    zr: str | None = None,
    fields: Path | None = None,
) -> Sample:
    """The newest frames of radar files, where it rains most; exogenous `fields` of a folder, for `leads` more.

    Raises
    ------
    InputError
        A file or field cannot be read, or the frames are too few or not at one time step.
    """
    sequence = newest_regular(read(files, variable=variable, zr=zr), subject.context)
    fraction = _fraction(subject, sequence)
    rows, columns = _wettest(fraction[-1], *_sides(subject, size, fraction.shape[1:]))
    newest = np.datetime_as_string(sequence.reference_time, unit="m")
    return Sample(
        what=f"{len(files)} radar file{'s' if len(files) > 1 else ''}, newest frame {newest}Z",
        rain=True,
        data=np.ascontiguousarray(fraction[:, rows, columns])[None, :, None],
        step_minutes=sequence.time_step_minutes(),
        fields=_fields(subject, sequence, rows, columns, leads, fields),
    )


def of_data(
    subject: Subject,
    data: str | None,
    size: int,
    leads: int,
    *,
    seed: int,
    cache_folder: Path,
    fields: Path | None = None,
) -> Sample:
    """Sequences drawn by a seed: of `data`, `synthetic` or a data set of `echocast train --data`, or by default of what
    the network reads. `fields`: a folder of exogenous ones, for synthetic rain.

    Raises
    ------
    InputError
        There is no such data set, its files are not there, or the network reads something else.
    """
    chosen = data or (SYNTHETIC if subject.rain else MOVING_MNIST)
    if chosen == SYNTHETIC:
        return synthetic_rain(subject, size, leads, seed=seed, fields=fields)
    net = subject.net.config
    source = open_dataset(
        chosen, cache_folder=cache_folder, context=subject.context, channels=net.channels, multiple=net.net.stride
    )
    windows = source.held_out(seed, SEQUENCES, SEQUENCES)[0]
    what = f"{len(windows)} sequences of {chosen}, seed {seed}"
    return of_windows(subject, windows, what, rain=source.kind == "rain")


def synthetic_rain(subject: Subject, size: int, leads: int, *, seed: int, fields: Path | None = None) -> Sample:
    """Storms that move, grow and decay, of three kinds of weather."""
    ny, nx = _sides(subject, size, (size, size))
    weathers = (frontal(), convective(), stratiform())
    inner = slice(MARGIN, MARGIN + ny), slice(MARGIN, MARGIN + nx)
    sequences, beside = [], []
    for index in range(SEQUENCES):
        storms = synthesise(
            frames=subject.context,
            shape=(ny + 2 * MARGIN, nx + 2 * MARGIN),
            step_minutes=STEP_MINUTES,
            seed=seed + index,
            weather=weathers[index % len(weathers)],
        )
        sequences.append(_fraction(subject, storms)[:, *inner])
        beside.append(_fields(subject, storms, *inner, leads, fields))
    what = f"{SEQUENCES} sequences of synthetic rain, seed {seed}"
    known = [planes for planes in beside if planes is not None]
    return Sample(
        what=what,
        rain=True,
        data=np.stack(sequences)[:, :, None],
        step_minutes=STEP_MINUTES,
        fields=np.concatenate(known) if known else None,
    )


def of_windows(subject: Subject, windows: Sequence[Window], what: str, *, rain: bool) -> Sample:
    """The contexts of a source's windows, all of one time step.

    Raises
    ------
    InputError
        They hold fewer frames than the network reads.
    """
    first = windows[0]
    if len(first.context) < subject.context:
        raise TooFewFrames(
            f"{subject.name} reads {subject.context} frames, these windows hold {len(first.context)}",
            where=what,
            hint="Choose other --data",
        )
    fields = None
    if first.fields is not None:
        before = len(first.context) - subject.context
        fields = np.stack([window.fields[before:] for window in windows if window.fields is not None])
    return Sample(
        what=what,
        rain=rain,
        data=np.stack([window.context[-subject.context :] for window in windows]),
        step_minutes=first.step_minutes,
        fields=fields,
    )


def check(subject: Subject, sample: Sample, leads: int) -> None:
    """Raise InputError unless the network can forecast `leads` frames from the sample."""
    config = subject.net.config
    channels, (height, width) = sample.data.shape[2], sample.data.shape[-2:]
    if channels != config.channels:
        raise InputError(
            f"{subject.name} reads frames of {config.channels} channels, these have {channels}",
            where=sample.what,
            hint="Choose other --data",
        )
    if (0 if sample.fields is None else sample.fields.shape[2]) != config.fields:
        raise InputError(
            f"{subject.name} reads {config.fields} fields beside its frames, and these come with others",
            where=sample.what,
            hint="Choose --data that has them",
        )
    if sample.fields is not None and sample.fields.shape[1] < subject.context + leads:
        most = sample.fields.shape[1] - subject.context
        raise InputError(f"its fields reach {most} steps ahead", where="--steps", hint=f"Ask for at most {most}")
    stride = config.net.stride
    if height % stride or width % stride:
        raise InputError(
            f"{subject.name} reads sides that are multiples of {stride}, these frames are {height} x {width}",
            where=sample.what,
            hint="Choose other --data",
        )


def _fraction(subject: Subject, sequence: FrameSequence) -> FloatArray:
    """Frames [t, y, x] as the network sees them: warped to the newest along their motion, where it works so."""
    rain = sequence.rain_rate
    if subject.lagrangian:
        rain = to_newest(rain, estimate_motion(rain))
    return hko7_fraction(rain)


def _fields(
    subject: Subject, sequence: FrameSequence, rows: slice, columns: slice, leads: int, folder: Path | None
) -> FloatArray | None:
    """The exogenous fields that the network reads, [1, t + leads, n, y, x], on a part of the grid; None: it reads none.

    As in a nowcast they stay in their place, whatever the rain does.
    """
    if not subject.fields:
        return None
    grid = sequence.grid
    return fields_for(
        subject.fields,
        sequence.times_with_leads(leads),
        Grid(crs=grid.crs, x=grid.x[columns], y=grid.y[rows]),
        folder,
        package=subject.package,
    )[None]


def _sides(subject: Subject, size: int, available: Sequence[int]) -> tuple[int, int]:
    """About `size` pixels a side, as the network's stride wants; a network that is bound to a grid gets that."""
    grid = getattr(subject.net.config.net, "grid", None)
    stride = subject.net.config.net.stride
    wanted = grid or (size, size)
    ny, nx = (max(stride, min(side, most) // stride * stride) for side, most in zip(wanted, available, strict=True))
    if (grid and (ny, nx) != tuple(grid)) or ny > available[0] or nx > available[1]:
        raise InputError(
            f"the frames are {available[0]} x {available[1]} pixels, {subject.name} wants {max(ny, wanted[0])} x "
            f"{max(nx, wanted[1])}",
            where="size",
            hint="Give larger frames",
        )
    return ny, nx


def _wettest(newest: FloatArray, ny: int, nx: int) -> tuple[slice, slice]:
    """The part of the newest frame [y, x] that holds most rain."""
    rain = np.nan_to_num(newest).astype(np.float64)
    sums = cv2.integral(rain)
    totals = sums[ny:, nx:] - sums[:-ny, nx:] - sums[ny:, :-nx] + sums[:-ny, :-nx]
    top, left = np.unravel_index(int(np.argmax(totals)), totals.shape)
    return slice(int(top), int(top) + ny), slice(int(left), int(left) + nx)
