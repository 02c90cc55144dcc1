"""What nowcasts said of rules with a probability, kept so that other limits can be compared on the past."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from service.feeds.skill.tables import RuleForecast
from service.jobs.database import reading, writing
from service.jobs.ledger import Ledger


class Said(NamedTuple):
    """What a nowcast said of a rule: columns of `RuleForecast`."""

    reference_time: datetime
    judged: datetime
    to_raise: float
    to_stay: float
    certain: bool


class RuleForecasts:
    """Those in the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self.engine = ledger.engine

    def record(self, said: Sequence[RuleForecast]) -> None:
        """Record what nowcasts say, as first judged; what is said of a frame issued again replaces the earlier one."""
        for each in said:
            try:
                with writing(self.engine) as session:
                    known = session.get(RuleForecast, (each.feed, each.watched, each.reference_time))
                    if known is None or known.revision < each.revision:
                        session.merge(each)
            except IntegrityError:  # another worker has just recorded it
                continue

    def of(self, feed: str, watched: str) -> list[Said]:
        """Return what is kept of a rule, by `AlertRule.watched`, the oldest first."""
        query = select(*(getattr(RuleForecast, column) for column in Said._fields))
        query = query.where(RuleForecast.feed == feed, RuleForecast.watched == watched)
        with reading(self.engine) as session:
            return [Said(*row) for row in session.execute(query.order_by(RuleForecast.reference_time))]

    def extent(self, feed: str, watched: str) -> tuple[object, ...]:
        """Return what differs as soon as there is more, or less, of a rule, or what is kept of it is replaced."""
        oldest, newest = func.min(RuleForecast.reference_time), func.max(RuleForecast.judged)
        query = select(func.count(), oldest, newest, func.sum(RuleForecast.revision))
        query = query.where(RuleForecast.feed == feed, RuleForecast.watched == watched)
        with reading(self.engine) as session:
            return tuple(session.execute(query).one())
