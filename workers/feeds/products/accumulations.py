"""Accumulations: rainfall over the next 15, 30 and 60 minutes, as CF netCDF4.

`rainfall(time, y, x)` counts from the reference time of the forecast, `rainfall_from_now(time_from_now, y, x)` from the
time at which the file was made: frames are minutes old when they are forecast. Each time is the end of a period, whose
bounds are beside it. Where the forecast has members, `probability_of_rainfall` is the share of them that reaches a
threshold. A sum over a missing step is missing, never a smaller sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import h5py
import netCDF4
import numpy as np
from numpy.typing import NDArray

from model.core.accumulation import PERIODS_MINUTES, exceedance, rainfall_mm, step_hours
from model.core.errors import InputError
from model.core.forecast_file import CHUNK, PACKED_PROBABILITY, PACKED_RAIN
from model.core.forecast_variables import RAIN_RATE, THRESHOLD
from model.core.grid import Grid
from model.core.packing import COMPRESSION_LEVEL, PACKED_FILL
from model.core.sequence import CF_VERSION, TIME_ENCODING, spatial_coordinates
from model.core.times import rfc3339
from model.core.units import FloatArray
from service.render.forecast_reader import RainFile
from service.status import NETCDF
from workers.context import WorkerContext
from workers.feeds.products.made_file import MadeFile
from workers.feeds.published_run import PublishedRun

THRESHOLDS_MM: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
"""Rainfall of the probabilities."""

BAND_PIXELS: Final = 16_000_000
"""Most rates that are in memory at a time, of all lead steps and members."""

BAND_ROWS: Final = 64
"""Bands are multiples of this many rows, the side of the smallest chunks."""

RAINFALL_ATTRIBUTES: Final = {
    "standard_name": "thickness_of_rainfall_amount",
    "units": "mm",
    "grid_mapping": "crs",
    "coordinates": "forecast_reference_time",
}
PROBABILITY_ATTRIBUTES: Final = {
    "long_name": "probability that the rainfall of the period is at least the threshold: share of the members",
    "units": "1",
    "grid_mapping": "crs",
    "coordinates": "forecast_reference_time",
}
THRESHOLD_ATTRIBUTES: Final = {
    "standard_name": "thickness_of_rainfall_amount",
    "long_name": "threshold of the rainfall",
    "units": "mm",
    "spp__relative_to_threshold": "greater_than_or_equal_to",
}


class Periods(NamedTuple):
    """Periods with one beginning (minutes after the reference time), and the names under which they are in the file.

    `hours`: for how many hours each lead step counts in each period [period, lead].
    """

    time: str
    suffix: str
    start_minutes: float
    minutes: tuple[float, ...]
    hours: tuple[NDArray[np.float32], ...]


def make_accumulations(published: PublishedRun, context: WorkerContext) -> list[MadeFile]:
    """Return the file of accumulations.

    Raises
    ------
    InputError
        The forecast covers no period.
    """
    target = published.folder / "accumulations.nc"
    newest = context.feed_ledger.newest_time(published.feed.name) or published.run.reference_time
    write_accumulations(RainFile.open(published.nowcast), target, now=published.feed.now(newest))
    return [MadeFile(path=target, stem="accumulations", title="Accumulations, CF-netCDF", media_type=NETCDF)]


def write_accumulations(forecast: RainFile, target: Path, *, now: datetime) -> None:
    """Write the accumulations of a forecast to `target`, in bands of rows, so that memory is bounded.

    Raises
    ------
    InputError
        The forecast covers no period.
    """
    age = (now - forecast.reference_time).total_seconds() / 60
    parts = [_periods(forecast, "time", "", 0.0), _periods(forecast, "time_from_now", "_from_now", max(0.0, age))]
    parts = [part for part in parts if part.minutes]
    if not parts:
        raise InputError(
            f"the forecast of {forecast.lead_minutes[-1]:g} min covers no period of accumulation",
            where="accumulations",
            hint=f"Forecast at least {PERIODS_MINUTES[0]:g} min from now on: lead_time",
        )
    with netCDF4.Dataset(target, "w", format="NETCDF4") as file:
        _write_header(file, forecast, now)
        for part in parts:
            _define(file, forecast, part)
        for top, rates, members in _bands(forecast):
            rows = slice(top, top + rates.shape[-2])
            for part in parts:
                for index, hours in enumerate(part.hours):
                    file[f"rainfall{part.suffix}"][index, rows] = _packed(rainfall_mm(rates, hours), PACKED_RAIN)
                    if members is not None:
                        shares = exceedance(rainfall_mm(members, hours), THRESHOLDS_MM)
                        name = f"probability_of_rainfall{part.suffix}"
                        file[name][:, index, rows] = _packed(shares, PACKED_PROBABILITY)


def _periods(forecast: RainFile, time: str, suffix: str, start: float) -> Periods:
    found = [
        (minutes, hours)
        for minutes in PERIODS_MINUTES
        if (hours := step_hours(forecast.lead_minutes, start, start + minutes)) is not None
    ]
    return Periods(time, suffix, start, tuple(each[0] for each in found), tuple(each[1] for each in found))


def _bands(forecast: RainFile) -> Iterator[tuple[int, FloatArray, FloatArray | None]]:
    """Yield the first row of each band, its rates [lead, y, x], and those of the members [realization, lead, y, x]."""
    ny, nx = forecast.grid.shape
    of_row = nx * len(forecast) * max(1, forecast.members)
    rows = max(1, BAND_PIXELS // (of_row * BAND_ROWS)) * BAND_ROWS
    with h5py.File(forecast.path, "r") as file:
        for top in range(0, ny, rows):
            band = slice(top, top + rows)
            members = _unpacked(file[RAIN_RATE], band) if forecast.members else None
            yield top, _unpacked(file[forecast.variable], band), members


def _unpacked(variable: h5py.Dataset, rows: slice) -> FloatArray:
    packed = variable[..., rows, :]
    values: FloatArray = packed * np.float32(variable.attrs["scale_factor"].item())
    values[packed == PACKED_FILL] = np.nan
    return values


def _packed(values: FloatArray, packing: dict[str, Any]) -> NDArray[np.integer[Any]]:
    fill = packing["_FillValue"]
    steps = np.minimum(np.rint(values / packing["scale_factor"]), fill - 1)
    packed: NDArray[np.integer[Any]] = np.where(np.isnan(steps), fill, steps).astype(packing["dtype"])
    return packed


def _write_header(file: netCDF4.Dataset, forecast: RainFile, now: datetime) -> None:
    """Write the attributes, the grid, and the coordinates that all variables share."""
    grid: Grid = forecast.grid
    file.setncatts(
        {
            **forecast.attributes,
            "Conventions": CF_VERSION,
            "title": "Rainfall of a precipitation nowcast",
            "comment": "a lead step stands for the time since the step before; a sum over a missing step is missing",
            "now": rfc3339(now),
        }
    )
    file.createDimension("bounds", 2)
    for name, (_, centres, attributes) in spatial_coordinates(grid).items():
        file.createDimension(name, centres.size)
        file.createVariable(name, "f8", (name,)).setncatts(attributes)
        file[name][:] = centres
    file.createVariable("crs", "i4").setncatts(grid.cf_grid_mapping())
    file["crs"][...] = 0
    file.createVariable("forecast_reference_time", "i8").setncatts(
        {"standard_name": "forecast_reference_time", "units": TIME_ENCODING["units"]}
    )
    file["forecast_reference_time"][...] = round(forecast.reference_time.timestamp())
    if forecast.members:
        file.createDimension(THRESHOLD, len(THRESHOLDS_MM))
        file.createVariable(THRESHOLD, "f8", (THRESHOLD,)).setncatts(THRESHOLD_ATTRIBUTES)
        file[THRESHOLD][:] = THRESHOLDS_MM


def _define(file: netCDF4.Dataset, forecast: RainFile, part: Periods) -> None:
    """Create the variables of periods with one beginning."""
    time, since = part.time, "now" if part.suffix else "the reference time"
    start = forecast.reference_time.timestamp() + 60 * part.start_minutes
    ends = [start + 60 * minutes for minutes in part.minutes]
    file.createDimension(time, len(ends))
    file.createVariable(time, "i8", (time,)).setncatts(
        {
            "standard_name": "time",
            "long_name": f"end of the period from {since} on",
            "units": TIME_ENCODING["units"],
            "bounds": f"{time}_bounds",
        }
    )
    file[time][:] = np.round(ends)
    file.createVariable(f"{time}_bounds", "i8", (time, "bounds"))[:] = np.round([(start, end) for end in ends])
    sides = tuple(min(side, CHUNK) for side in forecast.grid.shape)
    rainfall = {
        **RAINFALL_ATTRIBUTES,
        "long_name": f"rainfall from {since} on",
        "cell_methods": f"{time}: sum",
    }
    _create(file, f"rainfall{part.suffix}", (time, "y", "x"), PACKED_RAIN, (1, *sides), rainfall)
    if forecast.members:
        name, dimensions = f"probability_of_rainfall{part.suffix}", (THRESHOLD, time, "y", "x")
        _create(file, name, dimensions, PACKED_PROBABILITY, (1, 1, *sides), PROBABILITY_ATTRIBUTES)


def _create(
    file: netCDF4.Dataset,
    name: str,
    dimensions: Sequence[str],
    packing: dict[str, Any],
    chunks: tuple[int, ...],
    attributes: dict[str, str],
) -> None:
    variable = file.createVariable(
        name,
        packing["dtype"],
        dimensions,
        fill_value=packing["_FillValue"],
        zlib=True,
        complevel=COMPRESSION_LEVEL,
        shuffle=True,
        chunksizes=chunks,
    )
    variable.setncatts({**attributes, "scale_factor": packing["scale_factor"]})
    variable.set_auto_maskandscale(False)
