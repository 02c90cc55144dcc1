"""What RainViewer's list of weather maps looks like."""

from __future__ import annotations

from pydantic import BaseModel, Field


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
