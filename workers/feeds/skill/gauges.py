"""Rain gauges of a CSV file, which are the truth of alerts near them."""

from __future__ import annotations

import csv
import logging
import math
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pyproj import Geod

from model.core.errors import InputError
from service.feeds.config import Feed
from service.feeds.skill.observations import Observations, points_of
from service.feeds.skill.tables import PlaceObservation
from workers.context import WorkerContext

COLUMNS: Final = ("time", "lon", "lat", "rain_rate_mm_h")
NEAR_M: Final = 2000.0
"""A gauge tells what falls at a place that is at most so far from it."""
KEEP: Final = timedelta(days=31)
"""Older values than this before the newest are not read."""

Gauges = Mapping[tuple[float, float], Mapping[datetime, float | None]]
"""Values (mm h-1) by time, of each gauge at longitude and latitude (degrees)."""

_read_at: Final[dict[tuple[str, Path], float]] = {}

log = logging.getLogger(__name__)


def read_gauges(path: Path) -> Gauges:
    """Read the values of gauges: a row for each time and gauge, whose value is the mean rate since the row before.

    An empty value is missing.

    Raises
    ------
    InputError
        The file cannot be read, or a row is none.
    """
    hint = f"Write the columns {','.join(COLUMNS)}, with times such as 2026-06-01T12:00:00Z"
    found: dict[tuple[float, float], dict[datetime, float | None]] = defaultdict(dict)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if set(COLUMNS) - set(rows.fieldnames or ()):
                raise InputError("the columns are not those of gauges", where=str(path), hint=hint)
            for row in rows:
                try:
                    time = datetime.fromisoformat(row["time"])
                    value = float(row["rain_rate_mm_h"]) if row["rain_rate_mm_h"] else None
                    place = float(row["lon"]), float(row["lat"])
                    if time.tzinfo is None or not all(map(math.isfinite, (*place, value or 0.0))) or (value or 0) < 0:
                        raise ValueError
                except (TypeError, ValueError):
                    where = f"{path}, line {rows.line_num}"
                    raise InputError("this is no value of a gauge", where=where, hint=hint) from None
                found[place][time.astimezone(UTC)] = value
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"it cannot be read ({error})", where=str(path), hint=hint) from None
    return found


def record_gauges(feed: Feed, context: WorkerContext) -> None:
    """Record what the nearest gauge has observed at each place of the feed's alerts, if the file has changed."""
    places = points_of(feed)
    if feed.gauges is None or not places:
        return
    try:
        changed = feed.gauges.stat().st_mtime
        if _read_at.get((feed.name, feed.gauges)) == changed:
            return
        gauges = read_gauges(feed.gauges)
    except (OSError, InputError) as error:
        log.warning("feed %s: its gauges: %s", feed.name, error)
        return
    observations = Observations(context.ledger)
    for place, (lon, lat) in places.items():
        values = _nearest(gauges, lon, lat)
        since = max(values, default=datetime.now(UTC)) - KEEP
        rows = [
            PlaceObservation(feed=feed.name, place=place, source="gauge", valid_time=time, rain_rate=value)
            for time, value in values.items()
            if time >= since
        ]
        observations.replace_gauge(feed.name, place, rows)
    _read_at[feed.name, feed.gauges] = changed


def _nearest(gauges: Gauges, lon: float, lat: float) -> Mapping[datetime, float | None]:
    """Return the values of the nearest gauge; none where no gauge is near."""
    earth = Geod(ellps="WGS84")
    away = {gauge: earth.inv(lon, lat, *gauge)[2] for gauge in gauges}
    nearest = min(away, key=lambda gauge: away[gauge], default=None)
    return gauges[nearest] if nearest is not None and away[nearest] <= NEAR_M else {}
