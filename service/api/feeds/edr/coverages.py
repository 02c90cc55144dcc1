"""Parts of a nowcast as CoverageJSON: series at places, pixels of an area, or a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from covjson_pydantic.coverage import Coverage, CoverageCollection
from covjson_pydantic.domain import Axes, Domain, DomainType, ValuesAxis
from covjson_pydantic.ndarray import NdArrayFloat
from covjson_pydantic.observed_property import ObservedProperty
from covjson_pydantic.parameter import Parameter, Parameters
from covjson_pydantic.reference_system import ReferenceSystem, ReferenceSystemConnectionObject
from covjson_pydantic.unit import Symbol, Unit
from numpy.typing import NDArray
from pydantic import AwareDatetime

from model.core.area_pixels import Area, pixels_of_area
from model.core.errors import TooLarge
from model.core.grid import METRES_PER_DEGREE, Grid
from model.core.grid_places import pixel_of_lon_lat
from model.core.units import FloatArray
from service.api.errors import OutsideGrid
from service.api.feeds.edr.parameters import STANDARD_NAME, UCUM, UCUM_UNITS, EdrParameter
from service.api.feeds.edr.query import Wanted

MAX_VALUES: Final = 2_000_000
GREGORIAN: Final = ReferenceSystem(type="TemporalRS", calendar="Gregorian")
CRS84_SYSTEM: Final = ReferenceSystem(type="GeographicCRS", id="http://www.opengis.net/def/crs/OGC/1.3/CRS84")
Pixels = NDArray[np.int64]
OUTSIDE: Final = -1
"""Row and column of a place without a pixel."""


def at_places(wanted: Wanted, places: Sequence[tuple[float, float]]) -> str:
    """Return the series at places (longitude, latitude), those of the pixels that contain them.

    Raises
    ------
    OutsideGrid
        A place is not on the grid.
    """
    grid = wanted.view.forecast.grid
    coverages: list[Coverage] = []
    for lon, lat in places:
        pixel = pixel_of_lon_lat(grid, lon, lat)
        if pixel is None:
            hint = "The extent of the collection is the radar's area"
            raise OutsideGrid(f"longitude {lon:g}, latitude {lat:g} is not on the grid", where="coords", hint=hint)
        x, y = (grid.x[pixel[1]], grid.y[pixel[0]]) if wanted.native else (lon, lat)
        axes = Axes(x=_axis([x]), y=_axis([y]), t=_time_axis(wanted))
        rows, columns = (np.array([index]) for index in pixel)
        coverages += _coverages(wanted, DomainType.point_series, axes, rows, columns, ("t",), ())
    return _document(coverages, wanted)


def in_area(wanted: Wanted, area: Area) -> str:
    """Return the values of all pixels that an area touches.

    Raises
    ------
    OutsideGrid, TooLarge
        There is no such pixel; there are too many.
    """
    grid = wanted.view.forecast.grid
    pixels = pixels_of_area(grid, area)
    rows, columns = pixels.rows, pixels.columns
    if not rows.size:
        raise OutsideGrid(
            "the area is not on the grid", where="coords", hint="The extent of the collection is the radar's area"
        )
    x, y = np.asarray(grid.x[columns], np.float64), np.asarray(grid.y[rows], np.float64)
    if not wanted.native:
        x, y = (np.round(degrees, 6) for degrees in grid.lon_lat(x, y))
    tuples = ValuesAxis[tuple[float, float]](
        dataType="tuple", coordinates=["x", "y"], values=list(zip(x.tolist(), y.tolist(), strict=True))
    )
    axes = Axes(composite=tuples, t=_time_axis(wanted))
    names = ("t", "composite")
    return _document(
        _coverages(wanted, DomainType.multi_point_series, axes, rows, columns, names, (rows.size,)), wanted
    )


def in_box(wanted: Wanted, box: tuple[float, float, float, float]) -> str:
    """Return the grid of a box: west, south, east, north.

    In the grid's own system, and of a grid in degrees, its pixels whose centres are in the box. Else a grid in degrees
    of about the size of the pixels, each value that of the pixel that contains it.

    Raises
    ------
    OutsideGrid, TooLarge
        No pixel is in the box; there are too many.
    """
    grid = wanted.view.forecast.grid
    x, y, rows, columns = _own_pixels(grid, box) if wanted.native or grid.crs.is_geographic else _degrees(grid, box)
    if not x.size or not y.size or (rows == OUTSIDE).all():
        raise OutsideGrid(
            "no pixel is in the box", where="bbox", hint="The extent of the collection is the radar's area"
        )
    axes = Axes(x=_axis(np.round(x, 6).tolist()), y=_axis(np.round(y, 6).tolist()), t=_time_axis(wanted))
    names, shape = ("t", "y", "x"), (y.size, x.size)
    return _document(_coverages(wanted, DomainType.grid, axes, rows.ravel(), columns.ravel(), names, shape), wanted)


def _own_pixels(
    grid: Grid, box: tuple[float, float, float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64], Pixels, Pixels]:
    west, south, east, north = box
    x, y = np.asarray(grid.x, np.float64), np.asarray(grid.y, np.float64)
    if grid.crs.is_geographic:  # a grid may count its longitudes to 360
        x = (x - west) % 360 + west
    rows, columns = np.flatnonzero((y >= south) & (y <= north)), np.flatnonzero((x >= west) & (x <= east))
    _check_size(rows.size * columns.size)
    columns = columns[np.argsort(x[columns], kind="stable")]
    at_rows, at_columns = np.meshgrid(rows, columns, indexing="ij")
    return x[columns], y[rows], at_rows.astype(np.int64), at_columns.astype(np.int64)


def _degrees(
    grid: Grid, box: tuple[float, float, float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64], Pixels, Pixels]:
    west, south, east, north = box
    dy, dx = grid.pixel_size_m
    middle = math.cos(math.radians(min(abs(south + north) / 2, 89.0)))
    ny, nx = (
        max(1, round(span / step))
        for span, step in ((north - south, dy / METRES_PER_DEGREE), (east - west, dx / METRES_PER_DEGREE / middle))
    )
    _check_size(ny * nx)
    x = west + (np.arange(nx) + 0.5) * (east - west) / nx
    y = north - (np.arange(ny) + 0.5) * (north - south) / ny
    lon, lat = np.meshgrid(x, y)
    row, column = grid.row_column(*grid.x_y(lon, lat))
    on_grid = np.isfinite(row) & np.isfinite(column)
    row, column = np.where(on_grid, np.rint(row), OUTSIDE), np.where(on_grid, np.rint(column), OUTSIDE)
    on_grid = (row >= 0) & (row < grid.shape[0]) & (column >= 0) & (column < grid.shape[1])
    return x, y, np.where(on_grid, row, OUTSIDE).astype(np.int64), np.where(on_grid, column, OUTSIDE).astype(np.int64)


def _coverages(
    wanted: Wanted,
    domain_type: DomainType,
    axes: Axes,
    rows: Pixels,
    columns: Pixels,
    names: tuple[str, ...],
    shape: tuple[int, ...],
) -> list[Coverage]:
    """Return a coverage with field and probabilities, and one for each member: a domain has no axis for these."""
    file, steps = wanted.view.forecast, wanted.steps
    number = sum(file.members if parameter.kind == "members" else 1 for parameter in wanted.parameters)
    _check_size(rows.size * len(steps) * number)
    domain = Domain(domainType=domain_type, axes=axes, referencing=_referencing(wanted))
    read: dict[str, FloatArray] = {}
    on_grid = rows != OUTSIDE
    for parameter in wanted.parameters:
        if parameter.variable not in read:
            values = file.places.values(parameter.variable, rows[on_grid], columns[on_grid])[..., steps]
            read[parameter.variable] = np.full((rows.size, *values.shape[1:]), np.nan, np.float32)
            read[parameter.variable][on_grid] = values

    def array(values: FloatArray) -> NdArrayFloat:
        """Return values [pixel, time] with the time first."""
        return NdArrayFloat(axisNames=list(names), shape=[len(steps), *shape], values=_with_null(values.T))

    ranges: dict[str, Any] = {}
    coverages: list[Coverage] = []
    for parameter in wanted.parameters:
        values = read[parameter.variable]
        if parameter.kind == "members":
            coverages += [
                Coverage(id=f"member-{member + 1}", domain=domain, ranges={parameter.name: array(values[:, member])})
                for member in range(file.members)
            ]
        else:
            ranges[parameter.name] = array(values[:, parameter.index] if parameter.kind == "probability" else values)
    return [Coverage(domain=domain, ranges=ranges), *coverages] if ranges else coverages


def _document(coverages: Sequence[Coverage], wanted: Wanted) -> str:
    """Return one coverage, or a collection, with the parameters."""
    parameters = Parameters(root={parameter.name: covjson_parameter(parameter) for parameter in wanted.parameters})
    if len(coverages) == 1:
        return coverages[0].model_copy(update={"parameters": parameters}).model_dump_json(exclude_none=True)
    collection = CoverageCollection(
        domainType=coverages[0].domain.domainType, coverages=list(coverages), parameters=parameters
    )
    return collection.model_dump_json(exclude_none=True)


def covjson_parameter(parameter: EdrParameter) -> Parameter:
    """Return a parameter as CoverageJSON describes it."""
    return Parameter(
        observedProperty=ObservedProperty(
            id=STANDARD_NAME if parameter.kind != "probability" else None, label={"en": parameter.label}
        ),
        unit=Unit(symbol=Symbol(value=UCUM_UNITS[parameter.unit], type=UCUM)),
    )


def _referencing(wanted: Wanted) -> list[ReferenceSystemConnectionObject]:
    crs = wanted.view.forecast.grid.crs
    system = CRS84_SYSTEM
    if wanted.native:
        epsg = crs.to_epsg()
        known: dict[str, Any] = (
            {"id": f"http://www.opengis.net/def/crs/EPSG/0/{epsg}"} if epsg else {"wkt": crs.to_wkt()}
        )
        system = ReferenceSystem(type="GeographicCRS" if crs.is_geographic else "ProjectedCRS", **known)
    return [
        ReferenceSystemConnectionObject(coordinates=["x", "y"], system=system),
        ReferenceSystemConnectionObject(coordinates=["t"], system=GREGORIAN),
    ]


def _axis(values: Sequence[float]) -> ValuesAxis[float]:
    return ValuesAxis[float](values=[float(value) for value in values])


def _time_axis(wanted: Wanted) -> ValuesAxis[AwareDatetime]:
    return ValuesAxis[AwareDatetime](values=[wanted.view.forecast.times[step] for step in wanted.steps])


def _with_null(values: FloatArray) -> list[float | None]:
    """Return values in a flat list, None for missing data."""
    flat = values.ravel()
    rounded: list[float | None] = np.round(flat.astype(np.float64), 3).tolist()
    for index in np.flatnonzero(np.isnan(flat)).tolist():
        rounded[index] = None
    return rounded


def _check_size(number: int) -> None:
    if number > MAX_VALUES:
        raise TooLarge(
            f"the query has {number:,} values of {MAX_VALUES:,} at most",
            where="query",
            hint="Ask for a smaller area, fewer times or fewer parameters",
        )
