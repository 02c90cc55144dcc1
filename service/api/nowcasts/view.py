"""The frames of a finished nowcast: observed ones, then the forecast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from model.core.grid_places import bounds_lon_lat
from model.core.probability_scale import PROBABILITY_SCALE
from model.core.rain_scale import RAIN_SCALE
from model.core.units import FloatArray
from service.api.errors import InvalidParameter, NoSuchFrame
from service.api.nowcasts.types import (
    FrameInfo,
    FrameList,
    GridInfo,
    GridLine,
    Layer,
    ProbabilityLayer,
    legend,
)
from service.jobs.job import Job
from service.render.animation import AnimationFormat, LabelledFrame, animate, side_of
from service.render.forecast_reader import MAX_SIDE, RainFile
from service.render.graticule import graticule
from service.render.picture import frame_png
from service.status import path_of

MAX_OBSERVED = 12
"""How many observed frames are shown, the newest: those of a whole day would bury the forecast."""

MAX_READ_PIXELS: Final = 1_000_000_000
"""Pixels that one animation reads at most, which takes some seconds: 40 frames of 3500 x 7000."""


@dataclass(frozen=True)
class ViewFrame:
    """One frame: the `file` with its data, its `number` in the file, its index among all frames, and its times."""

    file: RainFile
    number: int
    index: int
    kind: Literal["observed", "forecast"]
    valid_time: datetime
    lead_minutes: float

    def rain(self, max_side: int = MAX_SIDE) -> FloatArray:
        """Return the rain rate (mm h-1) [y, x], north up, at most `max_side` pixels a side."""
        return self.file.frame(self.number, max_side)


def thinned(frames: Sequence[ViewFrame], shape: tuple[int, int]) -> list[ViewFrame]:
    """Return the frames of an animation: as many as can be read within `MAX_READ_PIXELS`, evenly, the last included."""
    step = -(-len(frames) * math.prod(shape) // MAX_READ_PIXELS)
    return list(frames[::-step][::-1])


def known_threshold(forecast: RainFile, threshold_mm_h: float | None) -> float:
    """Return the threshold (mm h-1) of the forecast's probabilities that was asked for; None: the lowest.

    Raises
    ------
    InvalidParameter
        The nowcast has no probabilities, or none at that threshold.
    """
    known = forecast.thresholds_mm_h
    if not known:
        raise InvalidParameter(
            "this nowcast has no probabilities",
            where="layer",
            hint="Request a nowcast with probabilities, such as probabilities=0.5,2,5",
        )
    if threshold_mm_h is None:
        return known[0]
    for threshold in known:
        if math.isclose(threshold, threshold_mm_h, rel_tol=1e-6):
            return threshold
    listed = ", ".join(f"{threshold:g}" for threshold in known)
    raise InvalidParameter(
        f"this nowcast has no probability of {threshold_mm_h:g} mm/h", where="threshold", hint=f"It has {listed}"
    )


class NowcastView:
    """The frames of a successful job: its forecast and, where they are kept, those observed. Every method blocks."""

    def __init__(self, job: Job, forecast: RainFile, observed: RainFile | None = None) -> None:
        self.job = job
        self.forecast = forecast
        self.observed = observed
        self.reference_time = self.forecast.reference_time
        self.frames = self._list_frames()

    def _list_frames(self) -> list[ViewFrame]:
        frames: list[ViewFrame] = []
        if self.observed:
            times = self.observed.times
            for number in range(max(0, len(times) - MAX_OBSERVED), len(times)):
                lead = (times[number] - self.reference_time).total_seconds() / 60
                frames.append(ViewFrame(self.observed, number, len(frames), "observed", times[number], lead))
        for number, (valid, lead) in enumerate(zip(self.forecast.times, self.forecast.lead_minutes, strict=True)):
            frames.append(ViewFrame(self.forecast, number, len(frames), "forecast", valid, lead))
        return frames

    @property
    def first_forecast(self) -> int:
        """Index of the first frame of the forecast."""
        return len(self.frames) - len(self.forecast)

    @property
    def files(self) -> tuple[RainFile, ...]:
        """The files of the frames."""
        return (self.forecast,) if self.observed is None else (self.forecast, self.observed)

    def png(self, index: int, layer: Layer = "rain", threshold_mm_h: float | None = None) -> bytes:
        """Return a frame as PNG: its rain, or the probability of at least a threshold (mm h-1; None: the lowest).

        Raises
        ------
        NoSuchFrame
            There is no frame of that index, or it is an observed one, which has no probability.
        InvalidParameter
            The nowcast has no probabilities, or none at that threshold.
        """
        if not 0 <= index < len(self.frames):
            raise NoSuchFrame(
                f"there is no frame {index}", where="frame", hint=f"Frames are 0 to {len(self.frames) - 1}"
            )
        frame = self.frames[index]
        if layer == "rain":
            if threshold_mm_h is not None:
                raise InvalidParameter("rain has no threshold", where="threshold", hint="Add layer=probability")
            return frame_png(frame.rain())
        threshold = known_threshold(self.forecast, threshold_mm_h)
        if frame.kind == "observed":
            raise NoSuchFrame(
                f"frame {index} is observed, and has no probability",
                where="frame",
                hint=f"Forecast frames are {self.first_forecast} to {len(self.frames) - 1}",
            )
        return frame_png(self.forecast.probability(frame.number, threshold), PROBABILITY_SCALE)

    def animation(self, file_format: AnimationFormat) -> bytes:
        """Return the animation of all frames; of a very large grid, of every second or third one."""
        shown = thinned(self.frames, self.forecast.grid.shape)
        side = side_of(len(shown))
        frames = (
            LabelledFrame(item.rain(side), item.valid_time, item.lead_minutes, forecast=item.kind == "forecast")
            for item in shown
        )
        title = f"{self.job.model_used or self.job.model}, from {self.reference_time:%Y-%m-%d %H:%M} UTC"
        return animate(frames, side=side, file_format=file_format, title=title)

    def _probability_layer(self) -> ProbabilityLayer | None:
        method = self.forecast.probability_method
        if method is None:
            return None
        return ProbabilityLayer(
            method=method, thresholds_mm_h=self.forecast.thresholds_mm_h, legend=legend(PROBABILITY_SCALE)
        )

    def frame_list(self) -> FrameList:
        """Return the list of frames with their grid and legend."""
        grid, block = self.forecast.grid, self.forecast.block()
        dy, dx = grid.pixel_size_m
        ny, nx = grid.shape
        return FrameList(
            id=self.job.id,
            model=self.job.model_used,
            note=self.job.note,
            reference_time=self.reference_time,
            grid=GridInfo(
                nx=nx,
                ny=ny,
                pixel_km=(dx / 1000, dy / 1000),
                extent_km=(nx * dx / 1000, ny * dy / 1000),
                pixels_per_block=block,
                crs=grid.crs.name,
                crs_wkt=grid.crs.to_wkt(),
                epsg=grid.crs.to_epsg(),
                transform=grid.north_up_transform,
                bounds=bounds_lon_lat(grid),
            ),
            graticule=[GridLine(label=label, points=points) for label, points in graticule(grid)],
            legend=legend(RAIN_SCALE),
            field=self.forecast.field or None,
            members=self.forecast.members,
            probability=self._probability_layer(),
            frames=[
                FrameInfo(
                    index=item.index,
                    kind=item.kind,
                    valid_time=item.valid_time,
                    lead_minutes=item.lead_minutes,
                    href=f"{path_of(self.job.id)}/frames/{item.index}.png",
                )
                for item in self.frames
            ],
        )
