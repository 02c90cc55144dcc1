"""The forecast file: self-describing CF-1.11 netCDF4 with packed and compressed rain rate.

A file is written in two passes. First xarray encodes and netCDF4 writes everything but the rain rate, whose variable
stays empty. Then the file is opened again with h5py, and every frame goes in as chunks that are packed, shuffled and
compressed here (HDF5's direct chunk write). netCDF4 would compress with zlib: for one forecast of 12 frames zlib took
53 ms of 90 ms, ISA-L takes 8.5 ms and as many bytes (docs/lab.md, "The file"), and every reader of netCDF4
reads its output, unlike zstd or szip. Dry chunks are compressed once, chunks without data never.

One packing serves every file, because a scale that grows with the largest value would let one pixel of clutter turn
light rain into dry (docs/decisions/006-one-packing.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import netCDF4
import numpy as np
import xarray as xr
from isal import isal_zlib
from numpy.typing import NDArray
from xarray.conventions import encode_cf_variable, encode_dataset_coordinates

from model.core.grid import Grid
from model.core.sequence import TIME_ENCODING, FrameSequence
from model.core.units import FloatArray

PACKED_RESOLUTION_MM_H = 0.01
PACKED_FILL = 65535
MAX_PACKED_MM_H = np.float32(PACKED_RESOLUTION_MM_H * (PACKED_FILL - 1))
CHUNK = 512
COMPRESSION_LEVEL = 1
COMPRESSION = {"zlib": True, "complevel": COMPRESSION_LEVEL, "shuffle": True}
RAIN_RATE = "rainfall_rate"


@dataclass(frozen=True, eq=False)
class ForecastHeader:
    """A forecast without the rain rate: reference time, lead times and grid.

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
        """Return a CF-1.11 dataset with NaN as rain rate, which takes no memory."""
        return self._dataset(np.broadcast_to(np.float32(np.nan), (self.lead_minutes.size, *self.grid.shape)))

    def _dataset(self, rain_rate: FloatArray) -> xr.Dataset:
        frames = FrameSequence(
            rain_rate=rain_rate,
            times=self.times,
            grid=self.grid,
            attributes={"title": "Precipitation nowcast", **self.attributes},
        )
        reference_time = self.reference_time.astype("datetime64[ns]")
        period = {"standard_name": "forecast_period", "long_name": "lead time", "units": "s"}
        dataset = frames.to_dataset().assign_coords(
            forecast_reference_time=((), reference_time, {"standard_name": "forecast_reference_time"}),
            forecast_period=("time", self.lead_minutes * 60.0, period),
        )
        dataset["forecast_reference_time"].encoding = dict(TIME_ENCODING)
        dataset["forecast_period"].encoding = {"dtype": "float64"}
        return dataset


@dataclass(frozen=True, eq=False)
class Forecast(ForecastHeader):
    """A forecast of rain rate [lead, y, x] (mm h-1, NaN is no data) with its header."""

    rain_rate: FloatArray

    def to_dataset(self) -> xr.Dataset:
        """Return a CF-1.11 dataset: `rainfall_rate(time, y, x)`, `forecast_reference_time`, `forecast_period`."""
        return self._dataset(self.rain_rate)


def quantize(rain_rate_mm_h: FloatArray) -> FloatArray:
    """Return the rain rate as a reader unpacks it from the file, for summaries that must agree with the file."""
    steps: FloatArray = np.rint(rain_rate_mm_h / np.float32(PACKED_RESOLUTION_MM_H))
    np.minimum(steps, np.float32(PACKED_FILL - 1), out=steps)
    steps *= np.float32(PACKED_RESOLUTION_MM_H)
    return steps


class ForecastWriter:
    """Writer of a forecast file, frame by frame; memory holds one frame at most.

    Rain rate is packed as unsigned 16-bit integers of 0.01 mm h-1 (error at most 0.005) with a fill value for no data.
    Rates above 655.34 mm h-1, beyond any rain, are clipped, and the attribute `clipped_pixels` counts them.

    A context manager: after an exception, or without all frames, no file remains.

    Parameters
    ----------
    path
        The file to write.
    header
        The forecast, or a sequence, whose frames follow by `append`.
    """

    def __init__(self, path: Path, header: ForecastHeader | FrameSequence) -> None:
        self._path = path
        self._frames = len(header.times)
        self._shape = header.grid.shape
        self._written = 0
        self._packer = _Packer((min(self._shape[0], CHUNK), min(self._shape[1], CHUNK)))
        try:
            _write_header(path, header, self._packer.shape)
            self._file = h5py.File(path, "r+")
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def __enter__(self) -> Self:
        return self

    def append(self, rain_rate_mm_h: FloatArray) -> None:
        """Write the next frame [y, x] (mm h-1, NaN is no data).

        Raises
        ------
        ValueError
            The shape is not that of the grid, or all frames of the header are written.
        """
        if rain_rate_mm_h.shape != self._shape or self._written == self._frames:
            raise ValueError(
                f"frame {self._written + 1} of {self._frames} on {self._shape} has shape {rain_rate_mm_h.shape}"
            )
        stored = self._file[RAIN_RATE].id
        rows, columns = self._packer.shape
        for top in range(0, self._shape[0], rows):
            for left in range(0, self._shape[1], columns):
                chunk = self._packer.chunk(rain_rate_mm_h[top : top + rows, left : left + columns])
                if chunk is not None:
                    stored.write_direct_chunk((self._written, top, left), chunk)
        self._written += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        complete = kind is None and self._written == self._frames
        try:
            if complete and self._packer.clipped:
                self._file[RAIN_RATE].attrs.create("clipped_pixels", np.array([self._packer.clipped], np.int64))
            self._file.close()
        finally:
            if not complete:
                self._path.unlink(missing_ok=True)
        if not complete and kind is None:
            raise ValueError(f"{self._written} of {self._frames} frames were written")


def write_netcdf(item: Forecast | FrameSequence, path: Path) -> None:
    """Write a forecast, or a sequence of observed frames, as packed CF-netCDF4; see `ForecastWriter`."""
    with ForecastWriter(path, item) as writer:
        for frame in item.rain_rate:
            writer.append(frame)


class _Packer:
    """Packs, shuffles and compresses chunks as HDF5's filters would; `clipped` counts the pixels beyond the packing."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.clipped = 0
        self._scaled = np.empty(shape, np.float32)
        self._packed = np.zeros(shape, np.uint16)
        self._shuffled = np.zeros((2, *shape), np.uint8)
        self._dry = isal_zlib.compress(self._shuffled, COMPRESSION_LEVEL)

    def chunk(self, rain_rate_mm_h: FloatArray) -> bytes | None:
        """Compress a chunk of rain rate [y, x]; None without data, because HDF5 reads absent chunks as the fill value.

        At the edges of the domain a chunk is smaller than `shape`.
        """
        if not rain_rate_mm_h.any():
            return self._dry
        if rain_rate_mm_h.shape != self.shape:
            self._shuffled.fill(0)  # values beyond the edge are never read; zeros compress best
        size = tuple(slice(n) for n in rain_rate_mm_h.shape)
        scaled, packed = self._scaled[size], self._packed[size]
        np.divide(rain_rate_mm_h, np.float32(PACKED_RESOLUTION_MM_H), out=scaled)
        np.rint(scaled, out=scaled)
        no_data = np.isnan(scaled)
        if no_data.all():
            return None
        np.copyto(scaled, np.float32(PACKED_FILL), where=no_data)
        above = int(np.count_nonzero(rain_rate_mm_h > MAX_PACKED_MM_H))
        if above:
            self.clipped += above
            np.minimum(scaled, np.where(no_data, np.float32(PACKED_FILL), np.float32(PACKED_FILL - 1)), out=scaled)
        np.copyto(packed, scaled, casting="unsafe")
        low, high = self._shuffled[0][size], self._shuffled[1][size]
        np.copyto(low, packed, casting="unsafe")
        np.copyto(high, np.right_shift(packed, 8, out=packed), casting="unsafe")
        return isal_zlib.compress(self._shuffled, COMPRESSION_LEVEL)


def _write_header(path: Path, header: ForecastHeader | FrameSequence, chunk: tuple[int, int]) -> None:
    """Write the file without the frames."""
    dataset = header.to_dataset()
    dataset[RAIN_RATE].encoding = {
        "dtype": "uint16",
        "scale_factor": np.float32(PACKED_RESOLUTION_MM_H),
        "_FillValue": np.uint16(PACKED_FILL),
    }
    for coordinate in ("x", "y"):
        dataset[coordinate].encoding = {"_FillValue": None}
    variables, attributes = encode_dataset_coordinates(dataset)
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts(attributes)
        for name, size in dataset.sizes.items():
            file.createDimension(str(name), size)
        for name, variable in variables.items():
            is_rain = name == RAIN_RATE
            # Encode rain rate without frames: only its type and attributes are needed here.
            encoded = encode_cf_variable(variable[:0] if is_rain else variable, name=name)
            fill = encoded.attrs.pop("_FillValue", None)
            layout = {**COMPRESSION, "chunksizes": (1, *chunk)} if is_rain else {"contiguous": True}
            target = file.createVariable(str(name), encoded.dtype, map(str, encoded.dims), fill_value=fill, **layout)
            target.setncatts(encoded.attrs)
            target.set_auto_maskandscale(False)
            if not is_rain:
                target[...] = encoded.values
