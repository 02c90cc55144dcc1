"""The nowcast as PNG pictures, one for each lead step, and a manifest by which a map can show them.

The names of the pictures and of the manifest have the digest of their content: a manifest means the same pictures for
ever. Addresses in it are relative to its own.
"""

from __future__ import annotations

import json
from typing import Any, Final

from model.core.colour_scale import NO_DATA, hex_of
from model.core.rain_scale import RAIN_SCALE, UNIT
from model.core.times import basic_text, rfc3339
from service.render.forecast_reader import RainFile
from service.render.graticule import corners_lon_lat, outer_bounds
from service.render.picture import frame_png, picture_size
from workers.context import WorkerContext
from workers.feeds.products.made_file import MadeFile
from workers.feeds.published_run import PublishedRun

PNG: Final = "image/png"


def make_pictures(published: PublishedRun, context: WorkerContext) -> list[MadeFile]:
    """Return the manifest and the pictures."""
    forecast = RainFile.open(published.nowcast)
    pictures = []
    for number, valid_time in enumerate(forecast.times):
        path = published.folder / f"{number}.png"
        path.write_bytes(frame_png(forecast.frame(number)))
        pictures.append(
            MadeFile(
                path=path,
                stem=f"rain-{basic_text(valid_time)}",
                title=f"Rain rate at {valid_time:%Y-%m-%d %H:%M} UTC, PNG",
                media_type=PNG,
            )
        )
    path = published.folder / "png.json"
    path.write_text(json.dumps(_manifest(published, forecast, pictures), indent=1))
    manifest = MadeFile(path=path, stem="png", title="Pictures of the rain rate", media_type="application/json")
    return [manifest, *pictures]


def _manifest(published: PublishedRun, forecast: RainFile, pictures: list[MadeFile]) -> dict[str, Any]:
    grid = forecast.grid
    height, width = picture_size(grid.shape)
    return {
        "feed": published.feed.name,
        "reference_time": rfc3339(forecast.reference_time),
        "nowcast": published.job_id,
        "model": forecast.attributes.get("model", ""),
        "field": forecast.field,
        "width": width,
        "height": height,
        "crs": {"epsg": grid.crs.to_epsg(), "wkt": grid.crs.to_wkt()},
        "bounds": outer_bounds(grid),
        "corners_lon_lat": corners_lon_lat(grid),
        "unit": UNIT,
        "legend": [{"lower": item.lower, "upper": item.upper, "colour": item.hex} for item in RAIN_SCALE.classes],
        "no_data": [hex_of(colour) for colour in NO_DATA],
        "frames": [
            {
                "valid_time": rfc3339(valid_time),
                "lead_minutes": minutes,
                "href": picture.name,
                "size": picture.path.stat().st_size,
                "digest": picture.digest,
            }
            for valid_time, minutes, picture in zip(forecast.times, forecast.lead_minutes, pictures, strict=True)
        ],
    }
