"""What nowcasts said of rules with a probability, kept so that other limits can be compared on the past."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from service.feeds.skill.tables import RuleForecast
from service.jobs.database import load, writing
from service.jobs.ledger import Ledger


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

    def of(self, feed: str, watched: str) -> list[RuleForecast]:
        """Return what is kept of a rule, by `AlertRule.watched`, the oldest first."""
        query = select(RuleForecast).where(RuleForecast.feed == feed, RuleForecast.watched == watched)
        return load(self.engine, query.order_by(RuleForecast.reference_time))
