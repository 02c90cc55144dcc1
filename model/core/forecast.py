"""The forecast file: CF-1.11 netCDF4, packed and compressed, whole and self-describing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from model.core.grid import Grid
from model.core.sequence import TIME_ENCODING, FrameSequence
from model.core.units import FloatArray

PACKED_RESOLUTION_MM_H = 0.01
PACKED_FILL = 65535
PACKED_CEILING_MM_H = np.float32(PACKED_RESOLUTION_MM_H * (PACKED_FILL - 1))
CHUNK = 512


@dataclass(frozen=True, eq=False)
class Forecast:
    """Rain rate forecast [lead, y, x] (mm h-1, NaN = not known), its reference time and lead times.

    `lead_minutes` [lead] are minutes after `reference_time`; `attributes` name the model, its version and digest.
    """

    rain_rate: FloatArray
    reference_time: np.datetime64
    lead_minutes: NDArray[np.float64]
    grid: Grid
    attributes: Mapping[str, str]

    @property
    def times(self) -> NDArray[np.datetime64]:
        """Valid times, datetime64[ns] [lead]."""
        seconds = np.round(self.lead_minutes * 60).astype("timedelta64[s]")
        return (self.reference_time + seconds).astype("datetime64[ns]")

    def to_dataset(self) -> xr.Dataset:
        """CF-1.11 dataset: `rainfall_rate(time, y, x)`, `forecast_reference_time`, `forecast_period`."""
        frames = FrameSequence(
            rain_rate=self.rain_rate,
            times=self.times,
            grid=self.grid,
            attributes={"title": "Precipitation nowcast", **self.attributes},
        )
        dataset = frames.to_dataset().assign_coords(
            forecast_reference_time=(
                (),
                self.reference_time.astype("datetime64[ns]"),
                {"standard_name": "forecast_reference_time"},
            ),
            forecast_period=(
                "time",
                self.lead_minutes * 60.0,
                {"standard_name": "forecast_period", "long_name": "lead time", "units": "s"},
            ),
        )
        dataset["forecast_reference_time"].encoding = dict(TIME_ENCODING)
        dataset["forecast_period"].encoding = {"dtype": "float64"}
        return dataset


def write_netcdf(item: Forecast | FrameSequence, path: Path) -> None:
    """Write a forecast (or the frames that it started from) as packed CF-netCDF4.

    Rain rate is packed as unsigned 16-bit at 0.01 mm h-1 (error at most 0.005); no data is the fill value. What
    exceeds 655.34 mm h-1, more than rain does, is written as that, and `clipped_pixels` counts it.
    """
    dataset = item.to_dataset()
    clipped = int(np.count_nonzero(item.rain_rate > PACKED_CEILING_MM_H))
    if clipped:
        dataset["rainfall_rate"] = dataset["rainfall_rate"].clip(max=PACKED_CEILING_MM_H, keep_attrs=True)
        dataset["rainfall_rate"].attrs["clipped_pixels"] = clipped
    ny, nx = item.grid.shape
    dataset["rainfall_rate"].encoding = {
        "dtype": "uint16",
        "scale_factor": np.float32(PACKED_RESOLUTION_MM_H),
        "_FillValue": np.uint16(PACKED_FILL),
        "zlib": True,
        "complevel": 1,
        "shuffle": True,
        "chunksizes": (1, min(ny, CHUNK), min(nx, CHUNK)),
    }
    for coordinate in ("x", "y"):
        dataset[coordinate].encoding = {"_FillValue": None}
    dataset.to_netcdf(path, engine="netcdf4", format="NETCDF4")
