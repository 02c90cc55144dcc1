"""ODIM_H5 Cartesian composites and images (OPERA and most European services).

Michelson et al., "OPERA Data Information Model for HDF5", versions 2.0 to 2.4. The valid time is the
product's nominal time, or for an accumulation (ACRR) the end of its period. Corners are outer ones. What services
leave out takes the defaults of the standard (gain 1, offset 0), as long as that cannot change a value: integers
without their scaling are refused.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from model.core.errors import NotARadarFile, UnknownVariable
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.core.zr import MARSHALL_PALMER
from model.readers.corners import CORNERS, Outline, grid_of, radii_in_metres
from model.readers.hdf5 import MAGIC, attribute, open_hdf5, optional_attribute, read_array
from model.readers.plausible import plausible_time
from model.readers.polar import polar
from model.readers.source import (
    OBSERVATIONS,
    Options,
    Source,
    describe_accumulation,
    describe_mean,
    file_by_file,
    rain_of_reflectivity,
    rain_per_hour,
    utc_text,
)

TITLE: Final = "ODIM_H5"
CARTESIAN: Final = ("COMP", "IMAGE", "CVOL")
POLAR: Final = ("PVOL", "SCAN", "RAY", "AZIM", "ELEV", "ID")
RATES: Final = ("RATE",)
ACCUMULATIONS: Final = ("ACRR",)
REFLECTIVITIES: Final = ("DBZH", "DBZ", "TH")
PREFERENCE: Final = (*RATES, *ACCUMULATIONS, *REFLECTIVITIES)
NO_ECHO: Final = np.float32(-np.inf)


@dataclass(frozen=True, kw_only=True)
class Image:
    """A data group (`dataset1/data1`) and its quantity."""

    group: str
    quantity: str


def matches(head: bytes, path: Path) -> bool:
    """HDF5 whose Conventions are ODIM_H5, or with an ODIM object at its root."""
    if not head.startswith(MAGIC):
        return False
    with open_hdf5(path) as file:
        conventions = str(optional_attribute(file, "", "Conventions") or "")
        return conventions.startswith("ODIM") or ("what" in file and "object" in file["what"].attrs)


def read_file(source: Source, options: Options) -> FrameSequence:
    """The one frame of a composite; `variable` is a quantity (`DBZH`) or a group, `zr` is for reflectivity."""
    with open_hdf5(source.path) as file:
        kind = str(attribute(file, "what", "object")).upper()
        if kind in POLAR:
            raise polar(f"ODIM_H5 object {kind}")
        if kind not in CARTESIAN:
            raise NotARadarFile(f"its object is {kind}, not a composite", hint=f"Give {' or '.join(CARTESIAN)}")
        image = _choose(_images(file), options.variable)
        pixels = read_array(file, f"{image.group}/data", options.budget)
        grid = _grid(file, image, pixels.shape)
        values = _values(file, image, pixels)
        nominal = _time(_inherited(file, image, "what", "date"), _inherited(file, image, "what", "time"))
        period = _period(file, image)
        if period is not None and period[0] > nominal:
            raise NotARadarFile(
                f"it is a forecast: its period begins after its nominal time {utc_text(nominal)}", hint=OBSERVATIONS
            )
        producer = str(optional_attribute(file, "what", "source") or "")

    attributes = {"radar_format": TITLE, "source_product": f"{image.quantity} {producer}".strip()}
    time = nominal
    if image.quantity in REFLECTIVITIES:
        rain, described = rain_of_reflectivity(values, options, MARSHALL_PALMER)
        attributes |= described
    elif image.quantity in ACCUMULATIONS:
        if period is None:
            raise NotARadarFile("its accumulation has no start and end", hint="Give startdate ... endtime in what")
        start, time = period
        rain = rain_per_hour(values, time - start)
        attributes["quantity"] = describe_accumulation(time - start)
    else:
        rain = values
        attributes["quantity"] = _describe_rate(period, nominal)
    rain[values == NO_ECHO] = 0.0
    return FrameSequence(rain_rate=rain[np.newaxis], times=np.array([time]), grid=grid, attributes=attributes)


read_frames = file_by_file(read_file, TITLE)


def _images(file: Any) -> list[Image]:  # noqa: ANN401  (an h5py.File)
    """Every data group that names its quantity, datasets and data in the order of their numbers."""

    def numbered(node: Any, word: str) -> list[str]:  # noqa: ANN401
        names = [name for name in node if re.fullmatch(rf"{word}\d+", name)]
        return sorted(names, key=lambda name: int(name.removeprefix(word)))

    images = []
    for dataset in numbered(file, "dataset"):
        for data in numbered(file[dataset], "data"):
            group = f"{dataset}/{data}"
            quantity = _optional_inherited(file, group, "what", "quantity")
            if quantity is not None:
                images.append(Image(group=group, quantity=str(quantity).upper()))
    return images


def _choose(images: list[Image], variable: str | None) -> Image:
    held = ", ".join(f"{image.quantity} ({image.group})" for image in images) or "no image"
    if variable is not None:
        found = [image for image in images if variable in (image.group, image.quantity)]
        if not found or found[0].quantity not in PREFERENCE:
            why = f"no variable {variable!r}" if not found else f"{variable!r}, which is not rain"
            raise UnknownVariable(f"it has {why}", hint=f"It holds {held}")
    else:
        wanted = next((quantity for quantity in PREFERENCE if any(i.quantity == quantity for i in images)), None)
        found = [image for image in images if image.quantity == wanted]
        if not found:
            raise UnknownVariable("it has no rain rate, accumulation or reflectivity", hint=f"It holds {held}")
    if len(found) > 1:
        raise UnknownVariable(
            f"it has {len(found)} images of {found[0].quantity}", hint=f"Name one as variable: it holds {held}"
        )
    return found[0]


def _values(file: Any, image: Image, pixels: NDArray[Any]) -> FloatArray:  # noqa: ANN401  (an h5py.File)
    """offset + gain * pixel, float32 [y, x]: NaN where nodata, -inf where undetect (looked at, no echo).

    Floats are mostly the values themselves, NaN where there is no data: what is absent is 1, 0, and no such pixel. Of
    integers, one of gain and offset may be absent, and undetect: more would leave open what they mean.
    """

    def what(name: str) -> float | None:
        value = _optional_inherited(file, image.group, "what", name)
        return None if value is None else float(value)

    gain, offset, nodata, undetect = (what(name) for name in ("gain", "offset", "nodata", "undetect"))
    if pixels.dtype.kind != "f":
        for name, absent in (("gain", gain is None and offset is None), ("nodata", nodata is None)):
            if absent:
                raise _lacking("what", name)
    if gain is not None and not 0 < gain < math.inf:
        raise NotARadarFile(f"its gain is {gain:g}, not a positive number", hint="Correct its what")
    if offset is not None and not math.isfinite(offset):
        raise NotARadarFile(f"its offset is {offset:g}", hint="Correct its what")
    with np.errstate(over="ignore"):  # fill values may lie beyond float32
        values = (pixels * (1.0 if gain is None else gain) + (offset or 0.0)).astype(np.float32)
        values[pixels == undetect] = NO_ECHO
        values[pixels == nodata] = np.nan
    return values


def _grid(file: Any, image: Image, shape: tuple[int, ...]) -> Grid:  # noqa: ANN401  (an h5py.File)
    """Pixel centres between the corners, each of which may stand in any `where` above the image."""

    def where(name: str) -> float | None:
        value = _optional_inherited(file, image.group, "where", name)
        return None if value is None else float(value)

    def pair(x: str, y: str) -> tuple[float, float] | None:
        one, other = where(x), where(y)
        return None if one is None or other is None else (one, other)

    rows, columns = shape
    ny, nx = where("ysize"), where("xsize")
    if (rows if ny is None else ny, columns if nx is None else nx) != shape:
        raise NotARadarFile(
            f"its image is {shape[0]} x {shape[1]}, its grid {ny or rows:g} x {nx or columns:g}", hint="Correct it"
        )
    corners = {corner: pair(f"{corner}_lon", f"{corner}_lat") for corner in CORNERS}
    return grid_of(
        Outline(
            crs=_crs(str(_inherited(file, image, "where", "projdef"))),
            shape=(rows, columns),
            lon_lat={corner: point for corner, point in corners.items() if point is not None},
            upper_left=pair("UL_x", "UL_y"),
            scale=(where("xscale"), where("yscale")),
        )
    )


def _crs(projdef: str) -> CRS:
    """The projection in metres, as `xscale` and `UL_x` count, whatever `projdef` counts in."""
    text = re.sub(r"\+init=(\w+:\d+)", r"\1", projdef.strip(), flags=re.IGNORECASE)
    return CRS.from_user_input(re.sub(r"\+(units=km|to_meter=1000(\.0*)?)\b", "+units=m", radii_in_metres(text)))


def _inherited(file: Any, image: Image, group: str, name: str) -> Any:  # noqa: ANN401
    """An attribute of `what` or `where`: of the data, else of its data set, else of the file."""
    value = _optional_inherited(file, image.group, group, name)
    if value is None:
        raise _lacking(group, name)
    return value


def _lacking(group: str, name: str) -> NotARadarFile:
    return NotARadarFile(f"it lacks the attribute {name} of {group}", hint="Give a file as its producer wrote it")


def _optional_inherited(file: Any, path: str, group: str, name: str) -> Any:  # noqa: ANN401
    for parent in (f"{path}/", f"{path.split('/', maxsplit=1)[0]}/", ""):
        value = optional_attribute(file, f"{parent}{group}", name)
        if value is not None:
            return value
    return None


def _period(file: Any, image: Image) -> tuple[np.datetime64, np.datetime64] | None:  # noqa: ANN401
    names = ("startdate", "starttime", "enddate", "endtime")
    start_date, start_time, end_date, end_time = (
        _optional_inherited(file, image.group, "what", name) for name in names
    )
    if None in (start_date, start_time, end_date, end_time):
        return None
    return _time(start_date, start_time), _time(end_date, end_time)


def _describe_rate(period: tuple[np.datetime64, np.datetime64] | None, nominal: np.datetime64) -> str:
    """The `quantity` of rates: a period that ends by the nominal time is that of a mean; one around it (OPERA) is when
    the radars scanned."""
    if period is None or not period[0] < period[1] <= nominal:
        return "rain rate"
    return describe_mean(float((period[1] - period[0]) / np.timedelta64(1, "s")) / 60)


def _time(date: object, clock: object) -> np.datetime64:
    """`20180824`, `181500` (or `1815`) -> UTC."""
    text = f"{date}{clock}"
    try:
        if not re.fullmatch(r"\d{8}(\d{4}|\d{6})", text):  # strptime takes 1815 as 18:01:05
            raise ValueError(text)
        return plausible_time(datetime.strptime(text.ljust(14, "0"), "%Y%m%d%H%M%S"))  # noqa: DTZ007  (UTC)
    except ValueError:
        raise NotARadarFile(f"its time {text!r} is not YYYYMMDDhhmmss", hint="Correct its what") from None
