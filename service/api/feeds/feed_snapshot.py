"""What the events of feeds compare: how each feed was at one moment."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

from service.api.feeds.answers import feed_info
from service.api.feeds.types import FeedInfo
from service.feeds.overview import FeedState, feed_states

if TYPE_CHECKING:
    from service.api.context import GatewayContext

Change = Literal["frame", "nowcast", "products", "status"]


@dataclass(frozen=True, kw_only=True)
class FeedSnapshot:
    """A feed as clients see it, and what a change of it is told by: two that differ in the age alone are equal."""

    info: FeedInfo = field(compare=False)
    frame: Hashable
    nowcast: Hashable
    products: Hashable
    status: Hashable

    @classmethod
    def of(cls, state: FeedState) -> Self:
        """Return the snapshot of a feed's state."""
        info, frame, run = feed_info(state), state.newest_frame, state.run
        products = () if run is None else tuple(file["name"] for file in run.products or ())
        return cls(
            info=info,
            frame=None if frame is None else (frame.valid_time, frame.revision),
            nowcast=None if run is None else (run.reference_time, run.served_job_id),
            products=(products, () if info.latest is None else tuple(info.latest.problems)),
            status=(info.status, state.health.cause),
        )

    def changes_since(self, before: FeedSnapshot) -> list[Change]:
        """Return what differs from an earlier snapshot."""
        names: tuple[Change, ...] = ("frame", "nowcast", "products", "status")
        return [name for name in names if getattr(self, name) != getattr(before, name)]


def feed_snapshots(context: GatewayContext) -> dict[str, FeedSnapshot]:
    """Return the snapshot of every feed by its name. It blocks."""
    states = feed_states(context.feeds().feeds, context.feed_ledger)
    return {state.feed.name: FeedSnapshot.of(state) for state in states}
