"""Rain at one place over time. Missing data never reads as dry, nor as a low probability."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from model.core.grid import Grid
from model.core.grid_places import lon_lat_of_pixel, pixel_of_lon_lat
from model.core.members_summary import Percentiles, percentiles_by_lead, share_of_members, summarize_members
from model.core.phase import PHASE, precipitation_of
from model.core.point_outlook import point_outlook
from model.core.point_sentence import SentenceStyle, sentence
from model.core.point_summary import summarize_point
from model.core.probability_summary import summarize_probability
from model.core.units import DRY_RAIN_RATE_MM_H, FloatArray
from service.api.errors import InvalidParameter, OutsideGrid
from service.api.nowcasts.types import PointSeries, PointValue
from service.api.nowcasts.view import NowcastView, ViewFrame
from service.render.forecast_reader import pixel_of_fraction


def point_series(
    view: NowcastView, pixel: tuple[int, int], now: datetime | None = None, style: SentenceStyle | None = None
) -> PointSeries:
    """Return rain rates and probabilities of one pixel over time, and the summaries of the field and of the members.

    Parameters
    ----------
    view
        The frames of a nowcast.
    pixel
        Row and column in the file, as `pixel_at` returns them.
    now
        The time from which the summaries count; lead steps that have passed by then are left out. By default the
        reference time.
    style
        How the sentence is written.

    Raises
    ------
    OutsideGrid
        The pixel does not lie on the earth.
    """
    grid = view.forecast.grid
    row, column = pixel
    at = lon_lat_of_pixel(grid, row, column)
    if at is None and grid.is_georeferenced:
        raise OutsideGrid("that pixel does not lie on the earth", where="x, y", hint="Give a place on the map")
    forecast = _known(view.forecast.series(row, column))
    observed = [] if view.observed is None else _known(view.observed.series(row, column))
    probability = view.forecast.probability_series(row, column)
    members = view.forecast.member_series(row, column)
    thresholds = view.forecast.thresholds_mm_h
    by_threshold = [_known(of_threshold) for of_threshold in probability]
    probability_of_rain = _probability_of_rain(thresholds, by_threshold, members)
    of_members_at = percentiles_by_lead(members) if len(members) else [None] * len(forecast)
    values = [
        _value(
            item,
            forecast[item.number],
            [of_threshold[item.number] for of_threshold in by_threshold],
            probability_of_rain[item.number],
            of_members_at[item.number],
        )
        if item.kind == "forecast"
        else _value(item, observed[item.number])
        for item in view.frames
    ]
    first = len(values) - len(view.forecast)
    times, start = view.forecast.times, view.reference_time if now is None else max(now, view.reference_time)
    passed = sum(time <= start for time in times)
    rates = [np.nan if value.rain_rate is None else value.rain_rate for value in values]
    ahead = first + passed
    now_mm_h = rates[ahead - 1] if ahead else np.nan
    times = times[passed:]
    leads = [(time - start).total_seconds() / 60 for time in times]
    ny, nx = grid.shape
    from_north = row if grid.north_up else ny - 1 - row
    ahead_mm_h = rates[ahead:]
    of_field = summarize_point(ahead_mm_h, times, now_mm_h=now_mm_h, lead_minutes=leads)
    of_probability = summarize_probability(probability[:, passed:], thresholds, times)
    of_members = summarize_members(members[:, passed:], times, leads, now_mm_h=now_mm_h) if len(members) else None
    outlook = point_outlook(
        of_field,
        ahead_mm_h,
        times,
        start,
        now_mm_h=now_mm_h,
        probability_of_rain=[math.nan if each is None else each for each in probability_of_rain[passed:]],
        probabilities=of_probability,
        members=of_members,
        lowest_threshold=_lowest_threshold(thresholds, by_threshold, passed),
        precipitation=precipitation_of(view.forecast.attributes.get(f"input_{PHASE}")),
    )
    style = style or SentenceStyle()
    return PointSeries(
        id=view.job.id,
        coverage="no_data" if all(map(math.isnan, ahead_mm_h)) else "ok",
        sentence=sentence(outlook, start, style),
        language=style.language,
        now=start,
        x=(column + 0.5) / nx,
        y=(from_north + 0.5) / ny,
        lon=None if at is None else round(at[0], 5),
        lat=None if at is None else round(at[1], 5),
        reference_time=view.reference_time,
        field=view.forecast.field or None,
        probability_method=view.forecast.probability_method,
        thresholds_mm_h=thresholds,
        outlook=outlook,
        summary=of_field,
        probabilities=of_probability,
        members=of_members,
        series=[*values[:first], *values[ahead:]],
    )


def _value(
    item: ViewFrame,
    rain_rate: float | None,
    probability: Sequence[float | None] = (),
    probability_of_rain: float | None = None,
    members: Percentiles | None = None,
) -> PointValue:
    return PointValue(
        index=item.index,
        kind=item.kind,
        valid_time=item.valid_time,
        lead_minutes=item.lead_minutes,
        rain_rate=rain_rate,
        probability_of_rain=probability_of_rain,
        probability=list(probability),
        members=members,
    )


def _probability_of_rain(
    thresholds_mm_h: tuple[float, ...], by_threshold: Sequence[list[float | None]], members: FloatArray
) -> list[float | None]:
    """Return the probability of rain [lead]: the stored one, else the share of the members; None where not known."""
    if DRY_RAIN_RATE_MM_H in thresholds_mm_h:
        return by_threshold[thresholds_mm_h.index(DRY_RAIN_RATE_MM_H)]
    at_each_lead = np.asarray(members, np.float64).T[:, :, None]
    return [share_of_members(of_lead, DRY_RAIN_RATE_MM_H) for of_lead in at_each_lead]


def _lowest_threshold(
    thresholds_mm_h: tuple[float, ...], by_threshold: Sequence[list[float | None]], passed: int
) -> tuple[float, float] | None:
    """Return the lowest threshold and its highest probability to come; None where data are missing at any time."""
    if not thresholds_mm_h or None in (ahead := by_threshold[0][passed:]) or not ahead:
        return None
    return thresholds_mm_h[0], max(value for value in ahead if value is not None)


def pixel_at(
    grid: Grid, *, x: float | None = None, y: float | None = None, lon: float | None = None, lat: float | None = None
) -> tuple[int, int]:
    """Return (row, column) in the file of the pixel at a place.

    Parameters
    ----------
    grid
        The grid of the file.
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


def _known(values: FloatArray) -> list[float | None]:
    """Return a series as numbers; None where there are no data."""
    rounded: list[float] = np.round(values.astype(np.float64), 3).tolist()
    return [None if math.isnan(value) else value for value in rounded]
