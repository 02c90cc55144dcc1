"""Rain at one place over time. Missing data never reads as dry."""

from __future__ import annotations

import math

import numpy as np

from model.core.grid import Grid
from model.core.point_summary import summarize_point
from service.api.errors import InvalidParameter, OutsideGrid
from service.api.nowcasts.types import PointSeries, PointValue
from service.api.nowcasts.view import NowcastView
from service.render.forecast_reader import lon_lat_of_pixel, pixel_of_fraction, pixel_of_lon_lat


def point_series(
    view: NowcastView, *, x: float | None, y: float | None, lon: float | None, lat: float | None
) -> PointSeries:
    """Return the rain rates of one pixel over time, and their summary.

    Parameters
    ----------
    view
        The frames of a nowcast.
    x, y
        The place as fractions of the picture, from its west and north edge.
    lon, lat
        The place in degrees (WGS 84), instead of `x` and `y`.

    Raises
    ------
    InvalidParameter
        Neither pair is complete, or both are given.
    OutsideGrid
        The place is not on the grid.
    NotOnEarth
        The grid has no relation to longitude and latitude.
    """
    grid = view.forecast.grid
    row, column = _pixel(grid, x, y, lon, lat)
    at = lon_lat_of_pixel(grid, row, column)
    if at is None and grid.is_georeferenced:
        raise OutsideGrid("that pixel does not lie on the earth", where="x, y", hint="Give a place on the map")
    forecast = view.forecast.series(row, column)
    observed = view.observed.series(row, column) if view.observed else ()
    values = [
        PointValue(
            index=item.index,
            kind=item.kind,
            valid_time=item.valid_time,
            lead_minutes=item.lead_minutes,
            rain_rate=_known(float((forecast if item.kind == "forecast" else observed)[item.number])),
        )
        for item in view.frames
    ]
    rates = [np.nan if value.rain_rate is None else value.rain_rate for value in values]
    first = len(values) - len(view.forecast)
    summary = summarize_point(rates[first:], view.forecast.times, now_mm_h=rates[first - 1] if first else np.nan)
    ny, nx = grid.shape
    from_north = row if grid.north_up else ny - 1 - row
    return PointSeries(
        id=view.job.id,
        x=(column + 0.5) / nx,
        y=(from_north + 0.5) / ny,
        lon=None if at is None else round(at[0], 5),
        lat=None if at is None else round(at[1], 5),
        reference_time=view.reference_time,
        summary=summary,
        series=values,
    )


def _pixel(grid: Grid, x: float | None, y: float | None, lon: float | None, lat: float | None) -> tuple[int, int]:
    if x is not None and y is not None and lon is None and lat is None:
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise OutsideGrid(f"x {x:g}, y {y:g} are not fractions of the picture", where="x, y", hint="Give 0 to 1")
        return pixel_of_fraction(grid, x, y)
    if lon is not None and lat is not None and x is None and y is None:
        pixel = pixel_of_lon_lat(grid, lon, lat) if math.isfinite(lon) and abs(lat) <= 90 else None
        if pixel is None:
            raise OutsideGrid(
                f"longitude {lon:g}, latitude {lat:g} is not on the grid",
                where="lon, lat",
                hint="Give a place inside the bounds that /frames lists",
            )
        return pixel
    raise InvalidParameter("a place is a pair: x and y, or lon and lat", where="query", hint="Give one whole pair")


def _known(rain_rate: float) -> float | None:
    return round(rain_rate, 3) if math.isfinite(rain_rate) else None
