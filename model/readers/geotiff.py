"""GeoTIFF of one band with reflectivity or rain rate, such as FMI's open data.

Needs the extra `geotiff` (rasterio), which never decodes in a process that must live on (see `geotiff_decoder`). GDAL's
SCALE and OFFSET scale the values, or FMI's Gain and Offset. TIFF defines no tag for the valid time: see `geotiff_tags`.
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
from model.readers import geotiff_decoder
from model.readers.geotiff_tags import check_observed, quantity, valid_time
from model.readers.limits import FETCH_AGAIN
from model.readers.rain_rate import rain_rate_of_reflectivity
from model.readers.source import ReadOptions, Source
from model.readers.subprocess_decoding import Decoder, DecoderOutput, decode

TITLE: Final = "GeoTIFF"
MAGICS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
SCRIPT: Final = Path(__file__).with_name("geotiff_decoder.py")


def matches(head: bytes, path: Path) -> bool:
    """Whether the file is a TIFF or BigTIFF."""
    return head.startswith(MAGICS)


def read_frames(sources: Sequence[Source], options: ReadOptions) -> Iterator[tuple[Source, FrameSequence]]:
    """Yield the frames of GeoTIFF files.

    Raises
    ------
    MissingDependency
        Rasterio is not installed.
    """
    decoder = Decoder(
        title=TITLE,
        family=TITLE,
        library="rasterio",
        script=SCRIPT,
        decoded=geotiff_decoder.decoded,
        file_frames=_file_frames,
    )
    yield from decode(sources, options, decoder)


def _file_frames(output: DecoderOutput, source: Source, options: ReadOptions) -> FrameSequence:
    image = output.line()
    if image["bands"] != 1 or image["colours"][0] == "palette":
        kind = "a palette" if image["bands"] == 1 else f"{image['bands']} bands"
        raise NotARadarFile(f"this is a picture ({kind}) without values", hint="Give one band, without colours")
    ny, nx = image["shape"]
    options.budget.take(1, ny, nx)
    if image.get("values") != ny * nx:
        raise NotARadarFile(f"the image is {ny} x {nx}, but has {image.get('values')} values", hint=FETCH_AGAIN)
    values = output.values(ny * nx).reshape(ny, nx)
    tags = {name.lower(): str(value) for name, value in image["tags"].items()}
    name = PurePath(source.content_name).name
    check_observed(tags, name)
    measured = quantity(image, tags, name)
    reflectivity = measured.kind == "reflectivity"
    options.check_single_variable("reflectivity" if reflectivity else "rain_rate")
    scaled = _scaled(values, image, tags, measured.factor)

    attributes = {"radar_format": TITLE, "source_product": tags.get("tifftag_imagedescription", "")}
    no_echo = np.isneginf(scaled)
    if reflectivity:
        rain, described = rain_rate_of_reflectivity(scaled, options, MARSHALL_PALMER)
        attributes |= {"quantity": "reflectivity", **described}
    else:
        rain = scaled
        attributes["quantity"] = "rain rate"
    rain[no_echo] = 0.0
    grid = _grid(image)
    time = valid_time(tags, name)
    return FrameSequence(rain_rate=rain[np.newaxis], times=np.array([time]), grid=grid, attributes=attributes)


def _scaled(values: FloatArray, image: Mapping[str, Any], tags: Mapping[str, str], factor: float) -> FloatArray:
    """Return values in dBZ or mm/h: NaN for no data, -inf for no echo."""
    scale, offset = float(image["scale"]), float(image["offset"])
    if (scale, offset) == (1.0, 0.0):
        scale, offset = float(tags.get("gain", 1.0)), float(tags.get("offset", 0.0))
    if (scale, offset) == (1.0, 0.0) and factor >= 1 and not str(image["type"]).startswith("float"):
        raise NotARadarFile(
            f"the file holds {image['type']} without a scale", hint="Write SCALE and OFFSET (gdal_edit -scale -offset)"
        )
    if not 0 < scale < math.inf or not math.isfinite(offset):
        raise NotARadarFile(f"the scale is {scale:g}, the offset {offset:g}", hint="Correct scale and offset")
    undetect, nodata = (float(tags.get(name, math.nan)) for name in ("undetect", "nodata"))
    scaled = values * np.float32(scale * factor) + np.float32(offset * factor)
    scaled[values == np.float32(undetect)] = -np.inf
    scaled[values == np.float32(nodata)] = np.nan
    return scaled


def _grid(image: Mapping[str, Any]) -> Grid:
    if image["crs"] is None:
        raise NotARadarFile("there is no coordinate reference system", hint="Write one (gdal_edit -a_srs)")
    crs = CRS.from_wkt(image["crs"])
    dx, row_x, left, column_y, dy, top = image["transform"]
    if row_x or column_y or not dx > 0 or not dy:
        raise NotARadarFile("the rows do not run along the axes of the CRS", hint="Warp the image first (gdalwarp)")
    ny, nx = image["shape"]
    return Grid(crs=crs, x=left + (np.arange(nx) + 0.5) * dx, y=top + (np.arange(ny) + 0.5) * dy)
