"""What the operator's routes respond with."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from service.api.feeds.types import FeedInfo
from service.api.health.checks import ComponentState


class Operator(BaseModel):
    """Who asks, and what it may do."""

    client: str
    key_id: str | None = Field(description="Id of its API key; null: a token, or no key.")
    may_change: bool = Field(description="Whether it may promote models, and create keys: not without a key.")


class FeedTrouble(BaseModel):
    """A file that gave no frame, or a run that failed."""

    kind: Literal["refused", "unreadable", "failed"]
    when: datetime
    name: str = Field(description="Name of the file, or reference time of the run.")
    reason: str


class ConfigurationProblem(BaseModel):
    """What is wrong with the file of feeds."""

    where: str
    what: str
    hint: str


class WatchedFeed(BaseModel):
    """A feed as its operator sees it."""

    feed: FeedInfo
    source: Literal["folder", "object store", "push", "mqtt"]
    last_scan: datetime | None = Field(description="null: never.")
    problem: ConfigurationProblem | None = Field(description="Of the last scan; null: none.")
    lag_seconds: float | None = Field(
        description="From the arrival of the newest frame with a nowcast until that was published; null: not known."
    )
    rejected_files: int = Field(description="Files of the last 24 h that gave no frame.")
    failed_runs: int = Field(description="Runs that failed in the last 24 h.")
    troubles: list[FeedTrouble] = Field(description="Some of both, the newest first.")


class QueueInfo(BaseModel):
    """Nowcasts that are not finished, of uploads and feeds, and those that failed lately."""

    waiting: int
    running: int
    oldest_seconds: float | None = Field(description="How long the oldest one has waited; null: none waits.")
    failed: int = Field(description="In the last 24 h.")


class Overview(BaseModel):
    """How the service does."""

    operator: Operator
    ready: bool = Field(description="Whether a nowcast could be made now.")
    parts: list[ComponentState] = Field(description="As `GET /readyz` has them.")
    queue: QueueInfo
    feeds: list[WatchedFeed]
    configuration: list[ConfigurationProblem] = Field(description="Problems of the file of feeds.")
