"""What the routes of feeds respond with."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, Field

from service.api.nowcasts.types import PlaceForecast, PointValue
from service.feeds.health import FeedStatus
from service.feeds.products import Product
from service.feeds.tables import FileState
from service.status import Link


class RunStatus(StrEnum):
    """The status of a run: that of its nowcast, or why it has none."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    SUCCESSFUL = "successful"
    FAILED = "failed"
    DISMISSED = "dismissed"
    WAITING = "waiting"
    SKIPPED = "skipped"
    EXPIRED = "expired"


class FeedRunInfo(BaseModel):
    """A run of a feed: the nowcast of one model from one reference time."""

    feed: str = Field(examples=["helsinki"])
    reference_time: datetime
    model: str = Field(description="The model of the feed.", examples=["auto"])
    model_used: str | None = Field(None, description="The model that ran.", examples=["rain-ms-predrnn@2"])
    status: RunStatus = Field(
        description="That of its nowcast; `waiting`: for more frames; `skipped`: its frame came too late; `expired`: "
        "the nowcast was deleted after its retention."
    )
    note: str = Field(description="What a user of the forecast must know, and why a run waits or was skipped.")
    revision: int = Field(description="How often the frame at the reference time was issued again.")
    published: datetime | None = Field(None, description="When its nowcast was first published.")
    problems: list[str] = Field([], description="What failed after the publication, such as a product.")
    links: list[Link]


class ProductInfo(BaseModel):
    """A file of a product; of each product the first file is the main one."""

    product: Product = Field(description="By this name in place of `name` the address is that of the newest file.")
    name: str = Field(description="With the first digits of the digest: what it names never changes.")
    title: str
    media_type: str
    size: int = Field(description="Bytes.")
    digest: str = Field(description="SHA-256 of the content.")
    href: str


class ProductList(BaseModel):
    """The products of a run."""

    feed: str = Field(examples=["helsinki"])
    reference_time: datetime
    files: list[ProductInfo]
    links: list[Link]


class FeedInfo(BaseModel):
    """A feed: whether it delivers, and its newest nowcast."""

    name: str = Field(examples=["helsinki"])
    model: str = Field(examples=["auto"])
    status: FeedStatus = Field(
        description="`delayed`: the next frame is overdue; `partial`: frames, or parts of the newest one, are missing; "
        "`unavailable`: no frame is recent enough to forecast from."
    )
    reason: str = Field(description="Why it is not `ok`.")
    interval_minutes: float | None = Field(description="Minutes between frames; null: not known yet.")
    newest_frame: datetime | None = Field(description="Valid time of the newest frame.")
    age_minutes: float | None = Field(description="Its age.")
    radar_product: str = Field(
        description="What the radar made the newest frame of; empty: not known.", examples=["pseudo-CAPPI at 1500 m"]
    )
    latest: FeedRunInfo | None = Field(description="The newest run that is published; null: none yet.")
    links: list[Link]


class FeedList(BaseModel):
    """All feeds."""

    feeds: list[FeedInfo]


class FeedFileInfo(BaseModel):
    """A file that arrived."""

    name: str
    state: FileState = Field(
        description="`received`: it waits to be read; `accepted`; `late`: its frames are older than the newest of "
        "before; `reissued`: it replaces a frame; `duplicate`: its frames were known; `skipped`: not read; "
        "`refused`: no frame of this feed now; `unreadable`."
    )
    valid_time: datetime | None = Field(description="Of its newest frame; null: not read.")
    reason: str
    arrived: datetime


class ReceivedFiles(BaseModel):
    """Files that were sent to a feed, and what became of each."""

    feed: str = Field(examples=["helsinki"])
    files: list[FeedFileInfo] = Field(description="In the order in which they were sent.")
    links: list[Link]


class FeedDetails(FeedInfo):
    """A feed with its newest files and runs."""

    files: list[FeedFileInfo] = Field(description="The files that arrived last, the newest first.")
    runs: list[FeedRunInfo] = Field(description="The newest reference times first.")


class FeedPoint(PlaceForecast):
    """Rain at one place by a feed's newest nowcast, from now on."""

    feed: str = Field(examples=["helsinki"])
    status: FeedStatus
    age_minutes: float = Field(description="Age of the newest frame of the nowcast.")
    past: list[PointValue] = Field([], description="Observed frames.")
    forecast: list[PointValue] = Field(
        [], description="Lead steps that are still to come; `lead_minutes` count from the reference time."
    )
    links: list[Link]
