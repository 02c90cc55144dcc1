"""What a published nowcast says for a place, by lead step, read from its file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from model.core.cf_coordinates import crs_from_cf
from model.core.errors import InputError
from model.core.forecast_variables import PROBABILITY, THRESHOLD, field_variable
from model.core.grid import Grid


class OutsideForecast(InputError):
    """A place is outside of the forecast's grid, or the grid has no relation to longitude and latitude."""

    code = "outside-grid"


@dataclass(frozen=True, eq=False)
class PlaceSeries:
    """Rain rate (mm h-1) and, by threshold (mm h-1), its probabilities (0 to 1) at the valid times; NaN: no data."""

    valid_times: list[datetime]
    rain_rate_mm_h: NDArray[np.float64]
    probability: dict[float, NDArray[np.float64]]

    def probability_of(self, threshold_mm_h: float | None) -> NDArray[np.float64] | None:
        """Return the probability of at least a threshold; None where the forecast has none."""
        if threshold_mm_h is None:
            return None
        return next((of for known, of in self.probability.items() if np.isclose(known, threshold_mm_h)), None)


class ForecastPlaces:
    """A forecast file, from which places are read."""

    def __init__(self, dataset: xr.Dataset) -> None:
        self._dataset = dataset
        self._field = dataset[field_variable({str(name): tuple(map(str, dataset[name].dims)) for name in dataset})]
        crs = crs_from_cf(dataset[self._field.encoding.get("grid_mapping", "crs")].attrs)
        self.grid = Grid(crs=crs, x=dataset["x"].values, y=dataset["y"].values)

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Open a file inside the block."""
        with xr.open_dataset(path, cache=False) as dataset:
            yield cls(dataset)

    @property
    def valid_times(self) -> list[datetime]:
        """The valid times of the lead steps (UTC)."""
        seconds = self._dataset["time"].values.astype("datetime64[s]").astype("int64")
        return [datetime.fromtimestamp(int(second), UTC) for second in seconds]

    def point(self, lon: float, lat: float) -> PlaceSeries:
        """Return the series of the pixel that contains a point (degrees, WGS 84).

        Raises
        ------
        OutsideForecast
            There is none.
        """
        row, column = pixel_of(self.grid, lon, lat)
        at = {"y": row, "x": column}
        rates = self._field.isel(at).values.astype(np.float64)
        return PlaceSeries(self.valid_times, rates, self._probabilities(at))

    def _probabilities(self, at: dict[str, int]) -> dict[float, NDArray[np.float64]]:
        if PROBABILITY not in self._dataset:
            return {}
        values = self._dataset[PROBABILITY].isel(at).transpose(THRESHOLD, "time").values.astype(np.float64)
        return dict(zip(map(float, self._dataset[THRESHOLD].values), values, strict=True))


def pixel_of(grid: Grid, lon: float, lat: float) -> tuple[int, int]:
    """Return (row, column) of the pixel that contains a point (degrees, WGS 84).

    Raises
    ------
    OutsideForecast
        There is none.
    """
    if not grid.is_georeferenced:
        raise OutsideForecast("the grid has no relation to longitude and latitude", where="lon, lat")
    row, column = (float(position) for position in grid.row_column(*grid.x_y(lon, lat)))
    ny, nx = grid.shape
    if not (-0.5 <= row <= ny - 0.5 and -0.5 <= column <= nx - 0.5):
        raise OutsideForecast(f"longitude {lon:g}, latitude {lat:g} is outside of the grid", where="lon, lat")
    return min(max(round(row), 0), ny - 1), min(max(round(column), 0), nx - 1)
