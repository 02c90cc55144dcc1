"""TileJSON of a feed: where a map viewer finds its tiles, and which frames there are."""

from __future__ import annotations

import math
from typing import Final

from service.api.feeds.answers import path_of_feed
from service.api.feeds.tiles.frame_id import FrameId
from service.api.feeds.tiles.frames import FrameLists
from service.api.feeds.tiles.types import TiledFrame, TileJson
from service.api.nowcasts.types import Layer
from service.render.footprint import Bounds
from service.render.web_mercator import MAX_LATITUDE, MAX_ZOOM

EARTH_M: Final = 40_075_016.7
"""Side of the world in Web Mercator."""
TILE_PX: Final = 256
ZOOMS_BEYOND: Final = 2
"""Zoom levels at which a pixel of the radar is larger than one of a tile, and still drawn with sharp edges."""


def tile_json(
    base: str, feed: str, lists: FrameLists, frame: FrameId, layer: Layer, threshold_mm_h: float | None
) -> TileJson:
    """Return the TileJSON of a frame and layer; `base` is the address of the service."""
    query = ""
    if layer == "probability":
        query = "?layer=probability" + ("" if threshold_mm_h is None else f"&threshold={threshold_mm_h:g}")
    west, south, east, north = bounds = _within_map(lists.bounds)
    lat = (south + north) / 2
    widest = max(east - west, (north - south) / math.cos(math.radians(lat)), 1e-3)
    native = math.ceil(math.log2(EARTH_M * math.cos(math.radians(lat)) / (TILE_PX * lists.pixel_m)))
    farthest = min(MAX_ZOOM, max(0, native + ZOOMS_BEYOND))
    whole = min(farthest, max(0, math.floor(math.log2(360.0 / widest)) + 1))
    what = "rain rate" if layer == "rain" else "probability of rain"
    return TileJson(
        name=feed,
        description=f"Echocast, feed {feed}: {what}",
        tiles=[_template(base, feed, frame, query)],
        vector_layers=[],
        minzoom=0,
        maxzoom=farthest,
        bounds=bounds,
        center=(round((west + east) / 2, 4), round(lat, 4), whole),
        frame=str(frame),
        layer=layer,
        threshold_mm_h=threshold_mm_h,
        thresholds_mm_h=lists.thresholds_mm_h,
        frames=[_tiled(base, feed, item) for item in (*lists.past, *lists.forecast)],
    )


def _template(base: str, feed: str, frame: FrameId, query: str = "") -> str:
    return f"{base}{path_of_feed(feed)}/tiles/{frame}/{{z}}/{{x}}/{{y}}.png{query}"


def _tiled(base: str, feed: str, frame: FrameId) -> TiledFrame:
    if frame.reference_time is None or frame.valid_time is None:
        raise ValueError("a frame of the list has no time")
    return TiledFrame(
        id=str(frame),
        kind="observed" if frame.observed else "forecast",
        reference_time=frame.reference_time,
        valid_time=frame.valid_time,
        lead_minutes=(frame.valid_time - frame.reference_time).total_seconds() / 60,
        tiles=[_template(base, feed, frame)],
    )


def _within_map(bounds: Bounds | None) -> Bounds:
    """Return bounds as TileJSON has them, within the map; those across 180 degrees span the map."""
    west, south, east, north = bounds or (-180.0, -MAX_LATITUDE, 180.0, MAX_LATITUDE)
    if east > 180.0:
        west, east = -180.0, 180.0
    south, north = (max(-MAX_LATITUDE, min(MAX_LATITUDE, lat)) for lat in (south, north))
    return round(west, 4), round(south, 4), round(east, 4), round(north, 4)
