"""Read what a published nowcast holds for one valid time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

import netCDF4
import numpy as np
from numpy.typing import NDArray

from model.core.cf_coordinates import crs_from_cf
from model.core.forecast_variables import (
    PROBABILITY,
    RAIN_RATE,
    REALIZATION,
    RECALIBRATION,
    THRESHOLD,
    field_variable,
)
from model.core.grid import Grid
from model.core.packing import PACKED_FILL, PACKED_RESOLUTION_MM_H
from model.core.units import FloatArray

Levels = NDArray[np.uint8]
"""Probabilities in steps of `PROBABILITY_RESOLUTION`, as they are stored; `PROBABILITY_FILL` is no data."""

TOLERANCE: Final = 0.1
"""A frame counts as valid at a lead step if it is this close, as a share of the time step: clocks of radars wander."""

BAND: Final = 512
"""Rows that are read at a time of what is thinned: members of a continent do not fit in memory."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LeadForecast:
    """What a nowcast holds for one lead time; NaN is no data.

    Attributes
    ----------
    lead_minutes : float
        Lead time.
    field : ndarray
        Rain rate [y, x] (mm h-1).
    thresholds_mm_h : tuple of float
        Thresholds of the probabilities.
    probability : ndarray of uint8, optional
        P(rain >= threshold) [threshold, y', x'] at every n-th row and column, in steps of `PROBABILITY_RESOLUTION`.
    uncalibrated : ndarray of uint8, optional
        The same as it was before a recalibration; None where there was none.
    members : ndarray, optional
        Realizations [realization, y', x'] (mm h-1) at every n-th row and column.
    """

    lead_minutes: float
    field: FloatArray
    thresholds_mm_h: tuple[float, ...] = ()
    probability: Levels | None = None
    uncalibrated: Levels | None = None
    members: FloatArray | None = None


class StoredNowcast:
    """A forecast file that is open for reading."""

    def __init__(self, path: Path) -> None:
        self._file = netCDF4.Dataset(path)
        seconds = np.asarray(self._file["time"][:], np.int64)
        self._times = [datetime.fromtimestamp(int(each), UTC) for each in np.atleast_1d(seconds)]
        self._lead_minutes = np.atleast_1d(np.asarray(self._file["forecast_period"][:], np.float64)) / 60
        self._file.set_auto_maskandscale(False)
        self._field = field_variable({name: each.dimensions for name, each in self._file.variables.items()})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    @property
    def _has_members(self) -> bool:
        return REALIZATION in self._file.dimensions

    @property
    def reach(self) -> datetime:
        """Valid time of the last lead step, and the tolerance beyond it."""
        return self._times[-1] + self._tolerance

    @property
    def _tolerance(self) -> timedelta:
        first, *others = self._lead_minutes
        return timedelta(minutes=TOLERANCE * float(others[0] - first if others else first))

    def lead_index(self, valid_time: datetime) -> int | None:
        """Return the index of the lead step that is valid at a time; None where none is."""
        nearest = min(range(len(self._times)), key=lambda index: abs(self._times[index] - valid_time))
        return nearest if abs(self._times[nearest] - valid_time) <= self._tolerance else None

    @property
    def is_recalibrated(self) -> bool:
        """Whether its probabilities were recalibrated."""
        return RECALIBRATION in self._file.ncattrs()

    def lead(self, index: int, stride: int, uncalibrated: Levels | None = None) -> LeadForecast:
        """Return a lead step, with its `uncalibrated` probabilities; all at every `stride`-th row and column."""
        has_probability = PROBABILITY in self._file.variables
        return LeadForecast(
            lead_minutes=round(float(self._lead_minutes[index]), 3),
            field=_rain(self._file[self._field][index]),
            thresholds_mm_h=tuple(map(float, self._file[THRESHOLD][:])) if has_probability else (),
            probability=_thinned(self._file[PROBABILITY], index, stride) if has_probability else None,
            uncalibrated=uncalibrated,
            members=_rain(_thinned(self._file[RAIN_RATE], index, stride)) if self._has_members else None,
        )


def read_frame(path: Path) -> tuple[FloatArray, Grid]:
    """Return the rain rate [y, x] (mm h-1, NaN is no data) of a stored frame, and its grid."""
    with netCDF4.Dataset(path) as file:
        mapping = file[file[RAIN_RATE].grid_mapping]
        crs = crs_from_cf({name: mapping.getncattr(name) for name in mapping.ncattrs()})
        grid = Grid(crs=crs, x=np.asarray(file["x"][:]), y=np.asarray(file["y"][:]))
        file.set_auto_maskandscale(False)
        return _rain(file[RAIN_RATE][0]), grid


def _thinned(variable: Any, index: int, stride: int) -> NDArray[Any]:  # noqa: ANN401 - netCDF4 has no types
    """Return every `stride`-th row and column [.., y', x'] of a lead step, packed as it is stored."""
    rows = variable.shape[2]
    step = stride * max(1, BAND // stride)
    bands = [variable[:, index, top : top + step][:, ::stride, ::stride] for top in range(0, rows, step)]
    return np.concatenate(bands, axis=1)


def _rain(packed: NDArray[Any]) -> FloatArray:
    """Return the rain rate (mm h-1) of packed values, NaN is no data."""
    rain = packed.astype(np.float32) * np.float32(PACKED_RESOLUTION_MM_H)
    rain[packed == PACKED_FILL] = np.nan
    return rain
