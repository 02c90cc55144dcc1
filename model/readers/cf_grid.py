"""Where the pixels of a netCDF variable lie: its axes, its grid mapping, and the centres in the unit of its CRS."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from model.core.errors import NotARadarFile, UnknownVariable
from model.core.grid import Grid
from model.core.sequence import crs_from_cf
from model.readers.cf_attributes import attributes_of, units_of
from model.readers.cf_units import metres
from model.readers.polar import polar

PROJ_NAMES: Final = (
    *("proj4", "proj4_params", "proj4text", "proj4_string", "proj4string", "proj_params", "proj_string"),
    *("gdal_projection", "projdef", "projection_proj4_params", "epsg_code", "epsg", "srs", "crs"),
)
"""Attributes in which people write a CRS that is not in CF's words: PROJ strings and authority codes."""
CF_NAMES: Final = ("grid_mapping_name", "crs_wkt", "spatial_ref")
CRS_TEXT: Final = re.compile(r"\s*(\+|EPSG:|ESRI:|[A-Z_]+CRS\[|[A-Z_]+CS\[)", re.IGNORECASE)
CFRADIAL: Final = re.compile(r"cf.?radial", re.IGNORECASE)
POLAR_AXES: Final = (
    ("azimuth", "azimuths", "azimuth_angle", "ray_azimuth_angle", "sensor_to_target_azimuth_angle", "ray", "rays"),
    ("range", "ranges", "gate", "gates", "bin", "bins", "ngates", "nbins", "projection_range_coordinate"),
)
RADIANS: Final = {"rad": 1.0, "radian": 1.0, "radians": 1.0, "microradian": 1e-6, "microradians": 1e-6, "urad": 1e-6}


def check_not_polar(dataset: Any) -> None:  # noqa: ANN401  (netCDF4 ships no types)
    """Refuse sweeps and volumes as a radar has them, by azimuth and range, before anything is said of their axes.

    Raises
    ------
    NotARadarFile
        It is one.
    """
    attributes = attributes_of(dataset)
    conventions = f"{attributes.get('Conventions', '')} {attributes.get('Sub_conventions', '')}"
    along = [name for name, variable in dataset.variables.items() if variable.ndim == 1]
    names = {str(name).lower() for name in (*dataset.dimensions, *along)}
    names |= {str(attributes_of(v).get("standard_name", "")) for v in dataset.variables.values() if v.ndim == 1}
    has_both = all(names & set(axis) for axis in POLAR_AXES)
    sweeps = any(re.fullmatch(r"sweep_?\d+", group) for group in dataset.groups)
    cfradial = sweeps or bool(CFRADIAL.search(conventions))
    if has_both or cfradial:
        raise polar("CfRadial" if cfradial else "netCDF")


def axes_of(dataset: Any, variable: Any) -> dict[str, int]:  # noqa: ANN401
    """Which dimension of a variable is y, x and (where it has one) time; all others must have length one.

    Raises
    ------
    UnknownVariable
        Another has more.
    NotARadarFile
        Y or x has no coordinates of one dimension.
    """
    axes: dict[str, int] = {}
    beside: list[tuple[str, int]] = []
    for index, dimension in enumerate(variable.dimensions):
        axis = _axis(dataset.variables.get(dimension), dimension)
        if axis in ("x", "y", "time") and axis not in axes:
            axes[axis] = index
        elif variable.shape[index] != 1:
            beside.append((dimension, variable.shape[index]))
    if "x" not in axes or "y" not in axes:
        raise _without_axes(dataset, variable)
    if beside:
        dimension, length = beside[0]
        what = "is a volume: it has" if _axis(dataset.variables.get(dimension), dimension) == "z" else "has"
        raise UnknownVariable(
            f"{variable.name} {what} a dimension {dimension} of length {length}, beside time, y and x",
            hint=f"Give one field per time: one level, or the highest of the column, or one member of {dimension}",
        )
    return axes


def _without_axes(dataset: Any, variable: Any) -> NotARadarFile:  # noqa: ANN401
    curved = [
        str(name)
        for name, other in dataset.variables.items()
        if other.ndim == 2 and (_is_degrees(other, "x") or _is_degrees(other, "y"))
    ]
    what = f"{variable.name} ({', '.join(variable.dimensions)}) has no one-dimensional coordinates along y and x"
    if curved:
        return NotARadarFile(
            f"{what}: its pixels are placed by latitude and longitude of two dimensions ({', '.join(curved[:2])})",
            hint="Give its projection (x and y in m, and a CF grid mapping), or regrid it to one-dimensional latitude "
            "and longitude (for instance with cdo remapbil, gdalwarp -geoloc or xESMF)",
        )
    return NotARadarFile(
        what, hint="Give x and y (or latitude and longitude) as coordinate variables with standard names or units"
    )


def _axis(coordinate: Any, dimension: str) -> str | None:  # noqa: ANN401
    """`x`, `y`, `z`, `time` or None: by what the coordinate says of itself, else by its name."""
    from cf_xarray.criteria import coordinate_criteria, regex

    attributes = attributes_of(coordinate) if coordinate is not None else {}
    units = units_of(coordinate) if coordinate is not None else ""
    if str(attributes.get("standard_name", "")) == "forecast_reference_time" or " since " in units:
        return "time"
    if coordinate is None:
        return "time" if dimension in ("time", "valid_time") else None
    for key, axis in AXES.items():
        criteria = {name: values for name, values in coordinate_criteria[key].items() if name != "long_name"}
        if any(attributes.get(name) in values for name, values in {**criteria, "units": ()}.items()):
            return axis
        if units in coordinate_criteria[key].get("units", ()):
            return axis
    return next((axis for key, axis in AXES.items() if key in regex and regex[key].fullmatch(dimension.lower())), None)


AXES: Final = {"time": "time", "longitude": "x", "latitude": "y", "X": "x", "Y": "y", "Z": "z", "vertical": "z"}


def grid_of(dataset: Any, variable: Any, axes: Mapping[str, int]) -> tuple[Grid, bool]:  # noqa: ANN401
    """The grid of a variable, and whether its columns run from east to west in the file: then they are to be turned.

    Raises
    ------
    NotARadarFile
        It has no grid mapping, or one that its coordinates do not fit.
    """
    coordinates = {axis: dataset.variables[variable.dimensions[axes[axis]]] for axis in "xy"}
    centres = {axis: np.asarray(np.ma.filled(v[...], np.nan), np.float64) for axis, v in coordinates.items()}
    crs = _crs_of(dataset, variable, coordinates)
    for axis, coordinate in coordinates.items():
        centres[axis] *= _unit_factor(crs, coordinate)
    if crs.is_geographic:
        centres["x"] = continuous_longitudes(centres["x"])
    turned = bool(centres["x"][0] > centres["x"][-1])
    return Grid(crs=crs, x=centres["x"][::-1] if turned else centres["x"], y=centres["y"]), turned


def continuous_longitudes(longitudes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Longitudes without a jump at 0 or 180 degrees, counted from -180 where they begin at 180 or beyond.

    359.8 .. 359.9, 0 .. 0.1 -> -0.2 .. 0.1, and 179.9, -179.9 -> 179.9, 180.1.
    """
    if not np.isfinite(longitudes).all():
        return longitudes
    steady = np.unwrap(longitudes, period=360.0)
    jumped = not np.array_equal(steady, longitudes)
    if steady.min() >= 180.0:
        steady, jumped = steady - 360.0, True
    elif jumped and steady.min() < -180.0:  # over 180 degrees from the east: as from the west
        steady = steady + 360.0
    return np.round(steady, 9) if jumped else longitudes  # 359.8 - 360 should read -0.2


def _crs_of(dataset: Any, variable: Any, coordinates: Mapping[str, Any]) -> CRS:  # noqa: ANN401
    """By the variable's grid mapping; by degrees; by the file's only grid mapping, or its attributes."""
    named = str(attributes_of(variable).get("grid_mapping", "")).split(":")[0].strip()
    if named and named in dataset.variables:
        return _crs(json.dumps(attributes_of(dataset.variables[named]), sort_keys=True, default=str))
    if all(_is_degrees(coordinates[axis], axis) for axis in "xy"):
        return CRS.from_epsg(4326)
    held = [attributes_of(other) for other in dataset.variables.values() if other.ndim == 0 or other.size == 1]
    mappings = [attributes for attributes in held if _tells_crs(attributes)]
    whole = attributes_of(dataset)
    if len(mappings) == 1 or (not mappings and _tells_crs(whole)):
        return _crs(json.dumps(mappings[0] if mappings else whole, sort_keys=True, default=str))
    raise NotARadarFile(
        f"the grid mapping of {variable.name} is {f'absent: {named!r}' if named else 'not given'}",
        hint="Give a CF grid mapping, or one-dimensional latitude and longitude",
    )


def _tells_crs(attributes: Mapping[str, Any]) -> bool:
    return any(name in attributes for name in CF_NAMES) or _proj_text(attributes) is not None


def _proj_text(attributes: Mapping[str, Any]) -> str | None:
    for name in PROJ_NAMES:
        text = str(attributes.get(name, "")).strip()
        if CRS_TEXT.match(text):
            return text
        if name.startswith("epsg") and text.isdecimal():
            return f"EPSG:{text}"
    return None


@lru_cache(maxsize=32)
def _crs(attributes: str) -> CRS:
    """The CRS of grid mapping attributes (JSON), kept: PROJ takes 0.2 s to build one from an ellipsoid's axes."""
    given = json.loads(attributes)
    text = None if any(name in given for name in CF_NAMES) else _proj_text(given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of `+init=`
        return crs_from_cf({"crs_wkt": CRS.from_user_input(text).to_wkt()} if text else given)


def _unit_factor(crs: CRS, coordinate: Any) -> float:  # noqa: ANN401
    """What turns the values of a coordinate into the unit of the CRS."""
    text = units_of(coordinate)
    degrees = "degree" in text.lower() or text == "°"
    if crs.is_geographic:
        if text in ("", "1") or degrees:
            return 1.0
        raise NotARadarFile(
            f"{coordinate.name} is in {text!r}, and its grid mapping counts in degrees",
            hint="Give latitude and longitude in degrees, or the projection of its x and y",
        )
    if text.lower() in RADIANS and (height := crs.to_cf().get("perspective_point_height")):
        return RADIANS[text.lower()] * float(height)  # a geostationary satellite's scanning angles
    length = metres(text or "m")
    if length is None:
        raise NotARadarFile(f"{coordinate.name} is in {text!r}", hint="Give projection coordinates in m or km")
    unit = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 1.0
    return length / unit if length != unit else 1.0


def _is_degrees(coordinate: Any, axis: str) -> bool:  # noqa: ANN401
    """Whether it is longitude (`x`) or latitude (`y`): by its standard name, its units, or last its name."""
    from cf_xarray.criteria import coordinate_criteria, regex

    name = {"x": "longitude", "y": "latitude"}[axis]
    units = units_of(coordinate)
    if standard := str(attributes_of(coordinate).get("standard_name", "")):
        return standard == name
    plain = units.lower() in ("", "degree", "degrees")
    return units in coordinate_criteria[name]["units"] or (
        plain and bool(regex[name].fullmatch(coordinate.name.lower()))
    )
