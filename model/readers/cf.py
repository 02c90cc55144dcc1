"""CF netCDF: rain rates, accumulations and reflectivities on a projection or a latitude-longitude grid.

The variable is chosen by standard name and units (`cf_variables`), its place by grid mapping or by
one-dimensional latitude and longitude. Times are UTC. An accumulation counts at the end of its period, which
is taken from the bounds of its time, from `start_time` and `valid_time`, or else from the time step; not from
the interval of `cell_methods`, which is the spacing of the original samples (CF 7.3.2). Forecasts are refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from model.core.errors import NotARadarFile, TooLarge, UnknownVariable
from model.core.grid import Grid
from model.core.sequence import CF_VERSION, FrameSequence, common_step, crs_from_cf
from model.core.units import MARSHALL_PALMER, FloatArray
from model.readers import classic, hdf5
from model.readers.cf_variables import choose
from model.readers.source import (
    MAX_FRAMES,
    Options,
    Source,
    describe_accumulation,
    file_by_file,
    rain_of_reflectivity,
    rain_per_hour,
    utc_text,
)

TITLE: Final = "CF netCDF"
BLOCK_PIXELS: Final = 32_000_000
"""Values are unpacked in blocks of about this size: unpacking goes through float64."""
LENGTHS: Final = {"m": 1.0, "metre": 1.0, "metres": 1.0, "meter": 1.0, "meters": 1.0, "km": 1000.0, "kilometre": 1000.0}
KEPT: Final = ("title", "institution", "source", "references", "licence", "license")
START_NAMES: Final = ("start_time", "time_start", "begin_time")
END_NAMES: Final = ("valid_time", "end_time", "time_end", "time")


def matches(head: bytes, path: Path) -> bool:
    """Classic netCDF, or HDF5 (which no other reader has claimed before)."""
    return head.startswith(classic.MAGIC) or head.startswith(hdf5.MAGIC)


def read_file(source: Source, options: Options) -> FrameSequence:
    """The frames of one netCDF file."""
    import netCDF4

    classic.check_length(source.path)
    with closing(netCDF4.Dataset(str(source.path.resolve()), "r")) as dataset:
        variable, quantity = choose(dataset.variables, options.variable)
        _check_observed(dataset, variable)
        axes = _axes(dataset, variable)
        frames = variable.shape[axes["time"]] if "time" in axes else 1
        options.budget.take(frames, variable.shape[axes["y"]], variable.shape[axes["x"]])
        times = _times(dataset, variable, axes)
        periods = _periods(dataset, variable, times) if quantity.kind == "accumulation" else None
        crs, x, y = _grid(dataset, variable, axes)
        values = _values(variable, axes)
        mask = _mask(dataset, (y.size, x.size))
        attributes = _attributes(dataset, variable)

    if x[0] > x[-1]:
        x, values = x[::-1], values[..., ::-1]
        mask = mask[:, ::-1] if mask is not None else None
    if values.shape[0] != times.size:
        raise NotARadarFile(f"it has {values.shape[0]} frames and {times.size} times", mend="Give one time per frame")
    if quantity.factor != 1.0:
        with np.errstate(over="ignore"):  # a fill value
            values *= np.float32(quantity.factor)
    added = {"radar_format": TITLE, "quantity": "rain rate"}
    if periods is not None:
        starts, times = periods
        for index, interval in enumerate(times - starts):
            values[index] = rain_per_hour(values[index], interval)
        added["quantity"] = describe_accumulation((times - starts)[0])
    elif quantity.kind == "reflectivity":
        values, described = rain_of_reflectivity(values, options, MARSHALL_PALMER)
        added |= described
    order = np.argsort(times, kind="stable")
    if not np.array_equal(order, np.arange(order.size)):
        times, values = times[order], values[order]
    return FrameSequence(
        rain_rate=values, times=times, grid=Grid(crs=crs, x=x, y=y), mask=mask, attributes={**added, **attributes}
    )


read_frames = file_by_file(read_file, TITLE)


def _check_observed(dataset: Any, variable: Any) -> None:  # noqa: ANN401  (netCDF4 ships no types)
    """Refuse a forecast, ours or another's: a nowcast starts from frames that a radar saw.

    A forecast has positive `forecast_period`s, or valid times after its `forecast_reference_time`. Those of an
    analysis are zero.

    Raises:
        NotARadarFile: the variable is a forecast.
    """
    of_it = [
        v
        for v in dataset.variables.values()
        if set(v.dimensions) <= set(variable.dimensions)
        and 0 < v.size <= MAX_FRAMES
        and getattr(v.dtype, "kind", "O") in "iuf"
    ]

    def called(*names: str) -> list[Any]:
        return [v for v in of_it if v.name in names or _attributes_of(v).get("standard_name") in names]

    def latest(*names: str) -> np.datetime64 | None:
        return max((_decoded(v).max() for v in called(*names) if _is_time(v)), default=None)

    reference = latest("forecast_reference_time")
    valid = latest(*END_NAMES) if reference is not None else None
    ahead = any(np.any(np.ma.filled(v[...] > 0, False)) for v in called("forecast_period"))
    if ahead or (reference is not None and valid is not None and valid > reference):
        since = f", from {utc_text(reference)}" if reference is not None else ""
        raise NotARadarFile(f"this is a forecast{since}", mend="Give observed frames")


def _axes(dataset: Any, variable: Any) -> dict[str, int]:  # noqa: ANN401
    """Which dimension of a variable is y, x and (where it has one) time; all others must have length one."""
    axes: dict[str, int] = {}
    for index, dimension in enumerate(variable.dimensions):
        axis = _axis(dataset.variables.get(dimension), dimension)
        if axis and axis not in axes:
            axes[axis] = index
        elif variable.shape[index] != 1:
            raise UnknownVariable(
                f"{variable.name} has a dimension {dimension} of length {variable.shape[index]}",
                mend="Give one field per time: cut that dimension to one",
            )
    if "x" not in axes or "y" not in axes:
        raise NotARadarFile(
            f"{variable.name} ({', '.join(variable.dimensions)}) has no one-dimensional coordinates along y and x",
            mend="Give x and y (or latitude and longitude) as coordinate variables with standard names or units",
        )
    return axes


def _axis(coordinate: Any, dimension: str) -> str | None:  # noqa: ANN401
    """`x`, `y`, `time` or None, by axis, standard name, units, and last by the dimension's name."""
    attributes = _attributes_of(coordinate) if coordinate is not None else {}
    standard = str(attributes.get("standard_name", ""))
    units = str(attributes.get("units", ""))
    if standard in ("time", "forecast_reference_time") or " since " in units or attributes.get("axis") == "T":
        return "time"
    if coordinate is None:
        return "time" if dimension in ("time", "valid_time") else None
    if standard in ("projection_x_coordinate", "longitude", "grid_longitude") or units in DEGREES["x"]:
        return "x"
    if standard in ("projection_y_coordinate", "latitude", "grid_latitude") or units in DEGREES["y"]:
        return "y"
    if attributes.get("axis") in ("X", "Y"):
        return str(attributes["axis"]).lower()
    return {"x": "x", "y": "y", "lon": "x", "lat": "y", "longitude": "x", "latitude": "y"}.get(dimension.lower())


DEGREES: Final = {
    "x": ("degrees_east", "degree_east", "degrees_E", "degree_E"),
    "y": ("degrees_north", "degree_north", "degrees_N", "degree_N"),
}


def _values(variable: Any, axes: Mapping[str, int]) -> FloatArray:  # noqa: ANN401
    """Unpacked values, float32 [t, y, x], NaN = masked."""
    order = [axes[name] for name in ("time", "y", "x") if name in axes]
    rest = [index for index in range(variable.ndim) if index not in order]
    moved = [*order, *rest]
    ny, nx = variable.shape[axes["y"]], variable.shape[axes["x"]]
    frames = variable.shape[axes["time"]] if "time" in axes else 1
    values = np.empty((frames, ny, nx), np.float32)
    block = max(1, BLOCK_PIXELS // (ny * nx))
    for start in range(0, frames, block):
        key: list[slice] = [slice(None)] * variable.ndim
        if "time" in axes:
            key[axes["time"]] = slice(start, start + block)
        part = np.ma.asarray(variable[tuple(key)]).transpose(moved)
        values[start : start + block] = np.ma.filled(part.astype(np.float32), np.nan).reshape(-1, ny, nx)
    return values


def _times(dataset: Any, variable: Any, axes: Mapping[str, int]) -> NDArray[np.datetime64]:  # noqa: ANN401
    """Valid times: of the time dimension, or of a scalar coordinate."""
    if "time" in axes:
        dimension = variable.dimensions[axes["time"]]
        if dimension not in dataset.variables:
            raise NotARadarFile(f"its dimension {dimension} has no values", mend="Give a coordinate variable of times")
        return _decoded(dataset.variables[dimension])
    named = str(_attributes_of(variable).get("coordinates", "")).split()
    scalars = [v for v in dataset.variables.values() if v.size == 1 and _is_time(v)]
    standard = [v for v in scalars if _attributes_of(v).get("standard_name") == "time"]
    by_name = [v for name in END_NAMES for v in scalars if v.name == name]
    found = [*(v for v in standard if v.name in named), *standard, *by_name]
    if not found:
        raise NotARadarFile("it has no valid time", mend="Give a variable with standard_name time")
    return _decoded(found[0])


def _is_time(variable: Any) -> bool:  # noqa: ANN401
    return " since " in str(_attributes_of(variable).get("units", ""))


def _decoded(variable: Any, bounded: Any = None) -> NDArray[np.datetime64]:  # noqa: ANN401
    """UTC times of a CF time variable, or of bounds in the units of the coordinate that they bound; flattened."""
    import netCDF4

    attributes = {**(_attributes_of(bounded) if bounded is not None else {}), **_attributes_of(variable)}
    if variable.size > 2 * MAX_FRAMES:
        raise TooLarge(f"{variable.name} holds {variable.size:,} times", mend=f"Give up to {MAX_FRAMES:,} frames")
    values = np.ma.asarray(variable[...]).reshape(-1)
    if np.ma.getmaskarray(values).any():
        raise NotARadarFile(f"{variable.name} is missing for a frame", mend="Give each frame its time")
    moments = netCDF4.num2date(
        values.data,
        str(attributes.get("units", "")),
        str(attributes.get("calendar", "standard")),
        only_use_cftime_datetimes=False,
        only_use_python_datetimes=True,
    )
    return np.array(
        [np.datetime64(moment, "ns") for moment in np.asarray(moments, dtype=object).reshape(-1)], "datetime64[ns]"
    )


def _periods(
    dataset: Any,  # noqa: ANN401
    variable: Any,  # noqa: ANN401
    times: NDArray[np.datetime64],
) -> tuple[NDArray[np.datetime64], NDArray[np.datetime64]]:
    """Starts and ends of the periods of an accumulation."""
    for time in (v for v in dataset.variables.values() if _is_time(v) and v.size == times.size):
        bounds = dataset.variables.get(str(_attributes_of(time).get("bounds", "")))
        if bounds is not None and bounds.size == 2 * times.size and np.array_equal(_decoded(time), times):
            pairs = _decoded(bounds, time).reshape(-1, 2)
            return pairs[:, 0], pairs[:, 1]
    for name in START_NAMES:
        start = dataset.variables.get(name)
        if start is not None and _is_time(start) and start.size == times.size:
            return _decoded(start), times
    if times.size > 1:
        return times - common_step(np.sort(times)), times
    raise NotARadarFile(
        f"{variable.name} is an accumulation, and nothing says over which period",
        mend="Give bounds of its time or a start_time, or several frames in one file",
    )


def _grid(
    dataset: Any,  # noqa: ANN401
    variable: Any,  # noqa: ANN401
    axes: Mapping[str, int],
) -> tuple[CRS, NDArray[np.float64], NDArray[np.float64]]:
    """CRS, and centres of pixels in its unit. Longitudes from 180 on count from -180."""
    coordinates = {axis: dataset.variables[variable.dimensions[axes[axis]]] for axis in "xy"}
    centres = {axis: np.asarray(np.ma.filled(v[...], np.nan), np.float64) for axis, v in coordinates.items()}
    mapping = str(_attributes_of(variable).get("grid_mapping", "")).split(":")[0].strip()
    if mapping and mapping in dataset.variables:
        crs = _crs(json.dumps(_attributes_of(dataset.variables[mapping]), sort_keys=True))
    elif all(_is_degrees(coordinates[axis], axis) for axis in "xy"):
        crs = CRS.from_epsg(4326)
    else:
        raise NotARadarFile(
            f"the grid mapping of {variable.name} is {f'absent: {mapping!r}' if mapping else 'not given'}",
            mend="Give a CF grid mapping, or one-dimensional latitude and longitude",
        )
    if crs.is_geographic:
        if centres["x"].min() >= 180.0:
            centres["x"] -= 360.0
    else:
        unit = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 1.0
        for axis, coordinate in coordinates.items():
            name = str(_attributes_of(coordinate).get("units", "m"))
            if name not in LENGTHS:
                raise NotARadarFile(f"{coordinate.name} is in {name!r}", mend="Give projection coordinates in m or km")
            if LENGTHS[name] != unit:
                centres[axis] *= LENGTHS[name] / unit
    return crs, centres["x"], centres["y"]


@lru_cache(maxsize=32)
def _crs(attributes: str) -> CRS:
    """The CRS of grid mapping attributes (JSON), kept: PROJ takes 0.2 s to build one from an ellipsoid's axes."""
    return crs_from_cf(json.loads(attributes))


def _is_degrees(coordinate: Any, axis: str) -> bool:  # noqa: ANN401
    attributes = _attributes_of(coordinate)
    standard = {"x": "longitude", "y": "latitude"}[axis]
    return attributes.get("standard_name") == standard or attributes.get("units") in DEGREES[axis]


def _mask(dataset: Any, shape: tuple[int, int]) -> NDArray[np.bool_] | None:  # noqa: ANN401
    """The static mask of a sequence that was written here."""
    mask = dataset.variables.get("mask")
    if mask is None or mask.shape != shape or "never_seen" not in str(_attributes_of(mask).get("flag_meanings", "")):
        return None
    return np.asarray(np.ma.filled(mask[...], 0)).astype(np.bool_)


def _attributes(dataset: Any, variable: Any) -> dict[str, str]:  # noqa: ANN401
    """What the file says of itself: all of it in a sequence that was written here, else a few names."""
    attributes = _attributes_of(dataset)
    ours = attributes.get("Conventions") == CF_VERSION and variable.name == "rainfall_rate"
    if ours:
        return {name: str(value) for name, value in attributes.items() if name not in ("Conventions", "_NCProperties")}
    return {name: str(attributes[name]) for name in KEPT if name in attributes}


def _attributes_of(variable: Any) -> dict[str, Any]:  # noqa: ANN401
    """Attributes of a variable or data set as plain Python values."""
    values = {name: variable.getncattr(name) for name in variable.ncattrs()}
    return {
        name: value.tolist() if isinstance(value, np.ndarray | np.generic) else value for name, value in values.items()
    }
