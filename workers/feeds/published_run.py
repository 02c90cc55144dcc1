"""A run whose nowcast is published, as everything that follows the publication sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service.feeds.config import Feed
from service.feeds.tables import FeedRun


@dataclass(frozen=True, kw_only=True)
class PublishedRun:
    """A run, its feed, and a local copy of its nowcast.

    Attributes
    ----------
    feed : Feed
        The feed, as its file has it now.
    run : FeedRun
        The run, as it was when its job had succeeded.
    job_id : str
        The job that made the nowcast.
    nowcast : Path
        The forecast file.
    folder : Path
        For temporary files; it lasts until everything has followed.
    renew : callable
        Renews the lease under which this process follows the feed up; to be called before what takes long or is not to
        happen twice. It raises LeaseLost where the lease is lost.
    """

    feed: Feed
    run: FeedRun
    job_id: str
    nowcast: Path
    folder: Path
    renew: Callable[[], None]

    @property
    def is_served(self) -> bool:
        """Whether the feed still has the model that the run is known by."""
        return self.run.model == self.feed.model
