"""Documents of OGC API - EDR with the links of Part 2: a collection leads to the channel of its new instances."""

from __future__ import annotations

from edr_pydantic.collections import Collections, Instance
from edr_pydantic.link import Link


class HubLink(Link):
    """A link to a broker, with the topic to subscribe to."""

    channel: str


class FeedCollection(Instance):
    """A feed, or one of its nowcasts."""

    links: list[HubLink | Link]


class FeedCollections(Collections):
    """The feeds."""

    collections: list[FeedCollection]  # type: ignore[assignment]
