"""Exogenous fields that a network reads beside the radar: time of day and season, orography, fields of a weather model.

A network's manifest names them. `solar-time` and `season` are computed, two planes each; any other name is a CF-netCDF
file with one variable [y, x] or [time, y, x], one plane, whose values enter the network as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from model.core import cf_coordinates as cf
from model.core.errors import InputError
from model.core.grid import Grid
from model.core.times import Times, utc_text
from model.core.units import FloatArray

GEOGRAPHIC: Final = CRS.from_epsg(4326)


def solar_time(times: Times, grid: Grid) -> FloatArray:
    """Return sine and cosine [t, 2, y, x] of the local mean solar time of each pixel: one turn a day from midnight."""
    longitude, _ = _points(grid, GEOGRAPHIC)
    day = times.astype("datetime64[D]")
    part = ((times - day) / np.timedelta64(1, "D"))[:, None, None] + longitude / 360
    return _on_a_circle(part)


def season(times: Times, grid: Grid) -> FloatArray:
    """Return sine and cosine [t, 2, y, x] of the day of the year, equal at all pixels: one turn from 1 January."""
    year = times.astype("datetime64[Y]")
    length = (year + np.timedelta64(1, "Y")).astype("datetime64[D]") - year.astype("datetime64[D]")
    part = (times - year.astype(times.dtype)) / length
    return _on_a_circle(np.broadcast_to(part[:, None, None], (times.size, *grid.shape)))


COMPUTED: Final[Mapping[str, Callable[[Times, Grid], FloatArray]]] = MappingProxyType(
    {"solar-time": solar_time, "season": season}
)


def planes_of(names: Sequence[str]) -> int:
    """Return the number of planes of these fields, the `fields` of a network's configuration."""
    return sum(2 if name in COMPUTED else 1 for name in names)


def fields_for(
    names: Sequence[str], times: Times, grid: Grid, folder: Path | None, *, package: Path | None = None
) -> FloatArray:
    """Compute or read exogenous fields, interpolated bilinearly in space and linearly in time.

    Parameters
    ----------
    names : sequence of str
        `solar-time`, `season`, or the name of a file.
    times : ndarray of datetime64
        UTC times of the frames and of the forecast.
    grid : Grid
        Grid of the radar.
    folder, package : Path, optional
        Where the files are: `field-NAME.nc` in the package, else `NAME.nc` in the folder.

    Returns
    -------
    ndarray
        The planes of all fields, in the order of the names [t, n, y, x] (float32).

    Raises
    ------
    InputError
        A file is missing, cannot be read, or does not cover the grid and the times.
    """
    times = np.asarray(times, "datetime64[ns]")
    planes = []
    for name in names:
        if name in COMPUTED:
            planes.append(COMPUTED[name](times, grid))
        else:
            planes.append(_from_file(_find(name, folder, package), times, grid)[:, None])
    return np.concatenate(planes, axis=1)


def _find(name: str, folder: Path | None, package: Path | None) -> Path:
    places = [*([package / f"field-{name}.nc"] if package else []), *([folder / f"{name}.nc"] if folder else [])]
    for path in places:
        if path.is_file():
            return path
    raise InputError(
        f"the model reads the field {name}, and the file {name}.nc is missing",
        where=str(folder) if folder else "fields",
        hint=f"Put {name}.nc into the folder of fields (--fields or ECHOCAST_FIELDS)",
    )


class _Field(NamedTuple):
    """A field of a file [t, y, x], one frame without times if it is constant, and its axes; x and y increase."""

    values: FloatArray
    times: Times | None
    crs: CRS
    x: NDArray[np.float64]
    y: NDArray[np.float64]


def _from_file(path: Path, times: Times, grid: Grid) -> FloatArray:
    """Return the field of a file on a grid, at given times [t, y, x]."""
    field = _read(path)
    x, y = _points(grid, field.crs)
    if field.crs.is_geographic:
        west = field.x[0] - 0.5 * (field.x[1] - field.x[0])
        x = (x - west) % 360 + west
    column, row = _position(x, field.x), _position(y, field.y)
    if not (np.isfinite(column).all() and np.isfinite(row).all()):
        raise InputError("the field does not cover the grid of the radar", where=str(path), hint="Give a larger field")
    needed, weights = _weights_in_time(field.times, times, path)
    frames = {index: _bilinear(field.values[index], row, column) for index in sorted({*needed.flat})}
    pairs = zip(needed.tolist(), weights, strict=True)
    mixed = [frames[before] * (1 - share) + frames[after] * share for (before, after), share in pairs]
    interpolated = np.stack(mixed).astype(np.float32)
    if not np.isfinite(interpolated).all():
        raise InputError("the field has missing values on the grid", where=str(path), hint="Fill them")
    return interpolated


def _read(path: Path) -> _Field:
    try:
        with xr.open_dataset(path) as dataset:
            fields = [variable for variable in dataset.data_vars.values() if variable.ndim in (2, 3)]
            if len(fields) != 1:
                raise InputError(f"it holds {len(fields)} fields [y, x] or [time, y, x], not one")
            variable = fields[0]
            dimension = {cf.axis_of(str(name), _attributes(variable[name])): name for name in variable.dims}
            if not {"x", "y"} <= set(dimension) <= {"time", "x", "y"} or len(dimension) != variable.ndim:
                raise InputError(f"its dimensions {', '.join(map(str, variable.dims))} are not [y, x] or [time, y, x]")
            order = [dimension[axis] for axis in ("time", "y", "x") if axis in dimension]
            ordered = variable.transpose(*order)
            crs = _crs(dataset, variable, [ordered[dimension[axis]] for axis in "xy"])
            for axis in "xy":
                ordered = ordered.assign_coords({dimension[axis]: _centres(crs, ordered[dimension[axis]])})
            ordered = ordered.sortby([dimension["y"], dimension["x"]])
            centres = [np.asarray(ordered[dimension[axis]].values) for axis in "xy"]
            values = np.asarray(ordered.values, np.float32).reshape(-1, *ordered.shape[-2:])
            times = np.asarray(ordered[dimension["time"]].values, "datetime64[ns]") if "time" in dimension else None
    except InputError as error:
        raise InputError(error.what, where=str(path), hint=error.hint or "Give one field in a CF-netCDF file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"it cannot be read ({error})", where=str(path), hint="Give a CF-netCDF file") from None
    return _Field(values, times, crs, *centres)


def _attributes(variable: xr.DataArray) -> dict[str, Any]:
    """Return the attributes as in the file: xarray moves some of them to the encoding."""
    decoded = {name: variable.encoding[name] for name in ("units", "grid_mapping") if name in variable.encoding}
    return cf.plain_attributes({**decoded, **variable.attrs})


def _crs(dataset: xr.Dataset, variable: xr.DataArray, coordinates: Sequence[xr.DataArray]) -> CRS:
    attributes = _attributes(variable)
    named = cf.grid_mapping_name(attributes)
    mappings = [str(name) for name, each in dataset.variables.items() if each.size == 1 or name == named]
    axes = zip("xy", coordinates, strict=True)
    crs = cf.crs_of(
        attributes,
        {name: _attributes(dataset[name]) for name in mappings},
        cf.plain_attributes(dataset.attrs),
        degrees=all(cf.is_degrees(str(each.name), _attributes(each), axis) for axis, each in axes),
    )
    if crs is None:
        raise InputError(
            f"the coordinates {' and '.join(str(each.name) for each in coordinates)} are not in degrees, and there is "
            "no grid mapping",
            hint="Give a CF grid mapping, or latitude and longitude",
        )
    return crs


def _centres(crs: CRS, coordinate: xr.DataArray) -> NDArray[np.float64]:
    """Return coordinates in the unit of the CRS."""
    if coordinate.size < 2:
        raise InputError(f"{coordinate.name} has one value, a field needs two or more along each side")
    factor = cf.unit_factor(crs, str(coordinate.name), _attributes(coordinate))
    values = np.asarray(coordinate.values, np.float64) * factor
    return cf.continuous_longitudes(values) if crs.is_geographic else values


def _points(grid: Grid, crs: CRS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x and y [y, x] of the grid's pixel centres in another CRS."""
    x, y = np.meshgrid(grid.x, grid.y)
    if grid.crs == crs:
        return x, y
    x, y = Transformer.from_crs(grid.crs, crs, always_xy=True).transform(x, y)
    return np.asarray(x), np.asarray(y)


def _position(points: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return positions among increasing pixel centres, in pixels; NaN beyond the edge of the outermost pixel."""
    position = np.interp(points, centres, np.arange(centres.size))
    first, last = 0.5 * (centres[1] - centres[0]), 0.5 * (centres[-1] - centres[-2])
    inside = (points >= centres[0] - first) & (points <= centres[-1] + last)
    return np.where(inside, position, np.nan)


def _weights_in_time(available: Times | None, times: Times, path: Path) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the indices of the frames before and after each time [t, 2], and the weight of the latter [t]."""
    if available is None:
        return np.zeros((times.size, 2), np.intp), np.zeros(times.size)
    if np.any(np.diff(available) <= np.timedelta64(0)) or times.min() < available[0] or times.max() > available[-1]:
        raise InputError(
            f"its times {utc_text(available[0])} to {utc_text(available[-1])} do not cover {utc_text(times.min())} to "
            f"{utc_text(times.max())}, or do not increase",
            where=str(path),
            hint="Give a field that covers the frames and the forecast",
        )
    after = np.clip(np.searchsorted(available, times), min(1, available.size - 1), None)
    before = np.maximum(after - 1, 0)
    span = np.maximum(available[after] - available[before], np.timedelta64(1, "ns"))
    return np.stack([before, after], axis=1), (times - available[before]) / span


def _bilinear(field: FloatArray, row: NDArray[np.float64], column: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values of a field [y, x] at positions in pixels."""
    top = np.minimum(row.astype(np.intp), field.shape[0] - 2)
    left = np.minimum(column.astype(np.intp), field.shape[1] - 2)
    down, right = row - top, column - left
    upper = field[top, left] * (1 - right) + field[top, left + 1] * right
    lower = field[top + 1, left] * (1 - right) + field[top + 1, left + 1] * right
    return np.asarray(upper * (1 - down) + lower * down)


def _on_a_circle(part: NDArray[np.float64]) -> FloatArray:
    """Return sine and cosine [t, 2, y, x] of parts of a turn [t, y, x]."""
    angle = 2 * np.pi * part
    return np.stack([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)
