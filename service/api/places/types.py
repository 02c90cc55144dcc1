"""What the search of places returns."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class FoundPlace(BaseModel):
    """A place."""

    name: str = Field(description="Its usual name; of coordinates, what they are in degrees.")
    kind: Literal["town", "coordinates"] = Field(description="Whether `q` was a name or coordinates.")
    matched: str | None = Field(description="The other name that it was found under: `Wien` of Vienna.")
    country: str | None = Field(description="Code of the country, ISO 3166-1 alpha-2.")
    region: str | None = Field(description="Part of the country, where it is known: states of the USA.")
    latitude: float = Field(description="Of its middle; degrees north, WGS 84.")
    longitude: float = Field(description="Of its middle; degrees east, WGS 84.")
    population: int | None = Field(description="Inhabitants.")
    distance_km: float | None = Field(description="From `lat` and `lon`, where they were given.")


class FoundPlaces(BaseModel):
    """Places, best first."""

    places: list[FoundPlace]
    attribution: str = Field(description="To be shown where the places are.")
