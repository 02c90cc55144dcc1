"""FrameSequence: rain rate on one grid at several times, and its CF-1.13 form."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from model.core.cf_coordinates import crs_from_cf
from model.core.errors import DuplicateTimes, InputError, TooFewFrames, UnknownVariable
from model.core.grid import Grid
from model.core.times import most_common_step
from model.core.units import FloatArray

CF_VERSION = "CF-1.13"
TIME_ENCODING = {"units": "seconds since 1970-01-01T00:00:00Z", "dtype": "int64"}
RAIN_RATE_ATTRIBUTES = {
    "standard_name": "rainfall_rate",
    "long_name": "rain rate",
    "units": "mm h-1",
    "grid_mapping": "crs",
}


@dataclass(frozen=True, eq=False)
class FrameSequence:
    """Radar frames of rain rate on one grid.

    Parameters
    ----------
    rain_rate
        Rain rate (mm h-1), float32 [time, y, x]; NaN is no data.
    times
        Valid times (UTC), datetime64[ns] [time], strictly increasing.
    grid
        The grid of every frame.
    mask
        True [y, x] where the radar never measures, as in HKO-7's exclude mask.
    attributes
        How the rain rate was made: source, quantity, Z-R relation.
    notes
        Clauses for the `note` of a forecast from these frames.

    Raises
    ------
    InputError
        The shapes do not fit, or a time is missing.
    DuplicateTimes
        The times do not strictly increase.
    """

    rain_rate: FloatArray
    times: NDArray[np.datetime64]
    grid: Grid
    mask: NDArray[np.bool_] | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "rain_rate", np.asarray(self.rain_rate, np.float32))
        object.__setattr__(self, "times", np.asarray(self.times, "datetime64[ns]"))
        expected = (self.times.size, *self.grid.shape)
        if self.rain_rate.shape != expected:
            raise InputError(
                f"the rain rate has shape {self.rain_rate.shape}, times and grid have {expected}", where="sequence"
            )
        if self.times.size and np.any(np.isnat(self.times)):
            raise InputError("a frame has no valid time", where="sequence")
        if np.any(np.diff(self.times) <= np.timedelta64(0)):
            raise DuplicateTimes(
                "frame times do not strictly increase", where="sequence", hint="Give each valid time once"
            )
        if self.mask is not None and self.mask.shape != self.grid.shape:
            raise InputError(f"the mask has shape {self.mask.shape}, the grid {self.grid.shape}", where="mask")

    def __len__(self) -> int:
        return int(self.times.size)

    @property
    def reference_time(self) -> np.datetime64:
        """Valid time of the newest frame, from which a forecast starts."""
        return np.datetime64(self.times[-1])

    def last(self, frames: int) -> FrameSequence:
        """Return the newest `frames` frames."""
        return replace(self, rain_rate=self.rain_rate[-frames:], times=self.times[-frames:])

    def time_step_minutes(self) -> float:
        """Return the most common step (minutes) between frames.

        Raises
        ------
        TooFewFrames
            There are fewer than two frames.
        """
        if len(self) < 2:
            raise TooFewFrames("a time step needs at least two frames", where="input", hint="Give more frames")
        return float(most_common_step(self.times) / np.timedelta64(1, "s")) / 60.0

    def times_with_leads(self, leads: int) -> NDArray[np.datetime64]:
        """Return the valid times of the frames and of the `leads` steps that follow at the same time step.

        Raises
        ------
        TooFewFrames
            There are fewer than two frames.
        """
        step = np.timedelta64(round(self.time_step_minutes() * 60), "s")
        return np.concatenate([self.times, self.times[-1] + step * np.arange(1, leads + 1)])

    def digest(self) -> str:
        """Return the SHA-256 (hex) of the times, the pixel centres and the rain rate."""
        sha = hashlib.sha256()
        for array in (self.times.astype("int64"), self.grid.x, self.grid.y, self.rain_rate):
            sha.update(np.ascontiguousarray(array).data)
        return sha.hexdigest()

    def to_dataset(self) -> xr.Dataset:
        """Return a CF-1.13 dataset with `rainfall_rate(time, y, x)`, a grid mapping `crs` and the mask, if any."""
        attributes = {**RAIN_RATE_ATTRIBUTES, "cell_methods": self._cell_methods()}
        dataset = xr.Dataset(
            {
                "rainfall_rate": (("time", "y", "x"), self.rain_rate, attributes),
                "crs": ((), np.int32(0), self.grid.cf_grid_mapping()),
            },
            coords={
                "time": ("time", self.times, {"standard_name": "time", "axis": "T"}),
                **spatial_coordinates(self.grid),
            },
            attrs={"Conventions": CF_VERSION, **self.attributes},
        )
        if self.mask is not None:
            meaning = {"long_name": "static mask: pixels that the radar never sees", "flag_meanings": "seen never_seen"}
            flags = {**meaning, "flag_values": np.array([0, 1], np.int8)}
            dataset["mask"] = (("y", "x"), self.mask.astype(np.int8), flags)
        dataset["time"].encoding = dict(TIME_ENCODING)
        return dataset

    def _cell_methods(self) -> str:
        """Return the CF cell methods: rates made of accumulations are means over the interval, as others may be."""
        quantity = self.attributes.get("quantity", self.attributes.get("input_quantity", ""))
        return "time: mean" if "accumulation over" in quantity or "mean over" in quantity else "time: point"

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> FrameSequence:
        """Read what `to_dataset` writes.

        Raises
        ------
        UnknownVariable
            There is no `rainfall_rate`, or its grid mapping is absent.
        """
        if "rainfall_rate" not in dataset:
            raise UnknownVariable(
                "no variable rainfall_rate", where="dataset", hint=f"It holds {', '.join(map(str, dataset.data_vars))}"
            )
        rain_rate = dataset["rainfall_rate"]
        mapping = rain_rate.attrs.get("grid_mapping", rain_rate.encoding.get("grid_mapping", "crs"))
        if mapping not in dataset.variables:
            raise UnknownVariable(
                f"grid mapping {mapping!r} is absent", where="rainfall_rate", hint="Write a CF grid mapping"
            )
        return cls(
            rain_rate=rain_rate.transpose("time", "y", "x").values,
            times=dataset["time"].values,
            grid=Grid(crs=crs_from_cf(dataset[mapping].attrs), x=dataset["x"].values, y=dataset["y"].values),
            mask=dataset["mask"].values.astype(bool) if "mask" in dataset else None,
            attributes={k: str(v) for k, v in dataset.attrs.items() if k != "Conventions"},
        )


def spatial_coordinates(grid: Grid) -> dict[str, tuple[str, NDArray[np.floating], dict[str, str]]]:
    """Return the CF coordinate variables `x` and `y` of a grid."""
    if grid.crs.is_geographic and grid.crs.is_derived:
        # A rotated pole: its degrees are not those of a map, and CF names them otherwise.
        names, units = ("grid_longitude", "grid_latitude"), ("degrees", "degrees")
    elif grid.crs.is_geographic:
        names, units = ("longitude", "latitude"), ("degrees_east", "degrees_north")
    else:
        unit = grid.crs.axis_info[0].unit_name if grid.crs.axis_info else "metre"
        short = {"metre": "m", "kilometre": "km"}.get(unit, unit)
        names, units = ("projection_x_coordinate", "projection_y_coordinate"), (short, short)
    return {
        "x": ("x", grid.x, {"standard_name": names[0], "units": units[0], "axis": "X"}),
        "y": ("y", grid.y, {"standard_name": names[1], "units": units[1], "axis": "Y"}),
    }
