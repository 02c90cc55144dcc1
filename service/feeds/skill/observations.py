"""What was observed at the places and in the areas of alerts, by radar and by rain gauges."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import and_, delete, func, select
from sqlalchemy.exc import IntegrityError

from service.feeds.alerts.rule import AlertRule
from service.feeds.config import Feed
from service.feeds.skill.tables import PlaceObservation, Source
from service.jobs.database import reading, writing
from service.jobs.ledger import Ledger


def place_of(lon: float, lat: float) -> str:
    """Return the name of a place (degrees, WGS 84) in the ledger; places within a metre share it."""
    return f"{lon:.5f},{lat:.5f}"


def place_of_rule(rule: AlertRule) -> str:
    """Return the name in the ledger of the place or the area that a rule watches.

    An area is known by the name of its file, whose folder may differ from machine to machine, and by what is asked of
    its pixels.
    """
    if rule.area is None:
        return place_of(rule.lon or 0.0, rule.lat or 0.0)
    area = f"{rule.area.name}\n{rule.statistic}\n{rule.min_coverage:g}"
    return f"area {hashlib.sha256(area.encode()).hexdigest()[:24]}"


def points_of(feed: Feed) -> dict[str, tuple[float, float]]:
    """Return the places that the rules of a feed watch, by name: longitude and latitude (degrees)."""
    return {
        place_of_rule(rule): (rule.lon, rule.lat)
        for rule in feed.alert
        if rule.lon is not None and rule.lat is not None
    }


def areas_of(feed: Feed) -> dict[str, AlertRule]:
    """Return a rule for each area that the rules of a feed watch, by name."""
    return {place_of_rule(rule): rule for rule in feed.alert if rule.area is not None}


class Observed(NamedTuple):
    """What was observed at a place: columns of `PlaceObservation`."""

    valid_time: datetime
    source: Source
    rain_rate: float | None


class Observations:
    """The observations in the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self.engine = ledger.engine

    def replace_gauge(self, feed: str, place: str, observed: Sequence[PlaceObservation]) -> None:
        """Replace what a gauge has observed at a place."""
        same = and_(PlaceObservation.feed == feed, PlaceObservation.place == place, PlaceObservation.source == "gauge")
        try:
            with writing(self.engine) as session:
                session.connection().execute(delete(PlaceObservation).where(same))
                session.add_all(observed)
        except IntegrityError:  # another process has just done the same
            return

    def at(self, feed: str, place: str, since: datetime) -> tuple[Source, list[Observed]]:
        """Return what was observed at a place since a time, in order: by a gauge, where there is one."""
        query = select(*(getattr(PlaceObservation, column) for column in Observed._fields))
        query = query.where(PlaceObservation.feed == feed, PlaceObservation.place == place)
        query = query.where(PlaceObservation.valid_time >= since).order_by(PlaceObservation.valid_time)
        with reading(self.engine) as session:
            rows = [Observed(*row) for row in session.execute(query)]
        source: Source = "gauge" if any(row.source == "gauge" for row in rows) else "radar"
        return source, [row for row in rows if row.source == source]

    def extent(self, feed: str, place: str) -> tuple[object, ...]:
        """Return what differs as soon as more, or less, was observed at a place, or gauges have other values."""
        rain = PlaceObservation.rain_rate
        query = select(func.count(), func.max(PlaceObservation.valid_time), func.count(rain), func.sum(rain))
        query = query.where(PlaceObservation.feed == feed, PlaceObservation.place == place)
        with reading(self.engine) as session:
            return tuple(session.execute(query).one())
