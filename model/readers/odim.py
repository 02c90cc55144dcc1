"""ODIM_H5 Cartesian composites and images (OPERA and most European services).

Michelson et al., "OPERA Data Information Model for HDF5", versions 2.0 to 2.4. The valid time is the nominal time of
the product, of an accumulation (ACRR) the end of its period. Corners are outer ones. Missing attributes have the
defaults of the standard (gain 1, offset 0) as long as these cannot change a value: integers without scaling are
refused.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from model.core.cf_coordinates import MAX_CRS_TEXT
from model.core.errors import NotARadarFile, UnknownVariable
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.core.times import utc_text
from model.core.units import FloatArray
from model.core.zr import MARSHALL_PALMER
from model.readers.georeferencing import CORNERS, GeoReference, grid_of_corners, radii_in_metres
from model.readers.hdf5 import MAGIC, attribute, open_hdf5, optional_attribute, read_array
from model.readers.observation_times import parse_observation_time
from model.readers.rain_rate import (
    describe_accumulation,
    describe_mean,
    rain_rate_of_accumulation,
    rain_rate_of_reflectivity,
)
from model.readers.source import GIVE_OBSERVATIONS, ReadOptions, Source, file_by_file
from model.readers.unsupported import polar_data

if TYPE_CHECKING:
    from h5py import File, Group

TITLE: Final = "ODIM_H5"
CARTESIAN: Final = ("COMP", "IMAGE", "CVOL")
POLAR: Final = ("PVOL", "SCAN", "RAY", "AZIM", "ELEV", "ID")
RATES: Final = ("RATE",)
ACCUMULATIONS: Final = ("ACRR",)
REFLECTIVITIES: Final = ("DBZH", "DBZ", "TH")
RADAR_PRODUCTS: Final = {"PPI": ("PPI", "degrees"), "CAPPI": ("CAPPI", "m"), "PCAPPI": ("pseudo-CAPPI", "m")}
"""Products at an elevation or a height, `prodpar`, and its unit."""
OPERA: Final = "ORG:247"
PREFERENCE: Final = (*RATES, *ACCUMULATIONS, *REFLECTIVITIES)
MAX_IMAGES: Final = 200
MAX_NAMED: Final = 30
NO_ECHO: Final = np.float32(-np.inf)


@dataclass(frozen=True, kw_only=True)
class DataGroup:
    """A data group (`dataset1/data1`) and its quantity."""

    group: str
    quantity: str


def matches(head: bytes, path: Path) -> bool:
    """Whether HDF5 has the Conventions ODIM_H5, or an ODIM object at the root."""
    if not head.startswith(MAGIC):
        return False
    with open_hdf5(path) as file:
        conventions = str(optional_attribute(file, "", "Conventions") or "")
        return conventions.startswith("ODIM") or ("what" in file and "object" in file["what"].attrs)


def read_file(source: Source, options: ReadOptions) -> FrameSequence:
    """Read the one frame of a composite; the variable is a quantity (`DBZH`) or a group (`dataset1/data1`)."""
    with open_hdf5(source.path) as file:
        kind = str(attribute(file, "what", "object")).upper()
        if kind in POLAR:
            raise polar_data(f"ODIM_H5 object {kind}")
        if kind not in CARTESIAN:
            raise NotARadarFile(f"the object is {kind}, not a composite", hint=f"Give {' or '.join(CARTESIAN)}")
        image = _choose(_images(file), options.variable)
        pixels = read_array(file, f"{image.group}/data", options.budget)
        grid = _grid(file, image, pixels.shape)
        values = _values(file, image, pixels)
        nominal = _time(_inherited(file, image, "what", "date"), _inherited(file, image, "what", "time"))
        period = _period(file, image)
        if period is not None and period[0] > nominal:
            raise NotARadarFile(
                f"this is a forecast: the period begins after the nominal time {utc_text(nominal)}",
                hint=GIVE_OBSERVATIONS,
            )
        producer = str(optional_attribute(file, "what", "source") or "")
        radar_product = _radar_product(file, image, producer)

    attributes = {"radar_format": TITLE, "source_product": f"{image.quantity} {producer}".strip()}
    if radar_product:
        attributes["radar_product"] = radar_product
    time = nominal
    if image.quantity in REFLECTIVITIES:
        rain, described = rain_rate_of_reflectivity(values, options, MARSHALL_PALMER)
        attributes |= described
    elif image.quantity in ACCUMULATIONS:
        if period is None:
            raise NotARadarFile("the accumulation has no start and end", hint="Give startdate ... endtime in what")
        start, time = period
        rain = rain_rate_of_accumulation(values, time - start)
        attributes["quantity"] = describe_accumulation(time - start)
    else:
        rain = values
        attributes["quantity"] = _describe_rate(period, nominal)
    rain[values == NO_ECHO] = 0.0
    return FrameSequence(rain_rate=rain[np.newaxis], times=np.array([time]), grid=grid, attributes=attributes)


read_frames = file_by_file(read_file, TITLE)


def _images(file: File) -> list[DataGroup]:
    """Return every data group with a quantity, in the order of the numbers of datasets and data."""

    def numbered(node: Group, word: str) -> list[str]:
        names = [name for name in node if re.fullmatch(rf"{word}\d+", name)]
        return sorted(names, key=lambda name: int(name.removeprefix(word)))

    images = []
    for dataset in numbered(file, "dataset"):
        for data in numbered(file[dataset], "data"):
            group = f"{dataset}/{data}"
            quantity = _optional_inherited(file, group, "what", "quantity")
            if quantity is not None:
                images.append(DataGroup(group=group, quantity=str(quantity).upper()))
            if len(images) > MAX_IMAGES:
                raise NotARadarFile(f"the file holds more than {MAX_IMAGES} images", hint="Give one composite per file")
    return images


def _radar_product(file: File, image: DataGroup, producer: str) -> str:
    """Return what the image was made of; empty where the file does not tell, as composites of unknown scans do not.

    OPERA's composite of DBZH is the maximum reflectivity of each column, which its attributes do not tell.
    """
    product = str(_optional_inherited(file, image.group, "what", "product") or "").upper()
    if product == "MAX" or (producer.split(",")[0] == OPERA and image.quantity == "DBZH"):
        return "column maximum"
    if product not in RADAR_PRODUCTS:
        return ""
    name, unit = RADAR_PRODUCTS[product]
    at = _optional_inherited(file, image.group, "what", "prodpar")
    at = str(at).partition(",")[0].strip()
    return f"{name} at {float(at):g} {unit}" if re.fullmatch(r"\d{1,6}(\.\d*)?", at) else name


def _choose(images: list[DataGroup], variable: str | None) -> DataGroup:
    held = ", ".join(f"{image.quantity} ({image.group})" for image in images[:MAX_NAMED]) or "no image"
    if variable is not None:
        found = [image for image in images if variable in (image.group, image.quantity)]
        if not found or found[0].quantity not in PREFERENCE:
            what = f"there is no variable {variable!r}" if not found else f"the variable {variable!r} is not rain"
            raise UnknownVariable(what, hint=f"It holds {held}")
    else:
        preferred = next((quantity for quantity in PREFERENCE if any(i.quantity == quantity for i in images)), None)
        found = [image for image in images if image.quantity == preferred]
        if not found:
            raise UnknownVariable("the file has no rain rate, accumulation or reflectivity", hint=f"It holds {held}")
    if len(found) > 1:
        raise UnknownVariable(
            f"there are {len(found)} images of {found[0].quantity}", hint=f"Name one as variable: it holds {held}"
        )
    return found[0]


def _values(file: File, image: DataGroup, pixels: NDArray[Any]) -> FloatArray:
    """Return offset + gain * pixel, float32 [y, x]; NaN where nodata, -inf where undetect (measured, no echo).

    Floats are mostly the values themselves, with NaN for no data, so every attribute may be absent. Of integers only
    undetect and one of gain and offset may be absent: without more attributes, their meaning would be a guess.
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
        raise NotARadarFile(f"the gain is {gain:g}, not a positive number", hint="Correct the group what")
    if offset is not None and not math.isfinite(offset):
        raise NotARadarFile(f"the offset is {offset:g}", hint="Correct the group what")
    with np.errstate(over="ignore"):  # fill values may lie beyond float32
        values = (pixels * (1.0 if gain is None else gain) + (offset or 0.0)).astype(np.float32)
        values[pixels == undetect] = NO_ECHO
        values[pixels == nodata] = np.nan
    return values


def _grid(file: File, image: DataGroup, shape: tuple[int, ...]) -> Grid:
    """Return the grid between the corners, each of which may be in any `where` above the image."""

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
            f"the image is {shape[0]} x {shape[1]}, the grid {ny or rows:g} x {nx or columns:g}",
            hint="Correct the grid",
        )
    corners = {corner: pair(f"{corner}_lon", f"{corner}_lat") for corner in CORNERS}
    return grid_of_corners(
        GeoReference(
            crs=_crs(str(_inherited(file, image, "where", "projdef"))),
            shape=(rows, columns),
            lon_lat={corner: point for corner, point in corners.items() if point is not None},
            upper_left=pair("UL_x", "UL_y"),
            scale=(where("xscale"), where("yscale")),
        )
    )


def _crs(projdef: str) -> CRS:
    """Return the projection in metres, the unit of `xscale` and `UL_x`, whatever the unit of `projdef`."""
    text = re.sub(r"\+init=(\w+:\d+)", r"\1", projdef.strip()[:MAX_CRS_TEXT], flags=re.IGNORECASE)
    return CRS.from_user_input(re.sub(r"\+(units=km|to_meter=1000(\.0*)?)\b", "+units=m", radii_in_metres(text)))


def _inherited(file: File, image: DataGroup, group: str, name: str) -> Any:  # noqa: ANN401  (a str or a number)
    """Return an attribute of `what` or `where` of the data, else of the data set, else of the file."""
    value = _optional_inherited(file, image.group, group, name)
    if value is None:
        raise _lacking(group, name)
    return value


def _lacking(group: str, name: str) -> NotARadarFile:
    return NotARadarFile(
        f"the file lacks the attribute {name} of {group}", hint="Give the file as its producer wrote it"
    )


def _optional_inherited(file: File, path: str, group: str, name: str) -> Any:  # noqa: ANN401  (a str or a number)
    for parent in (f"{path}/", f"{path.split('/', maxsplit=1)[0]}/", ""):
        value = optional_attribute(file, f"{parent}{group}", name)
        if value is not None:
            return value
    return None


def _period(file: File, image: DataGroup) -> tuple[np.datetime64, np.datetime64] | None:
    names = ("startdate", "starttime", "enddate", "endtime")
    start_date, start_time, end_date, end_time = (
        _optional_inherited(file, image.group, "what", name) for name in names
    )
    if None in (start_date, start_time, end_date, end_time):
        return None
    return _time(start_date, start_time), _time(end_date, end_time)


def _describe_rate(period: tuple[np.datetime64, np.datetime64] | None, nominal: np.datetime64) -> str:
    """Return the attribute `quantity` of rates.

    They are means over a period that ends by the nominal time; a period around the nominal time (OPERA) is the time in
    which the radars scanned.
    """
    if period is None or not period[0] < period[1] <= nominal:
        return "rain rate"
    return describe_mean(float((period[1] - period[0]) / np.timedelta64(1, "s")) / 60)


def _time(date: object, clock: object) -> np.datetime64:
    """Parse `20180824` and `181500` (or `1815`) as UTC."""
    text = f"{date}{clock}"
    # strptime would read 1815 as 18:01:05.
    digits = text.ljust(14, "0") if re.fullmatch(r"\d{8}(\d{4}|\d{6})", text) else ""
    problem = f"the time {text!r} is not YYYYMMDDhhmmss"
    return parse_observation_time(digits, "%Y%m%d%H%M%S", problem, "Correct the group what")
