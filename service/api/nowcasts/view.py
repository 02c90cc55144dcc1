"""A finished nowcast as frames: what was observed, then what is forecast."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from model.core.units import FloatArray
from service.api.context import Context
from service.api.errors import NoSuchFrame
from service.api.nowcasts.types import Frame, Frames, GridInfo, GridLine, legend, path_of
from service.jobs.job import Job
from service.render.animation import AnimationFormat, LabelledFrame, animation, side_of
from service.render.graticule import bounds_lon_lat, graticule
from service.render.picture import frame_png
from service.render.rainfile import MAX_SIDE, RainFile

MAX_OBSERVED = 12
"""Observed frames that are shown: the newest. A file of a whole day would bury the forecast."""


@dataclass(frozen=True)
class Moment:
    """One frame: where it lies (`file`, `number` in it), and when."""

    file: RainFile
    number: int
    index: int
    kind: Literal["observed", "forecast"]
    valid_time: datetime
    lead_minutes: float

    def rain(self, max_side: int = MAX_SIDE) -> FloatArray:
        """Rain rate (mm h-1) [y, x], north up, at most `max_side` pixels a side."""
        return self.file.frame(self.number, max_side)


def reference_time(forecast: RainFile) -> datetime:
    """When the forecast starts from."""
    return forecast.times[0] - timedelta(minutes=forecast.lead_minutes[0])


class View:
    """The frames of a successful job, opened. Every method blocks."""

    def __init__(self, context: Context, job: Job) -> None:
        if job.result_key is None:
            raise ValueError(f"job {job.id} has no result")
        self.job = job
        self.forecast = context.results.rain(job.result_key)
        self.observed = context.results.rain(job.input_key) if job.input_key else None
        self.reference_time = reference_time(self.forecast)
        self.moments = self._moments()

    def _moments(self) -> list[Moment]:
        moments: list[Moment] = []
        if self.observed:
            times = self.observed.times
            for number in range(max(0, len(times) - MAX_OBSERVED), len(times)):
                lead = (times[number] - self.reference_time).total_seconds() / 60
                moments.append(Moment(self.observed, number, len(moments), "observed", times[number], lead))
        for number, (valid, lead) in enumerate(zip(self.forecast.times, self.forecast.lead_minutes, strict=True)):
            moments.append(Moment(self.forecast, number, len(moments), "forecast", valid, lead))
        return moments

    def moment(self, index: int) -> Moment:
        """Frame `index` of the manifest.

        Raises
        ------
        NoSuchFrame
            There is none.
        """
        if not 0 <= index < len(self.moments):
            raise NoSuchFrame(
                f"there is no frame {index}", where="frame", hint=f"Frames are 0 to {len(self.moments) - 1}"
            )
        return self.moments[index]

    def png(self, index: int) -> bytes:
        return frame_png(self.moment(index).rain())

    def animated(self, file_format: AnimationFormat) -> bytes:
        """The moving picture of all frames."""
        side = side_of(len(self.moments))
        frames = (
            LabelledFrame(item.rain(side), item.valid_time, item.lead_minutes, forecast=item.kind == "forecast")
            for item in self.moments
        )
        title = f"{self.job.model_used or self.job.model}, from {self.reference_time:%Y-%m-%d %H:%M} UTC"
        return animation(frames, side=side, file_format=file_format, title=title)

    def manifest(self) -> Frames:
        """The list of frames, their grid and their legend."""
        grid, block = self.forecast.grid, self.forecast.block()
        dy, dx = grid.pixel_size_m
        ny, nx = grid.shape
        return Frames(
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
                bounds=bounds_lon_lat(grid),
            ),
            graticule=[GridLine(label=label, points=points) for label, points in graticule(grid)],
            legend=legend(),
            frames=[
                Frame(
                    index=item.index,
                    kind=item.kind,
                    valid_time=item.valid_time,
                    lead_minutes=item.lead_minutes,
                    href=f"{path_of(self.job.id)}/frames/{item.index}.png",
                )
                for item in self.moments
            ],
        )
