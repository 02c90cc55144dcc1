"""What lists of tiles look like: TileJSON 3.0.0, and RainViewer's weather maps."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from service.api.nowcasts.types import Layer


class TiledFrame(BaseModel):
    """A frame that has tiles."""

    id: str = Field(examples=["20260601T120000Z-20260601T123000Z-91b2257960b3"])
    kind: Literal["observed", "forecast"]
    reference_time: datetime
    valid_time: datetime
    lead_minutes: float
    tiles: list[str] = Field(description="Addresses of its tiles of rain rate, which never change.")


class TileJson(BaseModel):
    """TileJSON 3.0.0 of a frame, with the list of all frames.

    https://github.com/mapbox/tilejson-spec/tree/master/3.0.0
    """

    tilejson: str = "3.0.0"
    name: str
    description: str
    scheme: Literal["xyz"] = "xyz"
    tiles: list[str] = Field(description="Addresses of the tiles of the frame and layer that were asked for.")
    vector_layers: list[dict[str, str]] = Field(description="None: these tiles are pictures.")
    minzoom: int
    maxzoom: int = Field(description="Beyond it a pixel of the radar is more than four of a tile wide.")
    bounds: tuple[float, float, float, float] = Field(description="West, south, east, north of the radar's grid.")
    center: tuple[float, float, int]
    frame: str = Field(description="The id of the frame of `tiles`.")
    layer: Layer
    threshold_mm_h: float | None = Field(description="Rain rate whose probability is shown.")
    thresholds_mm_h: tuple[float, ...] = Field(description="Those whose probabilities the forecast frames have.")
    frames: list[TiledFrame] = Field(description="Observed frames, then the forecast from now on, the oldest first.")


class WeatherMap(BaseModel):
    """A frame: valid time (seconds since 1970), and the path of its tiles below `host`."""

    time: int
    path: str = Field(examples=["/v2/radar/20260601T120000Z-4be1a63e5c1f"])


class RadarMaps(BaseModel):
    """Observed frames and lead steps, the oldest first; no time is in both."""

    past: list[WeatherMap]
    nowcast: list[WeatherMap]


class SatelliteMaps(BaseModel):
    """No satellite: the list is there because pages read it."""

    infrared: list[WeatherMap] = []


class WeatherMaps(BaseModel):
    """The frames of a feed, as RainViewer's API of weather maps lists them."""

    version: str = "2.0"
    generated: int = Field(description="When the newest of them came (seconds since 1970).")
    host: str = Field(
        description="What stands before every path.", examples=["http://localhost:8000/v1/feeds/helsinki"]
    )
    radar: RadarMaps
    satellite: SatelliteMaps = SatelliteMaps()
