"""What TileJSON 3.0.0 looks like here, with the layers, the frames, and what is to be said about them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from service.api.nowcasts.types import Legend
from service.feeds.health import FeedStatus

TileLayer = Literal["rain", "probability", "accumulation", "coverage"]
"""What a tile shows."""

Kind = Literal["observed", "forecast"]


class TiledFrame(BaseModel):
    """A frame that has tiles."""

    id: str = Field(examples=["20260601T120000Z-20260601T123000Z-91b2257960b3"])
    kind: Kind
    reference_time: datetime
    valid_time: datetime
    lead_minutes: float
    coverage: float | None = Field(None, description="Share of its pixels with data; null: not known, or a forecast.")
    tiles: list[str] = Field(description="Addresses of its tiles of rain rate, which never change.")


class MapLayer(BaseModel):
    """What a map can show of the frames, with its legend."""

    id: str = Field(examples=["rain", "probability-2", "accumulation-60", "coverage"])
    title: str = Field(description="Key of its title among the messages of the page.", examples=["layer.probability"])
    values: dict[str, float] = Field(description="What the title names: `threshold` in mm/h, or `minutes`.")
    kinds: list[Kind] = Field(
        description="The frames that have it; none: it is one picture, of the time from `start` to `end`."
    )
    tiles: list[str] = Field(
        description="Addresses of its tiles; `{frame}` is to be replaced by the id of a frame.",
        examples=[["http://localhost:8000/v1/feeds/helsinki/tiles/{frame}/{z}/{x}/{y}.png?layer=coverage"]],
    )
    start: datetime | None = None
    end: datetime | None = None
    legend: Legend | None = Field(description="null: hatched is where there is no data.")


class MapModel(BaseModel):
    """A model that has a nowcast of the feed."""

    model: str = Field(description="The version that ran.", examples=["extrapolation@1"])
    reference_time: datetime = Field(description="Of its newest nowcast.")
    own: bool = Field(description="Whether the feed's nowcasts are made by it; else it runs to be compared.")


class TileJson(BaseModel):
    """TileJSON 3.0.0 of a frame, with the list of all frames and layers.

    https://github.com/mapbox/tilejson-spec/tree/master/3.0.0
    """

    tilejson: str = "3.0.0"
    name: str = Field(description="Of the feed, or the id of the nowcast.", examples=["helsinki"])
    description: str
    scheme: Literal["xyz"] = "xyz"
    tiles: list[str] = Field(description="Addresses of the tiles of the frame and layer that were asked for.")
    vector_layers: list[dict[str, str]] = Field(description="None: these tiles are pictures.")
    minzoom: int
    maxzoom: int = Field(description="Beyond it a pixel of the radar is more than four of a tile wide.")
    bounds: tuple[float, float, float, float] = Field(description="West, south, east, north of the radar's grid.")
    data_bounds: tuple[float, float, float, float] | None = Field(
        description="The same of the part of it that has data in the newest frame; null: it has none."
    )
    center: tuple[float, float, int]
    frame: str = Field(description="The id of the frame of `tiles`.")
    layer: TileLayer
    threshold_mm_h: float | None = Field(description="Rain rate whose probability is shown.")
    thresholds_mm_h: tuple[float, ...] = Field(description="Those whose probabilities the forecast frames have.")
    kind: Literal["feed", "nowcast"]
    now: datetime = Field(description="From which accumulations count; of a nowcast its reference time.")
    reference_time: datetime | None = Field(description="Of the forecast; null: none is published yet.")
    model: str | None = Field(description="The version that made the forecast.", examples=["rain-ms-predrnn@2"])
    note: str = Field(description="What a user of the forecast must know.")
    scored_lead_minutes: float | None = Field(description="Beyond it nobody has scored the model; null: nowhere.")
    status: FeedStatus | None = Field(description="Of the feed; null of a nowcast.")
    reason: str = Field(description="Why it is not `ok`.")
    age_minutes: float | None = Field(description="Age of the newest frame; null of a nowcast.")
    interval_minutes: float | None = Field(description="Minutes between observed frames; null: not known yet.")
    radar_product: str = Field(description="What the radar made the newest frame of; empty: not known.")
    models: list[MapModel] = Field(description="Models whose forecasts `model` can ask for, the feed's own first.")
    layers: list[MapLayer]
    frames: list[TiledFrame] = Field(description="Observed frames, then the forecast from now on, the oldest first.")
    missing: list[datetime] = Field(description="Times between the observed frames at which one is due and missing.")
