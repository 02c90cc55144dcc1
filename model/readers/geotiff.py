"""GeoTIFF of one band: reflectivity or rain rate, as FMI's open data and others have it.

Needs the extra `geotiff` (rasterio), which decodes in child processes only (see `geotiff_child`). Values are scaled by
GDAL's SCALE and OFFSET, or FMI's Gain and Offset. A TIFF has no place for the valid time: see `geotiff_texts`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, Final

import numpy as np
from pyproj import CRS

from model.core.errors import NotARadarFile
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.core.zr import MARSHALL_PALMER
from model.readers.children import Answer, Decoder, decode
from model.readers.geotiff_texts import check_observed, quantity, valid_time
from model.readers.source import (
    DAMAGED,
    Options,
    Source,
    check_one_variable,
    rain_of_reflectivity,
)

TITLE: Final = "GeoTIFF"
MAGICS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
CHILD: Final = Path(__file__).with_name("geotiff_child.py")


def matches(head: bytes, path: Path) -> bool:
    """A TIFF or BigTIFF."""
    return head.startswith(MAGICS)


def read_frames(sources: Sequence[Source], options: Options) -> Iterator[tuple[Source, FrameSequence]]:
    """Frames of GeoTIFF files.

    Raises
    ------
    MissingDependency
        Rasterio is not installed.
    """
    decoder = Decoder(title=TITLE, family=TITLE, library="rasterio", script=CHILD, file_frames=_file_frames)
    yield from decode(sources, options, decoder)


def _file_frames(answer: Answer, source: Source, options: Options) -> FrameSequence:
    said = answer.line()
    if said["bands"] != 1 or said["colours"][0] == "palette":
        kind = "a palette" if said["bands"] == 1 else f"{said['bands']} bands"
        raise NotARadarFile(f"it is a picture ({kind}), not the values", hint="Give one band, without colours")
    ny, nx = said["shape"]
    options.budget.take(1, ny, nx)
    if said.get("values") != ny * nx:
        raise NotARadarFile(f"its image is {ny} x {nx}, its values are {said.get('values')}", hint=DAMAGED)
    values = answer.values(ny * nx).reshape(ny, nx)
    tags = {name.lower(): str(value) for name, value in said["tags"].items()}
    name = PurePath(source.content_name).name
    check_observed(tags, name)
    held = quantity(said, tags, name)
    reflectivity = held.kind == "reflectivity"
    check_one_variable(options, "reflectivity" if reflectivity else "rain_rate")
    scaled = _scaled(values, said, tags, held.factor)

    attributes = {"radar_format": TITLE, "source_product": tags.get("tifftag_imagedescription", "")}
    no_echo = np.isneginf(scaled)
    if reflectivity:
        rain, described = rain_of_reflectivity(scaled, options, MARSHALL_PALMER)
        attributes |= {"quantity": "reflectivity", **described}
    else:
        rain = scaled
        attributes["quantity"] = "rain rate"
    rain[no_echo] = 0.0
    grid = _grid(said)
    time = valid_time(tags, name)
    return FrameSequence(rain_rate=rain[np.newaxis], times=np.array([time]), grid=grid, attributes=attributes)


def _scaled(values: FloatArray, said: Mapping[str, Any], tags: Mapping[str, str], factor: float) -> FloatArray:
    """Values in dBZ or mm/h: NaN where there is no data, -inf where the radar looked and saw no echo."""
    scale, offset = float(said["scale"]), float(said["offset"])
    if (scale, offset) == (1.0, 0.0):
        scale, offset = _number(tags, "gain", 1.0), _number(tags, "offset", 0.0)
    if (scale, offset) == (1.0, 0.0) and factor >= 1 and not str(said["type"]).startswith("float"):
        raise NotARadarFile(
            f"it holds {said['type']} without a scale", hint="Write SCALE and OFFSET (gdal_edit -scale -offset)"
        )
    if not 0 < scale < math.inf or not math.isfinite(offset):
        raise NotARadarFile(f"its scale is {scale:g}, its offset {offset:g}", hint="Correct them")
    undetect, nodata = _number(tags, "undetect", math.nan), _number(tags, "nodata", math.nan)
    scaled = values * np.float32(scale * factor) + np.float32(offset * factor)
    scaled[values == np.float32(undetect)] = -np.inf
    scaled[values == np.float32(nodata)] = np.nan
    return scaled


def _number(tags: Mapping[str, str], name: str, default: float) -> float:
    return float(tags[name]) if name in tags else default


def _grid(said: Mapping[str, Any]) -> Grid:
    if said["crs"] is None:
        raise NotARadarFile("it has no coordinate reference system", hint="Give a GeoTIFF with one (gdal_edit -a_srs)")
    crs = CRS.from_wkt(said["crs"])
    dx, row_x, left, column_y, dy, top = said["transform"]
    if row_x or column_y or not dx > 0 or not dy:
        raise NotARadarFile("its rows and columns do not run along its axes", hint="Warp it first (gdalwarp)")
    ny, nx = said["shape"]
    return Grid(crs=crs, x=left + (np.arange(nx) + 0.5) * dx, y=top + (np.arange(ny) + 0.5) * dy)
