"""The nowcast as a cloud-optimized GeoTIFF, with a band for each lead step."""

from __future__ import annotations

from typing import Final

from service.render.forecast_reader import RainFile
from service.render.geotiff import write_geotiff
from workers.context import WorkerContext
from workers.feeds.products.made_file import MadeFile
from workers.feeds.published_run import PublishedRun

COG: Final = "image/tiff; application=geotiff; profile=cloud-optimized"


def make_cog(published: PublishedRun, context: WorkerContext) -> list[MadeFile]:
    """Return the GeoTIFF.

    Raises
    ------
    MissingDependency
        rasterio is not installed.
    CannotEncode
        It cannot be made.
    """
    target = published.folder / "cog.tif"
    write_geotiff(RainFile.open(published.nowcast), target)
    return [MadeFile(path=target, stem="cog", title="Rain rate, cloud-optimized GeoTIFF", media_type=COG)]
