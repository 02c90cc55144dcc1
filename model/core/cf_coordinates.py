"""CF georeferencing: axes, grid mappings and the units of coordinates, for every reader of netCDF.

cf-xarray's criteria tell axes and degrees, pyproj the CRS, `model.core.cf_units` the unit. Functions take names and
plain attributes, so that they serve netCDF4 and xarray alike. pint and cf-xarray are imported at first use: the gateway
imports this module and reads Echocast's own files only.
"""

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
from pyproj.exceptions import CRSError

from model.core.cf_units import metres, unit_text
from model.core.errors import InputError, NotARadarFile

AXES: Final = {"time": "time", "longitude": "x", "latitude": "y", "X": "x", "Y": "y", "Z": "z", "vertical": "z"}
"""cf-xarray's names of axes and coordinates."""
PROJ_NAMES: Final = (
    *("proj4", "proj4_params", "proj4text", "proj4_string", "proj4string", "proj_params", "proj_string"),
    *("gdal_projection", "projdef", "projection_proj4_params", "epsg_code", "epsg", "srs", "crs"),
)
"""Attributes that hold a CRS outside of CF: as PROJ string or authority code."""
CF_NAMES: Final = ("grid_mapping_name", "crs_wkt", "spatial_ref")
CRS_TEXT: Final = re.compile(r"\s*(\+|EPSG:|ESRI:|[A-Z_]+CRS\[|[A-Z_]+CS\[)", re.IGNORECASE)
RADIANS: Final = {"rad": 1.0, "radian": 1.0, "radians": 1.0, "microradian": 1e-6, "microradians": 1e-6, "urad": 1e-6}


def plain_attributes(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Return attributes as plain Python values instead of NumPy scalars and arrays."""
    return {
        str(name): value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        for name, value in attributes.items()
    }


def axis_of(name: str, attributes: Mapping[str, Any] | None) -> str | None:
    """Return `x`, `y`, `z` or `time` by the attributes of the coordinate variable (None: no variable), else by name."""
    from cf_xarray.criteria import coordinate_criteria, regex

    if attributes is None:
        return "time" if name in ("time", "valid_time") else None
    units = unit_text(attributes)
    if str(attributes.get("standard_name", "")) == "forecast_reference_time" or " since " in units:
        return "time"
    for key, axis in AXES.items():
        criteria = {
            tag: values for tag, values in coordinate_criteria[key].items() if tag not in ("long_name", "units")
        }
        if any(attributes.get(tag) in values for tag, values in criteria.items()):
            return axis
        if units in coordinate_criteria[key].get("units", ()):
            return axis
    return next((axis for key, axis in AXES.items() if key in regex and regex[key].fullmatch(name.lower())), None)


def is_degrees(name: str, attributes: Mapping[str, Any], axis: str) -> bool:
    """Whether a coordinate is longitude (`x`) or latitude (`y`): by standard name, unit, or last by its name."""
    from cf_xarray.criteria import coordinate_criteria, regex

    key = {"x": "longitude", "y": "latitude"}[axis]
    units = unit_text(attributes)
    if standard := str(attributes.get("standard_name", "")):
        return standard == key
    no_direction = units.lower() in ("", "degree", "degrees")
    return units in coordinate_criteria[key]["units"] or (no_direction and bool(regex[key].fullmatch(name.lower())))


def crs_of(
    attributes: Mapping[str, Any],
    variables: Mapping[str, Mapping[str, Any]],
    whole_file: Mapping[str, Any],
    *,
    degrees: bool,
) -> CRS | None:
    """Return the CRS of a variable; the first of these that exists.

    The grid mapping that the variable names, longitude and latitude on WGS 84 where its coordinates are `degrees`, the
    only grid mapping among the scalar variables, the attributes of the file.

    Parameters
    ----------
    attributes
        Attributes of the variable.
    variables
        Attributes of the scalar variables of the file, by name.
    whole_file
        Attributes of the file.
    degrees
        Whether the coordinates are longitude and latitude.

    Returns
    -------
    CRS or None
        None where nothing tells the CRS.

    Raises
    ------
    InputError
        The grid mapping does not describe a CRS.
    """
    named = grid_mapping_name(attributes)
    if named in variables:
        return _crs(variables[named])
    if degrees:
        return CRS.from_epsg(4326)
    mappings = [other for other in variables.values() if _tells_crs(other)]
    if len(mappings) == 1:
        return _crs(mappings[0])
    return _crs(whole_file) if not mappings and _tells_crs(whole_file) else None


ELLIPSOID: Final = frozenset(("semi_major_axis", "semi_minor_axis", "inverse_flattening", "earth_radius"))
MAX_CRS_TEXT: Final = 50_000
"""PROJ takes seconds for longer ones. WKT of compound systems has a few thousand."""
PRIME_MERIDIAN: Final = frozenset(("prime_meridian_name", "longitude_of_prime_meridian"))


def grid_mapping_name(attributes: Mapping[str, Any]) -> str:
    """Return the name of the variable with the grid mapping; '' where none is named."""
    return str(attributes.get("grid_mapping", "")).split(":")[0].strip()


def crs_from_cf(attributes: Mapping[str, object]) -> CRS:
    """Return the CRS of CF grid mapping attributes.

    Raises
    ------
    InputError
        The attributes do not describe a CRS.
    """
    given = dict(attributes)
    if ELLIPSOID.intersection(given) and not PRIME_MERIDIAN.intersection(given):
        # The default of from_cf too, which it searches in the database of PROJ for 0.16 s.
        given["prime_meridian_name"] = "Greenwich"
    if any(isinstance(value, str) and len(value) > MAX_CRS_TEXT for value in given.values()):
        raise InputError(
            f"the grid mapping has a text of more than {MAX_CRS_TEXT:,} characters",
            where="grid mapping",
            hint="Write CF grid mapping attributes, or crs_wkt",
        )
    try:
        return CRS.from_cf(given)
    except (CRSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the grid mapping cannot be read ({str(error)[:300]})",
            where="grid mapping",
            hint="Write CF grid mapping attributes, or crs_wkt",
        ) from None


def unit_factor(crs: CRS, name: str, attributes: Mapping[str, Any]) -> float:
    """Return the factor from the unit of a coordinate to the unit of the CRS.

    Raises
    ------
    NotARadarFile
        The unit is unknown or does not fit the CRS.
    """
    text = unit_text(attributes)
    if crs.is_geographic:
        if text in ("", "1", "°") or "degree" in text.lower():
            return 1.0
        raise NotARadarFile(
            f"{name} is in {text!r}, the grid mapping in degrees",
            hint="Give latitude and longitude in degrees, or the projection of x and y",
        )
    if text.lower() in RADIANS and (height := crs.to_cf().get("perspective_point_height")):
        # A geostationary satellite's scanning angles; PROJ's geos counts angle times height of the satellite.
        return RADIANS[text.lower()] * float(height)
    length = metres(text or "m")
    if length is None:
        raise NotARadarFile(f"{name} is in {text!r}", hint="Give projection coordinates in m or km")
    unit = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 1.0
    return length / unit if length != unit else 1.0


def continuous_longitudes(longitudes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return longitudes without a jump at 0 or 180 degrees, from -180 on where they start at 180 or beyond.

    359.8 .. 359.9, 0 .. 0.1 become -0.2 .. 0.1, and 179.9, -179.9 become 179.9, 180.1.
    """
    if not np.isfinite(longitudes).all():
        return longitudes
    steady = np.unwrap(longitudes, period=360.0)
    jumped = not np.array_equal(steady, longitudes)
    if steady.min() >= 180.0:
        steady, jumped = steady - 360.0, True
    elif jumped and steady.min() < -180.0:  # across 180 degrees from the east: the same as from the west
        steady = steady + 360.0
    return np.round(steady, 9) if jumped else longitudes  # 359.8 - 360 should read -0.2


def _tells_crs(attributes: Mapping[str, Any]) -> bool:
    return any(name in attributes for name in CF_NAMES) or _proj_text(attributes) is not None


def _proj_text(attributes: Mapping[str, Any]) -> str | None:
    for name in PROJ_NAMES:
        text = str(attributes.get(name, "")).strip()
        if len(text) <= MAX_CRS_TEXT and CRS_TEXT.match(text):
            return text
        if name.startswith("epsg") and text.isdecimal():
            return f"EPSG:{text}"
    return None


def _crs(attributes: Mapping[str, Any]) -> CRS:
    return _cached_crs(json.dumps(attributes, sort_keys=True, default=str))


@lru_cache(maxsize=32)
def _cached_crs(attributes: str) -> CRS:
    """Return the CRS of attributes in JSON. Cached, since a sequence reads the same ones for each file."""
    given = json.loads(attributes)
    text = None if any(name in given for name in CF_NAMES) else _proj_text(given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # pyproj's, about `+init=`
        return crs_from_cf({"crs_wkt": CRS.from_user_input(text).to_wkt()} if text else given)
