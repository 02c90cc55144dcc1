"""The forecast file: CF-1.11 netCDF4, packed and compressed, whole and self-describing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.conventions import encode_cf_variable, encode_dataset_coordinates

from model.core.grid import Grid
from model.core.sequence import TIME_ENCODING, FrameSequence
from model.core.units import FloatArray

PACKED_RESOLUTION_MM_H = 0.01
PACKED_FILL = 65535
PACKED_CEILING_MM_H = np.float32(PACKED_RESOLUTION_MM_H * (PACKED_FILL - 1))
CHUNK = 512


@dataclass(frozen=True, eq=False)
class ForecastHeader:
    """All of a forecast but its rain: reference time, lead times, grid.

    `lead_minutes` [lead] are minutes after `reference_time`; `attributes` name the model, its version and digest.
    """

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
        """CF-1.11 dataset of a forecast that is not known yet; its rain takes no memory."""
        return self._dataset(np.broadcast_to(np.float32(np.nan), (self.lead_minutes.size, *self.grid.shape)))

    def _dataset(self, rain_rate: FloatArray) -> xr.Dataset:
        frames = FrameSequence(
            rain_rate=rain_rate,
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


@dataclass(frozen=True, eq=False)
class Forecast(ForecastHeader):
    """Rain rate forecast [lead, y, x] (mm h-1, NaN = not known), and its header."""

    rain_rate: FloatArray

    def to_dataset(self) -> xr.Dataset:
        """CF-1.11 dataset: `rainfall_rate(time, y, x)`, `forecast_reference_time`, `forecast_period`."""
        return self._dataset(self.rain_rate)


class ForecastWriter:
    """Write a forecast file frame by frame; it never holds more than one of them.

    Rain rate is packed as unsigned 16-bit at 0.01 mm h-1 (error at most 0.005); no data is the fill value. What
    exceeds 655.34 mm h-1, more than rain does, is written as that, and `clipped_pixels` counts it.

    A context manager: left by an exception, or before every frame was given, it leaves no file.
    """

    def __init__(self, path: Path, header: ForecastHeader | FrameSequence) -> None:
        self._path = path
        self._frames = len(header.times)
        self._shape = header.grid.shape
        self._written = 0
        self._clipped = 0
        self._file = netCDF4.Dataset(path, "w", format="NETCDF4")
        try:
            self._rain_rate = _lay_out(self._file, header)
        except BaseException:
            self._discard()
            raise

    def __enter__(self) -> Self:
        return self

    def append(self, rain_rate_mm_h: FloatArray) -> None:
        """Write the next frame [y, x] (mm h-1, NaN = not known).

        Raises:
            ValueError: it is not of the grid's shape, or all frames of the header are written.
        """
        if rain_rate_mm_h.shape != self._shape or self._written == self._frames:
            raise ValueError(
                f"frame {self._written + 1} of {self._frames} on {self._shape} has shape {rain_rate_mm_h.shape}"
            )
        packed, clipped = _packed(rain_rate_mm_h)
        self._rain_rate[self._written] = packed
        self._written += 1
        self._clipped += clipped

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None or self._written < self._frames:
            self._discard()
            if kind is None:
                raise ValueError(f"{self._written} of {self._frames} frames were written")
            return
        if self._clipped:
            self._rain_rate.clipped_pixels = np.int64(self._clipped)
        self._file.close()

    def _discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


def write_netcdf(item: Forecast | FrameSequence, path: Path) -> None:
    """Write a forecast (or the frames that it started from) as packed CF-netCDF4; see ForecastWriter."""
    with ForecastWriter(path, item) as writer:
        for frame in item.rain_rate:
            writer.append(frame)


def _lay_out(file: netCDF4.Dataset, header: ForecastHeader | FrameSequence) -> netCDF4.Variable[np.uint16]:
    """Write everything but the frames, and return the variable that takes them, packed."""
    dataset = header.to_dataset()
    ny, nx = header.grid.shape
    dataset["rainfall_rate"].encoding = {
        "dtype": "uint16",
        "scale_factor": np.float32(PACKED_RESOLUTION_MM_H),
        "_FillValue": np.uint16(PACKED_FILL),
    }
    for coordinate in ("x", "y"):
        dataset[coordinate].encoding = {"_FillValue": None}
    variables, attributes = encode_dataset_coordinates(dataset)
    file.setncatts(attributes)
    for name, size in dataset.sizes.items():
        file.createDimension(str(name), size)
    for name, variable in variables.items():
        is_rain = name == "rainfall_rate"
        # Of the rain, only the form: its frames come later.
        encoded = encode_cf_variable(variable[:0] if is_rain else variable, name=name)
        fill = encoded.attrs.pop("_FillValue", None)
        how = {"zlib": True, "complevel": 1, "shuffle": True, "chunksizes": (1, min(ny, CHUNK), min(nx, CHUNK))}
        target = file.createVariable(
            str(name),
            encoded.dtype,
            map(str, encoded.dims),
            fill_value=fill,
            **(how if is_rain else {"contiguous": True}),
        )
        target.setncatts(encoded.attrs)
        target.set_auto_maskandscale(False)
        if not is_rain:
            target[...] = encoded.values
    return file.variables["rainfall_rate"]


def _packed(rain_rate_mm_h: FloatArray) -> tuple[NDArray[np.uint16], int]:
    """A frame [y, x] as packed integers, and how many of its pixels were clipped."""
    clipped = int(np.count_nonzero(rain_rate_mm_h > PACKED_CEILING_MM_H))
    packed = rain_rate_mm_h / np.float32(PACKED_RESOLUTION_MM_H)
    np.rint(packed, out=packed)
    np.minimum(packed, np.float32(PACKED_FILL - 1), out=packed)
    np.fmin(packed, np.float32(PACKED_FILL), out=packed)  # of NaN and a number, the number
    return packed.astype(np.uint16), clipped
