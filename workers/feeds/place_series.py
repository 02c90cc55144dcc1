"""What a published nowcast says for a place or an area, by lead step, read from its file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from model.core.area_pixels import Area, AreaPixels, pixels_of_area
from model.core.cf_coordinates import crs_from_cf
from model.core.errors import BadGeometry, InputError
from model.core.forecast_variables import PROBABILITY, THRESHOLD, field_variable
from model.core.geometry import area_of_geojson
from model.core.grid import Grid
from model.core.grid_places import pixel_of_lon_lat
from service.feeds.alerts.rule import Statistic


class OutsideForecast(InputError):
    """A place or an area is outside of the forecast's grid."""

    code = "outside-grid"


@dataclass(frozen=True, eq=False)
class PlaceSeries:
    """Rain rate (mm h-1) and, by threshold (mm h-1), its probabilities (0 to 1) at the valid times; NaN: no data.

    `complete`: whether the values are known, and no lower bounds [time].
    """

    valid_times: list[datetime]
    rain_rate_mm_h: NDArray[np.float64]
    probability: dict[float, NDArray[np.float64]]
    complete: NDArray[np.bool_]

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
        return PlaceSeries(self.valid_times, rates, self._probabilities(at), np.isfinite(rates))

    def points(self, places: Sequence[tuple[float, float]]) -> list[PlaceSeries | OutsideForecast]:
        """Return the series of many points (longitude and latitude, degrees, WGS 84), or why one has none.

        Each frame is read once, however many they are.
        """
        pixels: list[tuple[int, int] | OutsideForecast] = []
        for lon, lat in places:
            try:
                pixels.append(pixel_of(self.grid, lon, lat))
            except OutsideForecast as error:
                pixels.append(error)
        inside = sorted({pixel for pixel in pixels if isinstance(pixel, tuple)})
        rows, columns = (np.array([pixel[axis] for pixel in inside], int) for axis in (0, 1))

        def at_pixels(variable: xr.DataArray) -> NDArray[np.float64]:
            frames = [frame.values[rows, columns] for frame in variable.transpose("time", "y", "x")]
            return np.stack(frames).astype(np.float64)

        rates, probability = at_pixels(self._field), {}
        if PROBABILITY in self._dataset:
            of_thresholds = self._dataset[PROBABILITY].transpose(THRESHOLD, ...)
            for threshold, values in zip(map(float, self._dataset[THRESHOLD].values), of_thresholds, strict=True):
                probability[threshold] = at_pixels(values)
        times, series = self.valid_times, {}
        for number, pixel in enumerate(inside):
            of_pixel = {threshold: values[:, number] for threshold, values in probability.items()}
            rate = rates[:, number]
            series[pixel] = PlaceSeries(times, rate, of_pixel, np.isfinite(rate))
        return [series[pixel] if isinstance(pixel, tuple) else pixel for pixel in pixels]

    def area(self, area: Area, statistic: Statistic, min_coverage: float) -> PlaceSeries:
        """Return the mean or the highest value of the pixels of an area (degrees, WGS 84), at each lead step.

        Where less than `min_coverage` of the area has data, values are lower bounds: what is missing counts as dry, and
        they are not complete.

        Raises
        ------
        OutsideForecast, NotOnEarth, TooLarge
            It is outside of the grid, or has too many pixels.
        """
        pixels = pixels_of(self.grid, area)
        rates = self._of_pixels(self._field, pixels)
        complete = covered(rates, pixels, min_coverage)
        probability = {}
        if PROBABILITY in self._dataset:
            of_thresholds = self._dataset[PROBABILITY].transpose(THRESHOLD, ...)
            for threshold, values in zip(map(float, self._dataset[THRESHOLD].values), of_thresholds, strict=True):
                probability[threshold] = over_area(self._of_pixels(values, pixels), pixels, statistic, complete)
        return PlaceSeries(self.valid_times, over_area(rates, pixels, statistic, complete), probability, complete)

    @staticmethod
    def _of_pixels(variable: xr.DataArray, pixels: AreaPixels) -> NDArray[np.float64]:
        """Return the values [time, pixel] of the pixels of an area."""
        rows, columns = pixels.rows, pixels.columns
        window = variable.isel(
            y=slice(int(rows.min()), int(rows.max()) + 1), x=slice(int(columns.min()), int(columns.max()) + 1)
        )
        values = window.transpose("time", "y", "x").values.astype(np.float64)
        return np.asarray(values[:, rows - rows.min(), columns - columns.min()])

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
    pixel = pixel_of_lon_lat(grid, lon, lat) if grid.is_georeferenced else None
    if pixel is None:
        raise OutsideForecast(f"longitude {lon:g}, latitude {lat:g} is outside of the grid", where="lon, lat")
    return pixel


def pixels_of(grid: Grid, area: Area) -> AreaPixels:
    """Return the pixels of an area.

    Raises
    ------
    OutsideForecast, NotOnEarth, TooLarge
        It has none, or too many.
    """
    pixels = pixels_of_area(grid, area)
    if not len(pixels.rows):
        raise OutsideForecast("the area is outside of the grid", where="area")
    return pixels


def read_area(path: Path) -> Area:
    """Return the area of a GeoJSON file.

    Raises
    ------
    BadGeometry, WrongCrs, TooLarge
        It has none that is valid, or cannot be read.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadGeometry(f"it cannot be read ({error.strerror})", where=path.name, hint="Correct its path") from None
    except (ValueError, RecursionError) as error:
        raise BadGeometry(f"it is no JSON: {error}", where=path.name, hint="Make it a GeoJSON file") from None
    return area_of_geojson(document)


def covered(values: NDArray[np.float64], pixels: AreaPixels, min_coverage: float) -> NDArray[np.bool_]:
    """Return whether at least a share of an area has data [time], by its values [time, pixel]."""
    share = (pixels.weight * np.isfinite(values)).sum(axis=1) / pixels.weight.sum() * pixels.inside
    return np.asarray(share >= min_coverage)


def over_area(
    values: NDArray[np.float64], pixels: AreaPixels, statistic: Statistic, complete: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return a statistic [time] of values [time, pixel]; a lower bound where not `complete`, NaN without any data."""
    known = np.isfinite(values)
    dry_elsewhere = np.where(known, values, 0.0)
    if statistic == "highest":
        series = dry_elsewhere.max(axis=1)
    else:
        whole = pixels.weight.sum() / pixels.inside
        of_known = (pixels.weight * known).sum(axis=1)
        series = (pixels.weight * dry_elsewhere).sum(axis=1) / np.where(complete, of_known, whole)
    return np.where(known.any(axis=1), series, np.nan)
