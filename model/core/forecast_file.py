"""The forecast file: self-describing CF-1.13 netCDF4 with packed and compressed rain rate, probabilities and members.

A file is written in two passes. First xarray encodes and netCDF4 writes everything but the frames, whose variables
stay empty. Then the file is opened again with h5py, and every frame goes in as chunks that are packed, shuffled and
compressed here (HDF5's direct chunk write; `model.core.packing`). netCDF4 would compress with zlib: for one forecast of
12 frames zlib took 53 ms of 90 ms, ISA-L takes 8.5 ms and as many bytes (docs/lab.md, "The file"), and every reader of
netCDF4 reads its output, unlike zstd or szip. Dry chunks are compressed once, chunks without data never.

Chunks are cut so that a picture and a place are both read cheaply: a chunk of the field, or of one probability, is a
part of one frame; a chunk of members is a small part of all of them, because a place needs them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import h5py
import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.conventions import encode_cf_variable, encode_dataset_coordinates

from model.core.forecast_output import DETERMINISTIC, DETERMINISTIC_OUTPUT, ForecastOutput, ProbabilityMethod
from model.core.forecast_variables import PROBABILITY, RAIN_RATE, REALIZATION, THRESHOLD, FieldName, name_of_field
from model.core.grid import Grid
from model.core.packing import (
    COMPRESSION_LEVEL,
    PACKED_FILL,
    PACKED_RESOLUTION_MM_H,
    PROBABILITY_FILL,
    PROBABILITY_RESOLUTION,
    ProbabilityPacker,
    RainPacker,
)
from model.core.rain_motion import EASTWARD, MOTION_ATTRIBUTES, MOTION_X, MOTION_Y, NORTHWARD, RainMotion
from model.core.sequence import TIME_ENCODING, FrameSequence
from model.core.units import FloatArray

CHUNK: Final = 512
PROBABILITY_CHUNK: Final = 256
MEMBERS_CHUNK: Final = 64
"""Sides of the chunks (pixels)."""
PACKED_RAIN: Final[dict[str, Any]] = {
    "dtype": "uint16",
    "scale_factor": np.float32(PACKED_RESOLUTION_MM_H),
    "_FillValue": np.uint16(PACKED_FILL),
}
PACKED_PROBABILITY: Final[dict[str, Any]] = {
    "dtype": "uint8",
    "scale_factor": np.float32(PROBABILITY_RESOLUTION),
    "_FillValue": np.uint8(PROBABILITY_FILL),
}
PROBABILITY_ATTRIBUTES: Final = {
    "long_name": "probability that the rain rate is at least the threshold",
    "units": "1",
    "grid_mapping": "crs",
    "comment": "stored to the nearest 0.005: 0 stands for less than 0.0025, 1 for more than 0.9975",
}
"""CF has no standard name for a probability of exceedance."""
THRESHOLD_ATTRIBUTES: Final = {
    "standard_name": "rainfall_rate",
    "long_name": "threshold of the rain rate",
    "units": "mm h-1",
    "spp__relative_to_threshold": "greater_than_or_equal_to",
}
"""The last attribute, an extension to CF, is that of IMPROVER and Iris, which find the thresholds by it."""
PROBABILITY_TOLERANCE: Final = 1e-5
"""Rounding in float32 may exceed the bounds of a probability, or the order along thresholds, by this much."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ForecastHeader:
    """A forecast without the frames: reference time, lead times, grid, and what is to be held.

    Attributes
    ----------
    reference_time : datetime64
        Valid time of the newest frame of the input (UTC).
    lead_minutes : ndarray
        Minutes after `reference_time` [lead].
    grid : Grid
        The grid of every frame.
    attributes : mapping of str to str
        Global attributes, which name the model, its version and digest.
    output : ForecastOutput
        Thresholds, number of members and their seed.
    field : {"expected", "median", "sharp", "deterministic"}
        Which field the forecast holds.
    probability_method : ProbabilityMethod, optional
        Where the probabilities come from; required with thresholds.
    motion : RainMotion, optional
        How the rain moves at the reference time.
    """

    reference_time: np.datetime64
    lead_minutes: NDArray[np.float64]
    grid: Grid
    attributes: Mapping[str, str]
    output: ForecastOutput = DETERMINISTIC_OUTPUT
    field: FieldName = DETERMINISTIC
    probability_method: ProbabilityMethod | None = None
    motion: RainMotion | None = None

    def __post_init__(self) -> None:
        if self.output.thresholds_mm_h and self.probability_method is None:
            raise ValueError("a forecast with probabilities needs their method")

    @property
    def times(self) -> NDArray[np.datetime64]:
        """Valid times, datetime64[ns] [lead]."""
        seconds = np.round(self.lead_minutes * 60).astype("timedelta64[s]")
        return (self.reference_time + seconds).astype("datetime64[ns]")

    @property
    def field_variable(self) -> str:
        """Name of the variable that holds the field."""
        return name_of_field(self.field, self.output.members)

    def to_dataset(self) -> xr.Dataset:
        """Return a CF-1.13 dataset with NaN in every frame, which takes no memory."""
        thresholds, members = len(self.output.thresholds_mm_h), self.output.members
        return self._dataset(self._no_data(), self._no_data(thresholds), self._no_data(members))

    def _no_data(self, *before: int) -> FloatArray:
        return np.broadcast_to(np.float32(np.nan), (*before, self.lead_minutes.size, *self.grid.shape))

    def _dataset(self, rain_rate: FloatArray, probability: FloatArray, members: FloatArray) -> xr.Dataset:
        attributes = {"title": "Precipitation nowcast", **self.attributes}
        frames = FrameSequence(rain_rate=rain_rate, times=self.times, grid=self.grid, attributes=attributes)
        reference_time = self.reference_time.astype("datetime64[ns]")
        period = {"standard_name": "forecast_period", "long_name": "lead time", "units": "s"}
        dataset = frames.to_dataset().assign_coords(
            forecast_reference_time=((), reference_time, {"standard_name": "forecast_reference_time"}),
            forecast_period=("time", self.lead_minutes * 60.0, period),
        )
        dataset["forecast_reference_time"].encoding = dict(TIME_ENCODING)
        dataset["forecast_period"].encoding = {"dtype": "float64"}
        if self.output.members:
            dataset = self._with_members(dataset, members)
        dataset[self.field_variable].attrs["field"] = self.field
        if self.output.thresholds_mm_h:
            dataset = self._with_probability(dataset, probability)
        return dataset if self.motion is None else _with_motion(dataset, self.motion)

    def _with_members(self, dataset: xr.Dataset, members: FloatArray) -> xr.Dataset:
        """Move the field to `rainfall_rate_FIELD`, and put the members into `rainfall_rate`."""
        count = np.arange(self.output.members, dtype=np.int32)
        described = {"standard_name": "realization", "long_name": "member", "units": "1"}
        dataset = dataset.rename({RAIN_RATE: self.field_variable}).assign_coords(
            {REALIZATION: (REALIZATION, count, described)}
        )
        attributes = {**dataset[self.field_variable].attrs, "long_name": "rain rate of members"}
        dataset[self.field_variable].attrs["long_name"] = f"rain rate, {self.field} field"
        dataset[RAIN_RATE] = ((REALIZATION, "time", "y", "x"), members, attributes)
        return dataset.assign_attrs(members_seed=self.output.seed)

    def _with_probability(self, dataset: xr.Dataset, probability: FloatArray) -> xr.Dataset:
        thresholds = np.array(self.output.thresholds_mm_h, np.float64)
        dataset = dataset.assign_coords({THRESHOLD: (THRESHOLD, thresholds, THRESHOLD_ATTRIBUTES)})
        attributes = {**PROBABILITY_ATTRIBUTES, "cell_methods": dataset[self.field_variable].attrs["cell_methods"]}
        dataset[PROBABILITY] = ((THRESHOLD, "time", "y", "x"), probability, attributes)
        return dataset.assign_attrs(probability_method=str(self.probability_method))


def _with_motion(dataset: xr.Dataset, motion: RainMotion) -> xr.Dataset:
    for name, axis, nodes in ((MOTION_X, "x", motion.x), (MOTION_Y, "y", motion.y)):
        attributes = {key: dataset[axis].attrs[key] for key in ("standard_name", "units")}
        dataset = dataset.assign_coords({name: (name, nodes, attributes)})
    for name, values in ((EASTWARD, motion.eastward), (NORTHWARD, motion.northward)):
        attributes = {"long_name": name.replace("_", " "), **MOTION_ATTRIBUTES}
        dataset[name] = ((MOTION_Y, MOTION_X), values, attributes)
    return dataset


@dataclass(frozen=True, eq=False, kw_only=True)
class Forecast(ForecastHeader):
    """A forecast with its header.

    Attributes
    ----------
    rain_rate : ndarray
        The field [lead, y, x] (mm h-1, NaN is no data).
    probability : ndarray, optional
        P(rain >= threshold) [threshold, lead, y, x] (0 to 1, NaN is no data), where the header has thresholds.
    members : ndarray, optional
        Realizations [realization, lead, y, x] (mm h-1, NaN is no data), where the header has members.
    """

    rain_rate: FloatArray
    probability: FloatArray | None = None
    members: FloatArray | None = None

    def to_dataset(self) -> xr.Dataset:
        """Return a CF-1.13 dataset with the variables and coordinates of the file."""
        probability = self._no_data(0) if self.probability is None else self.probability
        members = self._no_data(0) if self.members is None else self.members
        return self._dataset(self.rain_rate, probability, members)


class ForecastWriter:
    """Writer of a forecast file, frame by frame; memory holds one lead step at most.

    Rain rate is packed as unsigned 16-bit integers of 0.01 mm h-1 (error at most 0.005) with a fill value for no data.
    Rates above 655.34 mm h-1, beyond any rain, are clipped, and the attribute `clipped_pixels` counts them.
    Probabilities are packed in 8 bits (error at most 0.0025).

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
        self._leads = len(header.times)
        self._shape = header.grid.shape
        self._written = 0
        self._field, output = RAIN_RATE, DETERMINISTIC_OUTPUT
        if isinstance(header, ForecastHeader):
            self._field, output = header.field_variable, header.output
        self._thresholds = output.thresholds_mm_h
        self._members = output.members
        self._packer = RainPacker(self._chunk(CHUNK))
        chunks: dict[str, tuple[int, ...]] = {self._field: (1, *self._packer.shape)}
        if self._thresholds:
            self._probability_packer = ProbabilityPacker(self._chunk(PROBABILITY_CHUNK))
            chunks[PROBABILITY] = (1, 1, *self._probability_packer.shape)
        if self._members:
            side = self._chunk(MEMBERS_CHUNK)
            self._members_packer = RainPacker((self._members, *side))
            chunks[RAIN_RATE] = (self._members, 1, *side)
        try:
            _write_header(path, header, chunks)
            self._file = h5py.File(path, "r+")
            self._stored = {name: self._file[name].id for name in chunks}
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def __enter__(self) -> Self:
        return self

    def append(
        self, rain_rate_mm_h: FloatArray, probability: FloatArray | None = None, members: FloatArray | None = None
    ) -> None:
        """Write the next lead step.

        Parameters
        ----------
        rain_rate_mm_h
            The field [y, x] (mm h-1, NaN is no data).
        probability
            P(rain >= threshold) [threshold, y, x] at the thresholds of the header, without data where the field has
            none; where the header has thresholds.
        members
            Realizations [realization, y, x] (mm h-1, NaN is no data); where the header has members.

        Raises
        ------
        ValueError
            A shape is not that of the header, all frames of the header are written, or the probabilities are none.
        """
        if rain_rate_mm_h.shape != self._shape or self._written == self._leads:
            raise ValueError(
                f"frame {self._written + 1} of {self._leads} on {self._shape} has shape {rain_rate_mm_h.shape}"
            )
        where = f"lead step {self._written + 1}"
        _check_shape(probability, (len(self._thresholds), *self._shape), f"{where}: the probability")
        _check_shape(members, (self._members, *self._shape), f"{where}: the array of members")
        if self._thresholds and probability is not None:
            _check_probability(probability, rain_rate_mm_h, self._thresholds, where)
            for index, exceedance in enumerate(probability):
                self._write(PROBABILITY, self._probability_packer, exceedance, index, self._written)
        if self._members and members is not None:
            self._write(RAIN_RATE, self._members_packer, members, 0, self._written)
        self._write(self._field, self._packer, rain_rate_mm_h, self._written)
        self._written += 1

    def _chunk(self, side: int) -> tuple[int, int]:
        return min(self._shape[0], side), min(self._shape[1], side)

    def _write(self, name: str, packer: RainPacker | ProbabilityPacker, values: FloatArray, *first: int) -> None:
        """Write values [..., y, x] as chunks, whose indices before y and x are `first`."""
        stored = self._stored[name]
        rows, columns = packer.shape[-2:]
        for top in range(0, self._shape[0], rows):
            for left in range(0, self._shape[1], columns):
                chunk = packer.chunk(values[..., top : top + rows, left : left + columns])
                if chunk is not None:
                    stored.write_direct_chunk((*first, top, left), chunk)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        complete = kind is None and self._written == self._leads
        try:
            if complete:
                self._record_clipping(self._field, self._packer)
                if self._members:
                    self._record_clipping(RAIN_RATE, self._members_packer)
            self._file.close()
        finally:
            if not complete:
                self._path.unlink(missing_ok=True)
        if not complete and kind is None:
            raise ValueError(f"{self._written} of {self._leads} frames were written")

    def _record_clipping(self, name: str, packer: RainPacker) -> None:
        if packer.clipped:
            self._file[name].attrs.create("clipped_pixels", np.array([packer.clipped], np.int64))


def write_netcdf(item: Forecast | FrameSequence, path: Path) -> None:
    """Write a forecast, or a sequence of observed frames, as packed CF-netCDF4; see `ForecastWriter`."""
    probability = item.probability if isinstance(item, Forecast) else None
    members = item.members if isinstance(item, Forecast) else None
    with ForecastWriter(path, item) as writer:
        for lead, frame in enumerate(item.rain_rate):
            writer.append(
                frame,
                None if probability is None else probability[:, lead],
                None if members is None else members[:, lead],
            )


def _check_shape(array: FloatArray | None, shape: tuple[int, ...], what: str) -> None:
    """Check that an optional part of a lead step [number, y, x] is there where the header has it, and only there."""
    found = None if array is None else array.shape
    expected = shape if shape[0] else None
    if found != expected:
        raise ValueError(f"{what} has shape {found}, and the header has {expected}")


def _check_probability(
    probability: FloatArray, rain_rate_mm_h: FloatArray, thresholds_mm_h: tuple[float, ...], where: str
) -> None:
    """Check that exceedance probabilities [threshold, y, x] are a distribution wherever the field has data.

    Raises
    ------
    ValueError
        One is not in 0 to 1, increases along the thresholds, or has data where the field has none or none where it has.
    """
    no_data = np.isnan(rain_rate_mm_h)
    below = np.float32(1)
    for threshold, exceedance in zip(thresholds_mm_h, probability, strict=True):
        what = f"{where}: the probability of {threshold:g} mm/h"
        if (np.isnan(exceedance) != no_data).any():
            raise ValueError(f"{what} and the field have data at different pixels")
        if (exceedance < -PROBABILITY_TOLERANCE).any() or (exceedance > 1 + PROBABILITY_TOLERANCE).any():
            raise ValueError(f"{what} is not between 0 and 1")
        if (exceedance > below + PROBABILITY_TOLERANCE).any():
            raise ValueError(f"{what} is higher than that of the threshold below")
        below = exceedance


def _write_header(path: Path, header: ForecastHeader | FrameSequence, chunks: Mapping[str, tuple[int, ...]]) -> None:
    """Write the file without the frames, the variables that are stored in `chunks`."""
    # A forecast in memory is its own header; its frames follow by `append`.
    dataset = ForecastHeader.to_dataset(header) if isinstance(header, ForecastHeader) else header.to_dataset()
    for frames in chunks:
        dataset[frames].encoding = dict(PACKED_PROBABILITY if frames == PROBABILITY else PACKED_RAIN)
    for coordinate in (name for name in ("x", "y", THRESHOLD, MOTION_X, MOTION_Y) if name in dataset.coords):
        dataset[coordinate].encoding = {"_FillValue": None}
    variables, attributes = encode_dataset_coordinates(dataset)
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts(attributes)
        for name, size in dataset.sizes.items():
            file.createDimension(str(name), size)
        for name, variable in variables.items():
            chunk = chunks.get(str(name))
            # Encode frames without values: only their type and attributes are needed here.
            encoded = encode_cf_variable(variable if chunk is None else variable[:0], name=name)
            fill = encoded.attrs.pop("_FillValue", None)
            layout: dict[str, Any] = {"contiguous": True}
            if chunk is not None:
                shuffle = encoded.dtype.itemsize > 1
                layout = {"zlib": True, "complevel": COMPRESSION_LEVEL, "shuffle": shuffle, "chunksizes": chunk}
            target = file.createVariable(str(name), encoded.dtype, map(str, encoded.dims), fill_value=fill, **layout)
            target.setncatts(encoded.attrs)
            target.set_auto_maskandscale(False)
            if chunk is None:
                target[...] = encoded.values
