"""Rain at one place through time, and the answer in a word. Missing data never reads as "dry"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from model.core.grid import Grid
from model.core.units import DRY_RAIN_RATE_MM_H
from service.api.errors import InvalidParameter, OutsideGrid
from service.api.nowcasts.types import PointSeries, PointState, PointSummary, PointValue
from service.api.nowcasts.view import View
from service.render.rainfile import lon_lat_of_pixel, pixel_of_fraction, pixel_of_lon_lat


def point_series(view: View, *, x: float | None, y: float | None, lon: float | None, lat: float | None) -> PointSeries:
    """The series of the pixel at a fraction (`x`, `y`) of the picture, or at `lon`, `lat`.

    Raises
    ------
    InvalidParameter
        Neither pair is whole, or both are given.
    OutsideGrid
        The place is not on the grid.
    NotOnEarth
        The grid has no relation to longitude and latitude.
    """
    grid = view.forecast.grid
    row, column = _pixel(grid, x, y, lon, lat)
    at = lon_lat_of_pixel(grid, row, column)
    if at is None and grid.is_georeferenced:
        raise OutsideGrid("that pixel does not lie on earth", where="x, y", hint="Give a place on the map")
    ahead = view.forecast.series(row, column)
    past = view.observed.series(row, column) if view.observed else ()
    values = [
        PointValue(
            index=item.index,
            kind=item.kind,
            valid_time=item.valid_time,
            lead_minutes=item.lead_minutes,
            rain_rate=_known(float((ahead if item.kind == "forecast" else past)[item.number])),
        )
        for item in view.moments
    ]
    ny, nx = grid.shape
    from_north = row if grid.north_up else ny - 1 - row
    return PointSeries(
        id=view.job.id,
        x=(column + 0.5) / nx,
        y=(from_north + 0.5) / ny,
        lon=None if at is None else round(at[0], 5),
        lat=None if at is None else round(at[1], 5),
        reference_time=view.reference_time,
        summary=summary(values),
        series=values,
    )


def summary(values: Sequence[PointValue]) -> PointSummary:
    """What the forecast says of one place: the newest observed frame counts as now."""
    ahead = [value for value in values if value.kind == "forecast"]
    now = [value for value in values if value.kind == "observed"][-1:]
    missing = sum(value.rain_rate is None for value in ahead)
    wet = [value for value in ahead if _rains(value)]
    peak = max(wet, key=lambda value: value.rain_rate or 0.0, default=None)
    raining = any(_rains(value) for value in now)
    starts, ends = _spell(ahead, raining)
    state: PointState
    if raining:
        state = "raining"
    elif wet:
        state = "rain-coming"
    elif missing == len(ahead):
        state = "no-data"
    else:
        state = "dry-where-known" if missing else "dry"
    return PointSummary(
        state=state,
        starts=starts,
        ends=ends,
        peak=peak.rain_rate if peak else None,
        peak_time=peak.valid_time if peak else None,
        frames_without_data=missing,
    )


def _spell(ahead: Sequence[PointValue], raining: bool) -> tuple[datetime | None, datetime | None]:
    """When rain starts, and when the first spell ends: None where never, or not known.

    Where it rains now, rain starts anew only after a frame that is known to be dry: a gap in what is known is no pause.
    """
    first_wet = 0 if raining else next((n for n, value in enumerate(ahead) if _rains(value)), len(ahead))
    first_after = next((n for n in range(first_wet, len(ahead)) if not _rains(ahead[n])), len(ahead))
    known = first_after < len(ahead) and ahead[first_after].rain_rate is not None
    ends = ahead[first_after].valid_time if known else None
    if not raining:
        return (ahead[first_wet].valid_time if first_wet < len(ahead) else None), ends
    dry_again = next((n for n in range(first_after, len(ahead)) if _is_dry(ahead[n])), len(ahead))
    again = next((value.valid_time for value in ahead[dry_again:] if _rains(value)), None)
    return again, ends


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
                hint="Give a place inside the bounds that /frames names",
            )
        return pixel
    raise InvalidParameter("a place is a pair: x and y, or lon and lat", where="query", hint="Give one whole pair")


def _known(rain_rate: float) -> float | None:
    return round(rain_rate, 3) if math.isfinite(rain_rate) else None


def _rains(value: PointValue) -> bool:
    return value.rain_rate is not None and value.rain_rate >= DRY_RAIN_RATE_MM_H - 1e-4


def _is_dry(value: PointValue) -> bool:
    return value.rain_rate is not None and not _rains(value)
