"""CF netCDF: rain rates, accumulations and reflectivities on a projection or a latitude-longitude grid.

The variable is chosen by standard name and units (`cf_variables`), its place by grid mapping or by one-dimensional
latitude and longitude (`cf_grid`). Times are UTC (`cf_times`); what lasts a period counts at its end
(`cf_periods`). Forecasts are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.core.errors import NotARadarFile
from model.core.sequence import CF_VERSION, FrameSequence
from model.core.units import FloatArray
from model.core.zr import MARSHALL_PALMER
from model.readers import classic, hdf5
from model.readers.cf_attributes import attributes_of, is_time
from model.readers.cf_grid import axes_of, check_not_polar, grid_of
from model.readers.cf_periods import ends_of, periods_of
from model.readers.cf_times import END_NAMES, decoded, valid_times
from model.readers.cf_variables import choose
from model.readers.source import (
    MAX_FRAMES,
    Options,
    Source,
    describe_accumulation,
    describe_mean,
    file_by_file,
    rain_of_reflectivity,
    rain_per_hour,
    utc_text,
)

TITLE: Final = "CF netCDF"
BLOCK_PIXELS: Final = 32_000_000
"""Values are unpacked in blocks of about this size: unpacking goes through float64."""
LEAD_TIME: Final = re.compile(r"\blead[ _-]?times?\b|\bforecast[ _-](?:time|period|lead)s?\b", re.IGNORECASE)
LEAD_NAME: Final = re.compile(r"(?:lead|forecast)_?(?:time|period|hour|minute)s?\d*", re.IGNORECASE)
FORECAST_TITLE: Final = re.compile(
    r"\b(?:nowcasts?|forecasts?)\b(?! *(?:office|cent(?:er|re)|service|system|department|input|verification))",
    re.IGNORECASE,
)
OBSERVED_TITLE: Final = re.compile(r"observ|analys", re.IGNORECASE)
MAX_TITLE: Final = 1000
VALID: Final = ("valid_range", "valid_min", "valid_max")
KEPT: Final = ("title", "institution", "source", "references", "licence", "license")


def matches(head: bytes, path: Path) -> bool:
    """Classic netCDF, or HDF5 (which no other reader has claimed before)."""
    return head.startswith(classic.MAGIC) or head.startswith(hdf5.MAGIC)


def read_file(source: Source, options: Options) -> FrameSequence:
    """The frames of one netCDF file."""
    import netCDF4

    classic.check_length(source.path)
    with closing(netCDF4.Dataset(str(source.path.resolve()), "r")) as dataset:
        check_not_polar(dataset)
        variable, quantity = choose(dataset.variables, options.variable)
        _check_observed(dataset, variable)
        axes = axes_of(dataset, variable)
        frames = variable.shape[axes["time"]] if "time" in axes else 1
        options.budget.take(frames, variable.shape[axes["y"]], variable.shape[axes["x"]])
        times = valid_times(dataset, variable, variable.dimensions[axes["time"]] if "time" in axes else None)
        periods = periods_of(dataset, variable, times) if quantity.kind == "accumulation" else None
        ends, mean_of = ends_of(dataset, variable, times) if periods is None else (periods.ends, None)
        grid, turned = grid_of(dataset, variable, axes)
        values = _values(variable, axes)
        mask = _mask(dataset, grid.shape)
        attributes = _attributes(dataset, variable)

    if turned:
        values = values[..., ::-1]
        mask = mask[:, ::-1] if mask is not None else None
    if values.shape[0] != ends.size:
        raise NotARadarFile(f"it has {values.shape[0]} frames and {ends.size} times", hint="Give one time per frame")
    if quantity.factor != 1.0:
        with np.errstate(over="ignore"):  # a fill value
            values *= np.float32(quantity.factor)
    added = {"radar_format": TITLE, "quantity": "rain rate"}
    if periods is not None:
        for index, interval in enumerate(ends - periods.starts):
            values[index] = rain_per_hour(values[index], interval)
        added["quantity"] = describe_accumulation((ends - periods.starts)[0])
    elif quantity.kind == "reflectivity":
        values, described = rain_of_reflectivity(values, options, MARSHALL_PALMER)
        added |= described
    elif mean_of is not None:
        added["quantity"] = describe_mean(mean_of)
    order = np.argsort(ends, kind="stable")
    if not np.array_equal(order, np.arange(order.size)):
        ends, values = ends[order], values[order]
    return FrameSequence(
        rain_rate=values,
        times=ends,
        grid=grid,
        mask=mask,
        attributes={**added, **attributes},
        notes=(periods.note,) if periods is not None and periods.note else (),
    )


read_frames = file_by_file(read_file, TITLE)


def _check_observed(dataset: Any, variable: Any) -> None:  # noqa: ANN401  (netCDF4 ships no types)
    """Refuse a forecast, ours or another's: a nowcast starts from frames that a radar saw.

    A forecast has positive lead times, or valid times after its `forecast_reference_time`, or says so in its title.
    Lead times of an analysis are zero.

    Raises
    ------
    NotARadarFile
        The variable is a forecast.
    """
    of_it = [
        v
        for v in dataset.variables.values()
        if set(v.dimensions) <= set(variable.dimensions)
        and 0 < v.size <= MAX_FRAMES
        and getattr(v.dtype, "kind", "O") in "iuf"
    ]

    def latest(*names: str) -> np.datetime64 | None:
        called = [v for v in of_it if v.name in names or attributes_of(v).get("standard_name") in names]
        return max((decoded(v).max() for v in called if is_time(v)), default=None)

    reference = latest("forecast_reference_time")
    valid = latest(*END_NAMES) if reference is not None else None
    ahead = any(np.any(np.ma.filled(v[...] > 0, False)) for v in of_it if _is_lead_time(v))
    title = str(attributes_of(dataset).get("title", ""))[:MAX_TITLE]
    titled = FORECAST_TITLE.search(title) and not OBSERVED_TITLE.search(title)
    if ahead or titled or (reference is not None and valid is not None and valid > reference):
        since = f", from {utc_text(reference)}" if reference is not None else ""
        raise NotARadarFile(f"this is a forecast{since}", hint="Give observed frames")


def _is_lead_time(variable: Any) -> bool:  # noqa: ANN401
    """Whether it counts ahead of a reference time: by its standard name, its name, or what it is called at length."""
    attributes = attributes_of(variable)
    standard, called = (str(attributes.get(name, "")) for name in ("standard_name", "long_name"))
    if is_time(variable):  # a moment counts ahead only where it is that of the frames
        of_frames = variable.name in END_NAMES or variable.dimensions == (variable.name,)
        return of_frames and bool(LEAD_TIME.search(called))
    return standard == "forecast_period" or bool(LEAD_NAME.fullmatch(variable.name) or LEAD_TIME.search(called))


def _values(variable: Any, axes: Mapping[str, int]) -> FloatArray:  # noqa: ANN401
    """Unpacked values, float32 [t, y, x], NaN = masked."""
    order = [axes[name] for name in ("time", "y", "x") if name in axes]
    rest = [index for index in range(variable.ndim) if index not in order]
    moved = [*order, *rest]
    ny, nx = variable.shape[axes["y"]], variable.shape[axes["x"]]
    frames = variable.shape[axes["time"]] if "time" in axes else 1
    values = np.empty((frames, ny, nx), np.float32)
    read = _within_physical_range if _has_physical_range(variable) else _as_it_is
    block = max(1, BLOCK_PIXELS // (ny * nx))
    for start in range(0, frames, block):
        key: list[slice] = [slice(None)] * variable.ndim
        if "time" in axes:
            key[axes["time"]] = slice(start, start + block)
        part = np.ma.asarray(read(variable, tuple(key))).transpose(moved)
        values[start : start + block] = np.ma.filled(part.astype(np.float32), np.nan).reshape(-1, ny, nx)
    return values


def _as_it_is(variable: Any, key: tuple[slice, ...]) -> Any:  # noqa: ANN401
    return variable[key]


def _has_physical_range(variable: Any) -> bool:  # noqa: ANN401
    """Whether packed integers have a valid range of floats: of what they unpack to (NetCDF Users' Guide)."""
    attributes = attributes_of(variable)
    packed = variable.dtype.kind in "iu" and ("scale_factor" in attributes or "add_offset" in attributes)
    limits = (np.asarray(attributes[name]).dtype.kind for name in VALID if name in attributes)
    return packed and "f" in limits


def _within_physical_range(variable: Any, key: tuple[slice, ...]) -> np.ma.MaskedArray[Any, Any]:  # noqa: ANN401
    """Unpacked values, masked where they are fill values or outside of a valid range that is not that of the packed.

    netCDF4 holds such a range against the packed integers where they can hold its numbers.
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
    slack = abs(float(attributes.get("scale_factor", 1.0))) / 2  # float32 limits, float64 values
    outside = (values < least - slack) | (values > most + slack)
    return np.ma.MaskedArray(values, mask=np.isin(packed, fills) | outside)


def _mask(dataset: Any, shape: tuple[int, int]) -> NDArray[np.bool_] | None:  # noqa: ANN401
    """The static mask of a sequence that was written here."""
    mask = dataset.variables.get("mask")
    if mask is None or mask.shape != shape or "never_seen" not in str(attributes_of(mask).get("flag_meanings", "")):
        return None
    return np.asarray(np.ma.filled(mask[...], 0)).astype(np.bool_)


def _attributes(dataset: Any, variable: Any) -> dict[str, str]:  # noqa: ANN401
    """What the file says of itself: all of it in a sequence that was written here, else a few names."""
    attributes = attributes_of(dataset)
    ours = attributes.get("Conventions") == CF_VERSION and variable.name == "rainfall_rate"
    if ours:
        return {name: str(value) for name, value in attributes.items() if name not in ("Conventions", "_NCProperties")}
    return {name: str(attributes[name]) for name in KEPT if name in attributes}
