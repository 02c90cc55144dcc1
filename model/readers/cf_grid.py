"""The axes and the grid of a netCDF variable, from its coordinate variables and grid mapping."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from model.core import cf_coordinates as cf
from model.core.errors import NotARadarFile, UnknownVariable
from model.core.grid import Grid
from model.readers.cf_attributes import attributes_of
from model.readers.unsupported import polar_data

if TYPE_CHECKING:
    from netCDF4 import Dataset, Variable

CFRADIAL: Final = re.compile(r"cf.?radial", re.IGNORECASE)
POLAR_AXES: Final = (
    ("azimuth", "azimuths", "azimuth_angle", "ray_azimuth_angle", "sensor_to_target_azimuth_angle", "ray", "rays"),
    ("range", "ranges", "gate", "gates", "bin", "bins", "ngates", "nbins", "projection_range_coordinate"),
)


def check_not_polar(dataset: Dataset) -> None:
    """Refuse sweeps and volumes in polar coordinates, before any message about their axes.

    Raises
    ------
    NotARadarFile
        The data are polar.
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
        raise polar_data("CfRadial" if cfradial else "netCDF")


def axes_of(dataset: Dataset, variable: Variable[Any]) -> dict[str, int]:
    """Return the index of the dimensions y, x and, where there is one, time.

    Raises
    ------
    UnknownVariable
        Another dimension has more than one element.
    NotARadarFile
        There are no one-dimensional coordinates along y or x.
    """
    axes: dict[str, int] = {}
    others: list[tuple[str, int]] = []
    for index, dimension in enumerate(variable.dimensions):
        axis = _axis(dataset, dimension)
        if axis in ("x", "y", "time") and axis not in axes:
            axes[axis] = index
        elif variable.shape[index] != 1:
            others.append((dimension, variable.shape[index]))
    if "x" not in axes or "y" not in axes:
        raise _without_axes(dataset, variable)
    if others:
        dimension, length = others[0]
        kind = "is a volume: it has" if _axis(dataset, dimension) == "z" else "has"
        raise UnknownVariable(
            f"{variable.name} {kind} a dimension {dimension} of length {length}, beside time, y and x",
            hint=f"Give one field per time: one level, or the highest of the column, or one member of {dimension}",
        )
    return axes


def grid_of(dataset: Dataset, variable: Variable[Any], axes: Mapping[str, int]) -> tuple[Grid, bool]:
    """Return the grid of a variable, and whether its columns run from east to west and have to be reversed.

    Raises
    ------
    NotARadarFile
        There is no grid mapping, or it does not fit the coordinates.
    """
    coordinates = {axis: dataset.variables[variable.dimensions[axes[axis]]] for axis in "xy"}
    attributes = {axis: attributes_of(coordinate) for axis, coordinate in coordinates.items()}
    own = attributes_of(variable)
    named = cf.grid_mapping_name(own)
    crs = cf.crs_of(
        own,
        {name: attributes_of(v) for name, v in dataset.variables.items() if v.size == 1 or name == named},
        attributes_of(dataset),
        degrees=all(cf.is_degrees(coordinates[axis].name, attributes[axis], axis) for axis in "xy"),
    )
    if crs is None:
        raise NotARadarFile(
            f"the grid mapping of {variable.name} is {f'absent: {named!r}' if named else 'not given'}",
            hint="Give a CF grid mapping, or one-dimensional latitude and longitude",
        )
    x, y = (
        np.asarray(np.ma.filled(coordinates[axis][...], np.nan), np.float64)
        * cf.unit_factor(crs, coordinates[axis].name, attributes[axis])
        for axis in "xy"
    )
    if crs.is_geographic:
        x = cf.continuous_longitudes(x)
    westward = bool(x[0] > x[-1])
    return Grid(crs=crs, x=x[::-1] if westward else x, y=y), westward


def _axis(dataset: Dataset, dimension: str) -> str | None:
    coordinate = dataset.variables.get(dimension)
    return cf.axis_of(dimension, attributes_of(coordinate) if coordinate is not None else None)


def _without_axes(dataset: Dataset, variable: Variable[Any]) -> NotARadarFile:
    curvilinear = [
        str(name)
        for name, other in dataset.variables.items()
        if other.ndim == 2 and any(cf.is_degrees(other.name, attributes_of(other), axis) for axis in "xy")
    ]
    what = f"{variable.name} ({', '.join(variable.dimensions)}) has no one-dimensional coordinates along y and x"
    if curvilinear:
        return NotARadarFile(
            f"{what}: latitude and longitude of the pixels are two-dimensional ({', '.join(curvilinear[:2])})",
            hint="Give the projection (x and y in m, and a CF grid mapping), or regrid to one-dimensional latitude "
            "and longitude (for instance with cdo remapbil, gdalwarp -geoloc or xESMF)",
        )
    return NotARadarFile(
        what, hint="Give x and y (or latitude and longitude) as coordinate variables with standard names or units"
    )
