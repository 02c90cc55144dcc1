"""Decodes GeoTIFF in a process of its own: rasterio brings its own GDAL, HDF5 and netCDF libraries.

Run as a script by `model.readers.geotiff`. Reads paths as JSON from stdin; for each writes to stdout one JSON line that
describes the image, and the raw float32 pixels, NaN where there is no data. Imports nothing of ours.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np


def main() -> None:
    """Serve the paths given on stdin, in order."""
    output = sys.stdout.buffer
    # What the library prints must not end up among the values.
    request = json.load(sys.stdin)
    sys.stdout = sys.stderr
    try:
        import rasterio
    except Exception as error:  # the package may be there without its libraries
        _line(output, {"unavailable": f"{type(error).__name__}: {error}"})
        request["paths"] = []
    for path in request["paths"]:
        try:
            # The files around an image are not looked at: they may be a stranger's.
            with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_PAM_ENABLED="NO"):
                _one_file(path, request["max_pixels"], output)
        except Exception as error:  # the parent names the file; every reason is the same to it
            _line(output, {"error": f"{type(error).__name__}: {error}"})
    output.flush()
    os._exit(0)  # GRIB's way out, too: a library's clean-up at exit is where it crashes


def _one_file(path: str, max_pixels: int, output: BinaryIO) -> None:
    import rasterio

    with rasterio.open(Path(path), driver="GTiff") as image:
        description: dict[str, Any] = {
            "shape": [image.height, image.width],
            "bands": image.count,
            "type": image.dtypes[0],
            "colours": [colour.name for colour in image.colorinterp],
            "transform": list(image.transform)[:6],
            "crs": image.crs.to_wkt() if image.crs else None,
            "tags": {**image.tags(), **image.tags(1)},
            "scale": float(image.scales[0]),
            "offset": float(image.offsets[0]),
            "unit": image.units[0],
            "name": image.descriptions[0],
        }
        if image.height * image.width > max_pixels or image.count != 1:
            _line(output, description)  # described, never decoded: the parent refuses it
            return
        values = image.read(1, masked=True).astype(np.float32).filled(np.nan)
    _line(output, {**description, "values": int(values.size)})
    output.write(np.ascontiguousarray(values).data)


def _line(output: BinaryIO, content: dict[str, Any]) -> None:
    output.write(json.dumps(content).encode() + b"\n")


if __name__ == "__main__":
    main()
