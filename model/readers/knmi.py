"""KNMI HDF5: precipitation accumulations and reflectivity of the Netherlands, polar stereographic.

Roozekrans and Holleman (2003), "KNMI HDF5 Data Format Specification", KNMI publication IR-2003-05.
The valid time is the end of the period of the product. `calibration_formulas` turns pixels into values.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from model.core.errors import NotARadarFile, UnknownVariable
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.core.zr import MARSHALL_PALMER
from model.readers.georeferencing import check_corners, project_corners, radii_in_metres
from model.readers.hdf5 import MAGIC, attribute, attribute_values, open_hdf5, optional_attribute, read_array
from model.readers.observation_times import observation_time
from model.readers.rain_rate import describe_accumulation, rain_rate_of_accumulation, rain_rate_of_reflectivity
from model.readers.source import GIVE_OBSERVATIONS, ReadOptions, Source, file_by_file
from model.readers.unsupported import polar_data

if TYPE_CHECKING:
    from h5py import File

TITLE: Final = "KNMI HDF5"
FORMULA: Final = re.compile(r"GEO\s*=\s*([-+\d.eE]+)\s*\*\s*PV\s*\+?\s*([-+]\s*[\d.eE][-+\d.eE]*)\s*$", re.IGNORECASE)
CORNERS: Final = ("LL", "UL", "UR", "LR")
HEIGHT: Final = re.compile(r"_H(\d\.\d)(?:_|$)")
"""Height (km) of a pseudo-CAPPI in the name of a product: RAD_NL25_RAU_H1.5_5mi."""
MONTHS: Final = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]


def matches(head: bytes, path: Path) -> bool:
    """Whether HDF5 has KNMI's group `overview`, and `image1` or (polar) `scan1`."""
    if not head.startswith(MAGIC):
        return False
    with open_hdf5(path) as file:
        return "overview" in file and any(name.startswith(("image", "scan")) for name in file)


def read_file(source: Source, options: ReadOptions) -> FrameSequence:
    """Read the one frame of a KNMI file; the variable is the name of an image group (`image1`)."""
    with open_hdf5(source.path) as file:
        if any(name.startswith("scan") for name in file):
            raise polar_data("a KNMI volume")
        image = _image(file, options.variable)
        parameter = str(attribute(file, image, "image_geo_parameter"))
        pixels = read_array(file, f"{image}/image_data", options.budget)
        start, end = (_time(file, name) for name in ("product_datetime_start", "product_datetime_end"))
        for other in (name for name in file if name.startswith("image")):
            valid = optional_attribute(file, other, "image_datetime_valid")
            if valid is not None and _time(file, "image_datetime_valid", group=other) > end:
                raise NotARadarFile(f"this is a forecast: {other} is valid at {valid}", hint=GIVE_OBSERVATIONS)
        grid = _grid(file, pixels.shape)
        values = _calibrated(file, image, pixels, reflectivity="REFLECTIVITY" in parameter.upper())
        name = str(optional_attribute(file, image, "image_product_name") or "")

    attributes = {"radar_format": TITLE, "source_product": name}
    if height := HEIGHT.search(name):
        attributes["radar_product"] = f"pseudo-CAPPI at {1000 * float(height[1]):g} m"
    if "REFLECTIVITY" in parameter.upper() and "DBZ" in parameter.upper():
        rain, described = rain_rate_of_reflectivity(values, options, MARSHALL_PALMER)
        attributes |= described
    elif "ACCUMULATED_PRECIPITATION" in parameter.upper() and "[MM]" in parameter.upper():
        rain = rain_rate_of_accumulation(values, end - start)
        attributes["quantity"] = describe_accumulation(end - start)
    else:
        raise UnknownVariable(
            f"{image} holds {parameter}", hint="Give accumulated precipitation in mm, or reflectivity in dBZ"
        )
    return FrameSequence(rain_rate=rain[np.newaxis], times=np.array([end]), grid=grid, attributes=attributes)


read_frames = file_by_file(read_file, TITLE)


def _image(file: File, variable: str | None) -> str:
    images = sorted(name for name in file if name.startswith("image"))
    if variable is not None and variable not in images:
        raise UnknownVariable(f"there is no variable {variable!r}", hint=f"It holds {', '.join(images)}")
    return variable or images[0]


def _calibrated(file: File, image: str, pixels: NDArray[Any], *, reflectivity: bool) -> FloatArray:
    """Return the values by the calibration formula of the file, float32 [y, x]; NaN is no data.

    Reflectivity marks "missing" by pixel value 0, the lowest of the scale: that is no echo instead of no data, as long
    as another value marks pixels outside of the image.
    """
    group = f"{image}/calibration"
    formula = str(attribute(file, group, "calibration_formulas"))
    match = FORMULA.match(formula)
    if match is None:
        raise NotARadarFile(f"the calibration formula {formula!r} is not GEO = a * PV + b", hint="Correct the formula")
    gain, offset = (np.float32(number.replace(" ", "")) for number in match.groups())
    if not 0 < gain < np.inf or not np.isfinite(offset):
        raise NotARadarFile(f"the gain of the formula {formula!r} is not positive", hint="Correct the formula")
    outside = int(attribute(file, group, "calibration_out_of_image"))
    missing = optional_attribute(file, group, "calibration_missing_data")
    missing = outside if missing is None else int(missing)
    values = pixels.astype(np.float32) * gain + offset
    values[pixels == outside] = np.nan
    no_echo = reflectivity and missing == 0 and missing != outside
    values[pixels == missing] = -np.inf if no_echo else np.nan
    return values


def _grid(file: File, shape: tuple[int, ...]) -> Grid:
    """Return the grid in metres; the file counts in km from the origin of the projection, and gives corners as well."""
    rows, columns = (int(attribute(file, "geographic", f"geo_number_{name}")) for name in ("rows", "columns"))
    if (rows, columns) != shape:
        raise NotARadarFile(
            f"the image is {shape[0]} x {shape[1]}, the grid {rows} x {columns}", hint="Correct the grid"
        )
    if str(attribute(file, "geographic", "geo_dim_pixel")).upper() != "KM,KM":
        raise NotARadarFile("the pixel size is not in km", hint="Give a file in a projection in km")
    proj4 = str(attribute(file, "geographic/map_projection", "projection_proj4_params"))
    dx, dy = (float(attribute(file, "geographic", f"geo_pixel_size_{axis}")) for axis in "xy")
    column, row = (float(attribute(file, "geographic", f"geo_{name}_offset")) for name in ("column", "row"))
    upper_left = str(optional_attribute(file, "geographic", "geo_pixel_def") or "LU").upper()
    shift = 0.0 if upper_left == "CENTRE" else 0.5
    grid = Grid(
        crs=CRS.from_proj4(radii_in_metres(proj4)),
        x=(column + shift + np.arange(columns)) * dx * 1000.0,
        y=(row + shift + np.arange(rows)) * dy * 1000.0,
    )
    corners = attribute_values(file, "geographic", "geo_product_corners")
    if len(corners) == 2 * len(CORNERS):
        lon_lat = {name: (float(corners[2 * i]), float(corners[2 * i + 1])) for i, name in enumerate(CORNERS)}
        check_corners(grid, project_corners(grid.crs, lon_lat))
    return grid


def _time(file: File, name: str, *, group: str = "overview") -> np.datetime64:
    """Parse `26-AUG-2010;00:05:00.000`; months are English in every locale."""
    text = str(attribute(file, group, name))
    try:
        date, clock = text.split(";")
        day, month, year = date.split("-")
        moment = datetime.fromisoformat(f"{year}-{MONTHS.index(month.upper()) + 1:02}-{int(day):02}T{clock}")
    except ValueError:
        raise NotARadarFile(f"the {name} {text!r} is not like 26-AUG-2010;00:05:00", hint="Correct it") from None
    return observation_time(moment)
