"""The layers of a map: what it can show of the frames, in which colours, and where the tiles are."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

from model.core.accumulation import PERIODS_MINUTES
from model.core.probability_scale import PROBABILITY_SCALE
from model.core.rain_scale import RAIN_SCALE, RAINFALL_SCALE
from service.api.nowcasts.types import legend
from service.api.tiles.frame_id import FrameId
from service.api.tiles.tile_set import TileSet
from service.api.tiles.types import Kind, MapLayer

ALL: Final[list[Kind]] = ["observed", "forecast"]


def template(base: str, tiles: TileSet, frame: FrameId | str, query: str = "") -> str:
    """Return the address of a frame's tiles, with {z}, {x} and {y}; `base` is the address of the service."""
    return f"{base}{tiles.path}/tiles/{frame}/{{z}}/{{x}}/{{y}}.png{query}"


def map_layers(base: str, tiles: TileSet) -> list[MapLayer]:
    """Return the layers of the frames: rain rate first, then what the forecast has."""
    of_frame = partial(template, base, tiles, "{frame}")
    rain = MapLayer(id="rain", title="layer.rain", values={}, kinds=ALL, tiles=[of_frame()], legend=legend(RAIN_SCALE))
    coverage = MapLayer(
        id="coverage", title="layer.coverage", values={}, kinds=ALL, tiles=[of_frame("?layer=coverage")], legend=None
    )
    thresholds = () if tiles.forecast is None else tiles.forecast.thresholds_mm_h
    likely = [
        MapLayer(
            id=f"probability-{threshold:g}",
            title="layer.probability",
            values={"threshold": threshold},
            kinds=["forecast"],
            tiles=[of_frame(f"?layer=probability&threshold={threshold:g}")],
            legend=legend(PROBABILITY_SCALE),
        )
        for threshold in thresholds
    ]
    return [rain, *likely, *_accumulations(base, tiles), coverage]


def _accumulations(base: str, tiles: TileSet) -> list[MapLayer]:
    """Return the layers of rainfall from now on, as far as the forecast reaches."""
    forecast = tiles.forecast
    if forecast is None:
        return []
    start = max(forecast.reference_time, tiles.now.replace(second=0, microsecond=0))
    ends = {minutes: start + timedelta(minutes=minutes) for minutes in PERIODS_MINUTES}
    return [
        MapLayer(
            id=f"accumulation-{minutes:g}",
            title="layer.accumulation",
            values={"minutes": minutes},
            kinds=[],
            tiles=[
                template(
                    base,
                    tiles,
                    FrameId(forecast.reference_time, end, forecast.version),
                    f"?layer=accumulation&minutes={minutes:g}",
                )
            ],
            start=start,
            end=end,
            legend=legend(RAINFALL_SCALE),
        )
        for minutes, end in ends.items()
        if end <= forecast.end
    ]
