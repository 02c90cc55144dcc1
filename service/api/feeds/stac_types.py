"""STAC 1.1 items and collections, as the routes of feeds respond with them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.status import Link

STAC_VERSION: Final = "1.1.0"
PROJECTION: Final = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
FORECAST: Final = "https://stac-extensions.github.io/forecast/v0.2.0/schema.json"
FILE: Final = "https://stac-extensions.github.io/file/v2.1.0/schema.json"


class StacAsset(BaseModel):
    """A file of a run."""

    model_config = ConfigDict(populate_by_name=True)

    href: str
    type: str
    title: str
    roles: list[str]
    size: int | None = Field(None, alias="file:size", description="Bytes.")
    checksum: str | None = Field(None, alias="file:checksum", description="Multihash (SHA-256) of the content.")


class StacProperties(BaseModel):
    """When and on which grid a run forecasts."""

    model_config = ConfigDict(populate_by_name=True)

    first_time: datetime = Field(alias="datetime", description="The first lead step.")
    start_datetime: datetime
    end_datetime: datetime
    created: datetime
    title: str
    reference_datetime: datetime = Field(alias="forecast:reference_datetime")
    horizon: str = Field(alias="forecast:horizon", description="To the last lead step.", examples=["PT60M"])
    duration: str = Field(alias="forecast:duration", description="From the first lead step to the last.")
    variable: str = Field("rainfall_rate", alias="forecast:variable")
    code: str | None = Field(None, alias="proj:code", examples=["EPSG:3035"], description="Absent: it has none.")
    wkt2: str = Field(alias="proj:wkt2")
    bbox: tuple[float, float, float, float] = Field(alias="proj:bbox")
    shape: tuple[int, int] = Field(alias="proj:shape")
    transform: list[float] = Field(alias="proj:transform", description="Of pictures with north up.")
    model: str = Field(alias="echocast:model", description="The model that ran.")


class StacGeometry(BaseModel):
    """The outline of the grid, in longitude and latitude."""

    type: Literal["Polygon"] = "Polygon"
    coordinates: list[list[tuple[float, float]]]


class StacItem(BaseModel):
    """A run as an item of STAC."""

    type: Literal["Feature"] = "Feature"
    stac_version: str = STAC_VERSION
    stac_extensions: list[str] = [PROJECTION, FORECAST, FILE]
    id: str
    collection: str
    geometry: StacGeometry
    bbox: tuple[float, float, float, float]
    properties: StacProperties
    assets: dict[str, StacAsset]
    links: list[Link]


class StacCollection(BaseModel):
    """A feed as a collection of STAC."""

    type: Literal["Collection"] = "Collection"
    stac_version: str = STAC_VERSION
    id: str
    title: str
    description: str
    license: str = Field(description="`other`: the operator of the radar knows.")
    extent: dict[str, Any]
    links: list[Link]
