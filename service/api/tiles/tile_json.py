"""TileJSON: where a map viewer finds tiles, and which frames and layers there are."""

from __future__ import annotations

import math
from typing import Final

from service.api.tiles.drawing import Layered
from service.api.tiles.frame_id import FrameId
from service.api.tiles.layers import map_layers, template
from service.api.tiles.tile_set import TileSet
from service.api.tiles.types import TiledFrame, TileJson
from service.render.footprint import Bounds
from service.render.web_mercator import MAX_LATITUDE, MAX_ZOOM

EARTH_M: Final = 40_075_016.7
"""Side of the world in Web Mercator."""
TILE_PX: Final = 256
ZOOMS_BEYOND: Final = 2
"""Zoom levels at which a pixel of the radar is larger than one of a tile, and still drawn with sharp edges."""
WHAT: Final = {
    "rain": "rain rate",
    "probability": "probability of rain",
    "accumulation": "rainfall",
    "coverage": "where there is data",
}


def tile_json(base: str, tiles: TileSet, frame: FrameId, layered: Layered) -> TileJson:
    """Return the TileJSON of a frame and layer; `base` is the address of the service."""
    west, south, east, north = bounds = _within_map(tiles.bounds)
    lat = (south + north) / 2
    widest = max(east - west, (north - south) / math.cos(math.radians(lat)), 1e-3)
    native = math.ceil(math.log2(EARTH_M * math.cos(math.radians(lat)) / (TILE_PX * tiles.pixel_m)))
    farthest = min(MAX_ZOOM, max(0, native + ZOOMS_BEYOND))
    whole = min(farthest, max(0, math.floor(math.log2(360.0 / widest)) + 1))
    forecast = tiles.forecast
    return TileJson(
        name=tiles.name,
        description=f"Echocast, {tiles.kind} {tiles.name}: {WHAT[layered.layer]}",
        tiles=[template(base, tiles, frame, layered.query)],
        vector_layers=[],
        minzoom=0,
        maxzoom=farthest,
        bounds=bounds,
        data_bounds=None if tiles.data_bounds is None else _within_map(tiles.data_bounds),
        center=(round((west + east) / 2, 4), round(lat, 4), whole),
        frame=str(frame),
        layer=layered.layer,
        threshold_mm_h=layered.threshold_mm_h,
        thresholds_mm_h=() if forecast is None else forecast.thresholds_mm_h,
        kind=tiles.kind,
        now=tiles.now,
        reference_time=None if forecast is None else forecast.reference_time,
        model=None if forecast is None else forecast.model,
        note="" if forecast is None else forecast.note,
        scored_lead_minutes=None if forecast is None else forecast.scored_lead_minutes,
        status=tiles.status,
        reason=tiles.reason,
        age_minutes=tiles.age_minutes,
        interval_minutes=tiles.interval_minutes,
        radar_product=tiles.radar_product,
        models=tiles.models,
        layers=map_layers(base, tiles),
        frames=[_tiled(base, tiles, item) for item in tiles.frames],
        missing=tiles.missing,
    )


def _tiled(base: str, tiles: TileSet, frame: FrameId) -> TiledFrame:
    if frame.reference_time is None or frame.valid_time is None:
        raise ValueError("a frame of the list has no time")
    coverage = tiles.coverage.get(frame)
    return TiledFrame(
        id=str(frame),
        kind="observed" if frame.observed else "forecast",
        reference_time=frame.reference_time,
        valid_time=frame.valid_time,
        lead_minutes=(frame.valid_time - frame.reference_time).total_seconds() / 60,
        coverage=None if coverage is None else round(coverage, 4),
        tiles=[template(base, tiles, frame)],
    )


def _within_map(bounds: Bounds) -> Bounds:
    """Return bounds as TileJSON has them, within the map; those across 180 degrees span the map."""
    west, south, east, north = bounds
    if east > 180.0:
        west, east = -180.0, 180.0
    south, north = (max(-MAX_LATITUDE, min(MAX_LATITUDE, lat)) for lat in (south, north))
    return round(west, 4), round(south, 4), round(east, 4), round(north, 4)
