"""Whether a feed delivers: its status, the age of its newest frame, and what is missing."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from service.feeds.config import Feed
from service.feeds.intervals import common_interval_minutes
from service.feeds.tables import FeedFrame, RegisteredFeed

WINDOW: Final = 13
"""As many of the newest frames are looked at: those of an hour, where one comes every 5 minutes."""

FALLBACK_CODES: Final = ("unknown-model", "bad-package")
"""Problems of a feed with which extrapolation makes its nowcasts."""

SOURCE_UNAVAILABLE: Final = "source-unavailable"
"""The problem of a feed whose source does not respond: what is there is forecast, until the next frame is overdue."""

PARTIAL_COVERAGE: Final = 0.8
"""A frame with data on less than this share of the usual area is partial: a radar of the composite is missing."""


class FeedStatus(StrEnum):
    """Whether a feed delivers.

    `ok`. `delayed`: the next frame is overdue. `partial`: frames, or parts of the newest one, are missing.
    `unavailable`: no frame is recent enough to forecast from.
    """

    OK = "ok"
    DELAYED = "delayed"
    PARTIAL = "partial"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, kw_only=True)
class FeedHealth:
    """The status of a feed and why, the interval of its frames (minutes), and the newest one with its age (minutes).

    `cause`: the part of the reason that stays the same until something happens: without the age.
    """

    status: FeedStatus
    reason: str = ""
    cause: str = ""
    interval_minutes: float | None = None
    newest_frame: datetime | None = None
    age_minutes: float | None = None


def feed_health(
    feed: Feed, registered: RegisteredFeed | None, frames: Sequence[FeedFrame], now: datetime
) -> FeedHealth:
    """Return the health of a feed.

    Parameters
    ----------
    feed
        Its configuration.
    registered
        What the ledger has of it; None where it was never scanned.
    frames
        Its newest frames, at most `WINDOW`, the newest first.
    now
        The time, by the feed's clock.
    """
    if not frames:
        scanned = registered is not None and registered.last_scan is not None
        reason = "no frame has arrived" if scanned else "it was not scanned yet"
        return FeedHealth(status=FeedStatus.UNAVAILABLE, reason=reason, cause=reason)
    newest = frames[0]
    age = max(0.0, (now - newest.valid_time).total_seconds() / 60)
    interval = feed.interval or common_interval_minutes([frame.valid_time for frame in reversed(frames)])
    due = (interval or 0.0) + feed.delay
    status, late, causes = FeedStatus.OK, "", list[str]()
    problem = registered.problem if registered is not None else None
    is_cut_off = problem is not None and problem["code"] == SOURCE_UNAVAILABLE
    if problem is not None and problem["code"] not in FALLBACK_CODES and not is_cut_off:
        status, causes = FeedStatus.UNAVAILABLE, [f"no nowcasts are made: {problem['what']}"]
    elif age > max(feed.max_age, due):
        status, late = FeedStatus.UNAVAILABLE, f"the newest frame is {age:.0f} min old"
    elif interval is not None and age > due:
        status = FeedStatus.DELAYED
        late = f"the newest frame is {age:.0f} min old; the next one was due after {due:g} min"
    elif causes := _missing(frames, interval):
        status = FeedStatus.PARTIAL
    if problem is not None and is_cut_off and status is not FeedStatus.OK:
        causes = [*causes, problem["what"]]
    return FeedHealth(
        status=status,
        reason="; ".join(filter(None, (late, *causes))),
        cause="; ".join(causes),
        interval_minutes=interval,
        newest_frame=newest.valid_time,
        age_minutes=round(age, 1),
    )


def nowcast_too_old(feed: Feed, health: FeedHealth, reference_time: datetime) -> str:
    """Return why a feed's nowcast from that time says nothing of the time from now on; empty where it does."""
    age = (feed.now(health.newest_frame or reference_time) - reference_time).total_seconds() / 60
    limit = max(feed.max_age, (health.interval_minutes or 0.0) + feed.delay)
    return f"the newest nowcast is {age:.0f} min old" if age > limit else ""


def _missing(frames: Sequence[FeedFrame], interval: float | None) -> list[str]:
    """Return what is missing among the frames, and in the newest one."""
    missing = []
    if interval is not None:
        # The oldest of fewer frames than the window has is the feed's first one: before it nothing was due.
        span = min((frames[0].valid_time - frames[-1].valid_time).total_seconds() / 60, (WINDOW - 1) * interval)
        expected = round(span / interval) + 1
        since = frames[0].valid_time - timedelta(minutes=span + interval / 2)
        there = sum(frame.valid_time > since for frame in frames)
        if expected > there:
            missing.append(f"{expected - there} of {expected} frames of the last {span:.0f} min are missing")
    usual = statistics.median(frame.coverage for frame in frames)
    if frames[0].coverage < PARTIAL_COVERAGE * usual:
        missing.append(f"the newest frame has data on {frames[0].coverage:.0%} of its area, before on {usual:.0%}")
    return missing
