"""GeoTIFF encoder for a process of its own: rasterio comes with its own GDAL, HDF5 and netCDF libraries.

`service.render.geotiff` runs this file as a script. It reads a request as JSON from stdin, and writes a cloud-optimized
GeoTIFF of packed values as they are in the forecast file. It imports no module of Echocast.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

CACHE_MB = 64
"""Memory for blocks of pixels; a frame is not held as a whole."""


def main() -> None:
    """Write the file of the request on stdin."""
    import rasterio

    request = json.load(sys.stdin)
    options = {"GDAL_CACHEMAX": CACHE_MB, "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}
    target = Path(request["target"])
    plain = target.with_suffix(".plain.tif")
    with rasterio.Env(**options):
        try:
            _write_plain(request, plain)
            _write_cloud_optimized(plain, target)
        finally:
            plain.unlink(missing_ok=True)
    os._exit(0)  # skip the clean-up of libraries at exit, which is where they crash


def _write_plain(request: dict[str, Any], target: Path) -> None:
    """Write a tiled GeoTIFF with every band, window by window."""
    import rasterio

    source_name = f'netcdf:"{request["source"]}":{request["variable"]}'
    with rasterio.open(source_name) as source:
        profile = {
            "driver": "GTiff",
            "width": source.width,
            "height": source.height,
            "count": source.count,
            "dtype": source.dtypes[0],
            "nodata": source.nodatavals[0],
            "crs": rasterio.CRS.from_wkt(request["crs_wkt"]),
            "transform": rasterio.Affine.from_gdal(*request["transform"]),
            "tiled": True,
            "blockxsize": 512,
            "blockysize": 512,
            "interleave": "band",
            "bigtiff": "if_safer",
        }
        with rasterio.open(target, "w", **profile) as file:
            for index in source.indexes:
                for _, window in file.block_windows(index):
                    file.write(source.read(index, window=window), index, window=window)
            file.scales = [float(f"{scale:.6g}") for scale in source.scales]  # the file has it in 32 bits
            file.offsets = source.offsets
            file.units = [request["unit"]] * source.count
            file.update_tags(**request["tags"])
            for index, band in enumerate(request["bands"], start=1):
                file.set_band_description(index, band["description"])
                file.update_tags(index, **band["tags"])


def _write_cloud_optimized(source: Path, target: Path) -> None:
    """Copy with overviews, whose pixels are pixels of the forecast: a mean would turn missing data into rain."""
    import rasterio.shutil

    rasterio.shutil.copy(
        source,
        target,
        driver="COG",
        compress="deflate",
        predictor="yes",
        blocksize=512,
        overview_resampling="nearest",
        bigtiff="if_safer",
    )


if __name__ == "__main__":
    main()
