"""GeoTIFF decoder for a process of its own: rasterio comes with its own GDAL, HDF5 and netCDF libraries.

`model.readers.geotiff` runs this file as a script, or calls `decoded` where the process may be lost. The script reads
paths as JSON from stdin and writes for each file one JSON line about the image and the raw float32 pixels, NaN where
there is no data, to stdout. It imports no module of Echocast.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def main() -> None:
    """Decode the files named on stdin, in order."""
    output = sys.stdout.buffer
    # Output of the library must not end up between the values.
    request = json.load(sys.stdin)
    sys.stdout = sys.stderr
    for path in request["paths"]:
        for piece in decoded(path, request["max_pixels"]):
            output.write(piece)
    output.flush()
    os._exit(0)  # skip the clean-up of libraries at exit, which is where they crash


def decoded(path: str, max_pixels: int) -> Iterator[bytes | memoryview]:
    """Yield a JSON line and the raw pixels of one file; of pixels beyond `max_pixels` the line alone."""
    try:
        import rasterio
    except Exception as error:  # the package may lack its libraries
        yield _line({"unavailable": f"{type(error).__name__}: {error}"})
        return
    try:
        # GDAL must not open files around an image: they may belong to another user.
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_PAM_ENABLED="NO"):
            pieces = _one_file(path, max_pixels)
    except MemoryError:
        raise
    except Exception as error:  # the reader handles every reason alike
        pieces = [_line({"error": f"{type(error).__name__}: {error}"})]
    yield from pieces


def _one_file(path: str, max_pixels: int) -> list[bytes | memoryview]:
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
            return [_line(description)]  # without values: the reader refuses the image
        values = image.read(1, masked=True).astype(np.float32).filled(np.nan)
    return [_line({**description, "values": int(values.size)}), np.ascontiguousarray(values).data]


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode() + b"\n"


if __name__ == "__main__":
    main()
