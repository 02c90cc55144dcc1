"""What a tile shows: a layer of a frame on a part of the map; and the picture of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Query

from model.core.accumulation import PERIODS_MINUTES
from model.core.colour_scale import NO_DATA_RANK
from model.core.times import rfc3339
from service.api.errors import InvalidParameter
from service.api.nowcasts.view import known_threshold
from service.api.tiles.frame_id import FrameId, no_such_frame
from service.api.tiles.types import TileLayer
from service.render.forecast_reader import RainFile, StoredFrame, SummedFrame
from service.render.map_tile import on_map
from service.render.tile_picture import TileFormat, black_picture, coverage_picture, tile_picture
from service.render.web_mercator import MapPicture

DEFAULT_MINUTES: Final = PERIODS_MINUTES[-1]

LayerQuery = Annotated[
    TileLayer,
    Query(
        description="`rain`; `probability` of at least `threshold`; `accumulation` of the `minutes` up to the valid "
        "time; `coverage`: where there is data. The second and the third are of the forecast."
    ),
]
ThresholdQuery = Annotated[
    float | None,
    Query(
        gt=0,
        allow_inf_nan=False,
        description="Rain rate in mm/h, one of the `thresholds_mm_h` of tiles.json; default: the lowest.",
    ),
]
MinutesQuery = Annotated[
    float | None,
    Query(
        description="Of an accumulation; default: 60.",
        json_schema_extra={"enum": [*map(int, PERIODS_MINUTES)]},
    ),
]
SizeQuery = Annotated[int, Query(description="Pixels a side: 256 or 512.", json_schema_extra={"enum": [256, 512]})]


@dataclass(frozen=True)
class Layered:
    """A layer, with the threshold (mm/h) of a probability, or the period (minutes) of an accumulation."""

    layer: TileLayer = "rain"
    threshold_mm_h: float | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.minutes not in (None, *PERIODS_MINUTES):
            periods = ", ".join(f"{minutes:g}" for minutes in PERIODS_MINUTES)
            raise InvalidParameter(
                f"there is no rainfall of {self.minutes:g} min", where="minutes", hint=f"Request one of {periods}"
            )

    @property
    def query(self) -> str:
        """The query of its tiles; empty for rain."""
        if self.layer == "rain":
            return ""
        asked = {"threshold": self.threshold_mm_h, "minutes": self.minutes}
        return f"?layer={self.layer}" + "".join(f"&{key}={value:g}" for key, value in asked.items() if value)


@dataclass(frozen=True)
class Drawing:
    """A picture of a layer on a part of the map. `black`: as RainViewer draws where there is no data."""

    picture: MapPicture
    layered: Layered = Layered()
    smooth: bool = False
    file_format: TileFormat = "png"
    black: bool = False

    @property
    def tag(self) -> str:
        """Tells it from every other drawing of the frame."""
        asked = (self.layered.threshold_mm_h, self.layered.minutes)
        values = ["" if value is None else f"{value:.6g}" for value in asked]
        place = (self.picture.left, self.picture.top, self.picture.size, self.picture.world)
        kind = "".join([self.layered.layer, *values, "-smooth" * self.smooth, "-black" * self.black])
        return "-".join([kind, *(f"{number:.12g}" for number in place), self.file_format])

    def draw(self, file: RainFile, frame: FrameId) -> bytes:
        """Return the picture of a frame.

        Raises
        ------
        NoSuchFrame
            The file has no such frame.
        InvalidParameter
            The frame has no such layer or threshold.
        NotOnEarth
            The grid has no relation to longitude and latitude.
        """
        stored = self._frame(file, frame)
        if self.layered.layer == "coverage":
            ranks = on_map(file, stored, self.picture, outside=NO_DATA_RANK)
            return black_picture(ranks) if self.black else coverage_picture(ranks, stored.scale, self.file_format)
        return tile_picture(on_map(file, stored, self.picture, smooth=self.smooth), stored.scale, self.file_format)

    def _frame(self, file: RainFile, frame: FrameId) -> StoredFrame | SummedFrame:
        """Return where the frame of the layer is stored."""
        layered = self.layered
        if layered.layer == "accumulation":
            return _rainfall(file, frame, DEFAULT_MINUTES if layered.minutes is None else layered.minutes)
        valid = frame.valid_time or file.times[-1]
        if valid not in file.times:
            raise no_such_frame(f"there is no frame at {rfc3339(valid)}")
        number = file.times.index(valid)
        if layered.layer != "probability":
            return file.rain_frame(number)
        _check_forecast(frame, "probability")
        return file.probability_frame(number, known_threshold(file, layered.threshold_mm_h))


def _rainfall(file: RainFile, frame: FrameId, minutes: float) -> SummedFrame:
    """Return where the rainfall of the minutes up to the valid time is stored."""
    _check_forecast(frame, "accumulation")
    if frame.valid_time is None:
        raise no_such_frame("an accumulation has an end")
    end = (frame.valid_time - file.reference_time).total_seconds() / 60
    found = file.rainfall(end - minutes, end)
    if found is None:
        raise no_such_frame(f"the forecast does not cover the {minutes:g} min up to {frame.valid_time:%H:%M} UTC")
    return found


def _check_forecast(frame: FrameId, layer: str) -> None:
    if frame.observed:
        raise InvalidParameter(f"an observed frame has no {layer}", where="layer", hint="Name a frame of the forecast")
