"""CF netCDF: rain rates, accumulations and reflectivities on a projection or a latitude-longitude grid.

Standard names and units select the variable (`cf_variables`). The grid comes from the grid mapping, or from
one-dimensional latitude and longitude (`cf_grid`). Times are UTC (`cf_times`); accumulations and means count at the end
of their period (`cf_periods`). Forecasts are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from model.core.errors import NotARadarFile
from model.core.sequence import CF_VERSION, FrameSequence
from model.core.times import utc_text
from model.core.units import FloatArray
from model.core.zr import MARSHALL_PALMER
from model.readers import hdf5, netcdf3
from model.readers.cf_attributes import attributes_of, is_time
from model.readers.cf_grid import axes_of, check_not_polar, grid_of
from model.readers.cf_periods import ends_of, periods_of
from model.readers.cf_times import END_NAMES, decoded, valid_times
from model.readers.cf_variables import select_variable
from model.readers.limits import MAX_FRAMES
from model.readers.observation_times import in_time_order
from model.readers.rain_rate import (
    describe_accumulation,
    describe_mean,
    rain_rate_of_accumulation,
    rain_rate_of_reflectivity,
)
from model.readers.source import ReadOptions, Source, file_by_file

if TYPE_CHECKING:
    from netCDF4 import Dataset, Variable

TITLE: Final = "CF netCDF"
BLOCK_PIXELS: Final = 32_000_000
"""Size of the blocks in which values are unpacked: unpacking needs float64."""
LEAD_TIME: Final = re.compile(r"\blead[ _-]?times?\b|\bforecast[ _-](?:time|period|lead)s?\b", re.IGNORECASE)
LEAD_NAME: Final = re.compile(r"(?:lead|forecast)_?(?:time|period|hour|minute)s?\d*", re.IGNORECASE)
FORECAST_TITLE: Final = re.compile(
    r"\b(?:nowcasts?|forecasts?)\b(?! *(?:office|cent(?:er|re)|service|system|department|input|verification))",
    re.IGNORECASE,
)
OBSERVED_TITLE: Final = re.compile(r"observ|analys", re.IGNORECASE)
MAX_TITLE: Final = 1000
MAX_FILL_VALUES: Final = 100
VALID_RANGE: Final = ("valid_range", "valid_min", "valid_max")
COPIED_ATTRIBUTES: Final = ("title", "institution", "source", "references", "licence", "license")


def matches(head: bytes, path: Path) -> bool:
    """Classic netCDF, or HDF5 that no other reader matches."""
    return head.startswith(netcdf3.MAGIC) or head.startswith(hdf5.MAGIC)


def read_file(source: Source, options: ReadOptions) -> FrameSequence:
    """Read the frames of one netCDF file."""
    import netCDF4

    netcdf3.check_length(source.path)
    with closing(netCDF4.Dataset(str(source.path.resolve()), "r")) as dataset:
        check_not_polar(dataset)
        variable, quantity = select_variable(dataset.variables, options.variable)
        _check_observed(dataset, variable)
        axes = axes_of(dataset, variable)
        frames = variable.shape[axes["time"]] if "time" in axes else 1
        options.budget.take(frames, variable.shape[axes["y"]], variable.shape[axes["x"]])
        _check_storage(source.path, variable)
        _check_fill_values(variable)
        times = valid_times(dataset, variable, variable.dimensions[axes["time"]] if "time" in axes else None)
        periods = periods_of(dataset, variable, times) if quantity.kind == "accumulation" else None
        ends, mean_of = ends_of(dataset, variable, times) if periods is None else (periods.ends, None)
        grid, westward = grid_of(dataset, variable, axes)
        values = _values(variable, axes)
        mask = _mask(dataset, grid.shape)
        attributes = _attributes(dataset, variable)

    if westward:
        values = values[..., ::-1]
        mask = mask[:, ::-1] if mask is not None else None
    if values.shape[0] != ends.size:
        raise NotARadarFile(f"there are {len(values)} frames and {ends.size} times", hint="Give one time per frame")
    if quantity.factor != 1.0:
        with np.errstate(over="ignore"):  # of fill values
            values *= np.float32(quantity.factor)
    added = {"radar_format": TITLE, "quantity": "rain rate"}
    if periods is not None:
        for index, interval in enumerate(ends - periods.starts):
            values[index] = rain_rate_of_accumulation(values[index], interval)
        added["quantity"] = describe_accumulation((ends - periods.starts)[0])
    elif quantity.kind == "reflectivity":
        values, described = rain_rate_of_reflectivity(values, options, MARSHALL_PALMER)
        added |= described
    elif mean_of is not None:
        added["quantity"] = describe_mean(mean_of)
    values, ends = in_time_order(values, ends)
    return FrameSequence(
        rain_rate=values,
        times=ends,
        grid=grid,
        mask=mask,
        attributes={**added, **attributes},
        notes=(periods.note,) if periods is not None and periods.note else (),
    )


read_frames = file_by_file(read_file, TITLE)


def _check_observed(dataset: Dataset, variable: Variable[Any]) -> None:
    """Refuse a forecast: a nowcast starts from observed frames.

    A forecast has positive lead times, or valid times after the `forecast_reference_time`, or a title that calls it a
    forecast. Lead times of an analysis are zero.

    Raises
    ------
    NotARadarFile
        The variable is a forecast.
    """
    related = [
        v
        for v in dataset.variables.values()
        if set(v.dimensions) <= set(variable.dimensions)
        and 0 < v.size <= MAX_FRAMES
        and getattr(v.dtype, "kind", "O") in "iuf"
    ]

    def latest(*names: str) -> np.datetime64 | None:
        named = [v for v in related if v.name in names or attributes_of(v).get("standard_name") in names]
        return max((decoded(v).max() for v in named if is_time(v)), default=None)

    reference = latest("forecast_reference_time")
    valid = latest(*END_NAMES) if reference is not None else None
    ahead = any(np.any(np.ma.filled(v[...] > 0, False)) for v in related if _is_lead_time(v))
    title = str(attributes_of(dataset).get("title", ""))[:MAX_TITLE]
    titled = FORECAST_TITLE.search(title) and not OBSERVED_TITLE.search(title)
    if ahead or titled or (reference is not None and valid is not None and valid > reference):
        since = f", from {utc_text(reference)}" if reference is not None else ""
        raise NotARadarFile(f"this is a forecast{since}", hint="Give observed frames")


def _is_lead_time(variable: Variable[Any]) -> bool:
    """Whether a variable holds lead times, by its standard name, name or long name."""
    attributes = attributes_of(variable)
    standard_name, long_name = (str(attributes.get(name, "")) for name in ("standard_name", "long_name"))
    if is_time(variable):  # a date matters only where it is the valid time of the frames
        valid_time = variable.name in END_NAMES or variable.dimensions == (variable.name,)
        return valid_time and bool(LEAD_TIME.search(long_name))
    return standard_name == "forecast_period" or bool(LEAD_NAME.fullmatch(variable.name) or LEAD_TIME.search(long_name))


def _check_storage(path: Path, variable: Variable[Any]) -> None:
    """Check chunks and storage of a variable in HDF5 (`hdf5.check_storage`); classic netCDF has neither."""
    if not variable.group().data_model.startswith("NETCDF4"):
        return
    import h5py

    with hdf5.open_hdf5(path) as file:
        for name in (variable.name, f"_nc4_non_coord_{variable.name}"):
            stored = file.get(name)
            if isinstance(stored, h5py.Dataset):
                hdf5.check_storage(stored)


def _check_fill_values(variable: Variable[Any]) -> None:
    """Check the number of fill values: the library compares every pixel with each of them.

    Raises
    ------
    NotARadarFile
        There are more than `MAX_FILL_VALUES`.
    """
    count = sum(np.size(attributes_of(variable).get(name, ())) for name in ("_FillValue", "missing_value"))
    if count > MAX_FILL_VALUES:
        raise NotARadarFile(
            f"{variable.name} has {count:,} fill values, the limit is {MAX_FILL_VALUES}", hint="Give one _FillValue"
        )


def _values(variable: Variable[Any], axes: Mapping[str, int]) -> FloatArray:
    """Return the unpacked values, float32 [t, y, x]; NaN where masked."""
    order = [axes[name] for name in ("time", "y", "x") if name in axes]
    rest = [index for index in range(variable.ndim) if index not in order]
    ny, nx = variable.shape[axes["y"]], variable.shape[axes["x"]]
    frames = variable.shape[axes["time"]] if "time" in axes else 1
    values = np.empty((frames, ny, nx), np.float32)
    physical = _has_physical_range(variable)
    step = max(1, BLOCK_PIXELS // (ny * nx))
    for start in range(0, frames, step):
        key: list[slice] = [slice(None)] * variable.ndim
        if "time" in axes:
            key[axes["time"]] = slice(start, start + step)
        block = _within_physical_range(variable, tuple(key)) if physical else variable[tuple(key)]
        part = np.ma.asarray(block).transpose([*order, *rest])
        values[start : start + step] = np.ma.filled(part.astype(np.float32), np.nan).reshape(-1, ny, nx)
    return values


def _has_physical_range(variable: Variable[Any]) -> bool:
    """Whether packed integers have a valid range of floats, which limits unpacked values (NetCDF Users' Guide)."""
    attributes = attributes_of(variable)
    packed = variable.dtype.kind in "iu" and ("scale_factor" in attributes or "add_offset" in attributes)
    limits = (np.asarray(attributes[name]).dtype.kind for name in VALID_RANGE if name in attributes)
    return packed and "f" in limits


def _within_physical_range(variable: Variable[Any], key: tuple[slice, ...]) -> np.ma.MaskedArray[Any, Any]:
    """Return unpacked values, masked where they are fill values or outside of the valid range of unpacked values.

    netCDF4 compares such a range with the packed integers wherever their type can hold the limits.
    """
    attributes = attributes_of(variable)
    variable.set_auto_maskandscale(False)
    packed = np.asarray(variable[key])
    variable.set_auto_scale(True)
    values = np.asarray(variable[key], np.float64)
    variable.set_auto_mask(True)
    fills = [fill for name in ("_FillValue", "missing_value") for fill in np.ravel(attributes.get(name, ()))]
    least, most = np.ravel(attributes.get("valid_range", (-np.inf, np.inf)))
    least = max(least, attributes.get("valid_min", -np.inf))
    most = min(most, attributes.get("valid_max", np.inf))
    slack = abs(float(attributes.get("scale_factor", 1.0))) / 2  # limits are float32, values float64
    outside = (values < least - slack) | (values > most + slack)
    return np.ma.MaskedArray(values, mask=np.isin(packed, fills) | outside)


def _mask(dataset: Dataset, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Return the static mask of a sequence that Echocast wrote."""
    mask = dataset.variables.get("mask")
    if mask is None or mask.shape != shape or "never_seen" not in str(attributes_of(mask).get("flag_meanings", "")):
        return None
    return np.asarray(np.ma.filled(mask[...], 0)).astype(np.bool_)


EARLIER_CF_VERSION: Final = "CF-1.11"
"""Of sequences that earlier versions wrote."""


def _attributes(dataset: Dataset, variable: Variable[Any]) -> dict[str, str]:
    """Return the attributes to copy: all of a sequence that Echocast wrote, a few of other files."""
    attributes = attributes_of(dataset)
    if attributes.get("Conventions") in (CF_VERSION, EARLIER_CF_VERSION) and variable.name == "rainfall_rate":
        return {name: str(value) for name, value in attributes.items() if name not in ("Conventions", "_NCProperties")}
    return {name: str(attributes[name]) for name in COPIED_ATTRIBUTES if name in attributes}
