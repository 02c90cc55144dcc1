"""The ledger's tables of live verification: runs of challengers, scored frames, their counts, and what follows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, Text, false, select
from sqlalchemy.orm import Mapped, column_property, mapped_column

from service.jobs.base import Base
from service.jobs.job import Job, JobStatus

Source = Literal["radar", "gauge"]


class ChallengerRun(Base, kw_only=True):
    """A run of another model than the feed's from the same frames. Its nowcast is scored, and shown to be compared.

    `revision`: of the frame at the reference time. `reason`: why it was skipped. `status`: that of its job.
    """

    __tablename__ = "feed_challenger_runs"

    feed: Mapped[str] = mapped_column(String(128), primary_key=True)
    reference_time: Mapped[datetime] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(String(128), primary_key=True)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), default=None)
    revision: Mapped[int] = mapped_column(default=0)
    reason: Mapped[str] = mapped_column(Text, default="", server_default="")
    created: Mapped[datetime] = mapped_column(default_factory=lambda: datetime.now(UTC))
    status: Mapped[JobStatus | None] = column_property(
        select(Job.status).where(Job.id == job_id).correlate_except(Job).scalar_subquery()
    )

    __table_args__ = (Index("ix_feed_challenger_runs_job", "job_id"),)


class ScoredFrame(Base, kw_only=True):
    """A frame by which all forecasts that were valid then are scored.

    `revision`: of the frame. `forecasts`: the digest of which forecasts there were. Where either has changed, the frame
    is scored again, and its counts are replaced.
    """

    __tablename__ = "feed_scored_frames"

    feed: Mapped[str] = mapped_column(String(128), primary_key=True)
    valid_time: Mapped[datetime] = mapped_column(primary_key=True)
    revision: Mapped[int]
    forecasts: Mapped[str] = mapped_column(String(64))
    scored: Mapped[datetime] = mapped_column(default_factory=lambda: datetime.now(UTC))


class FrameScore(Base, kw_only=True):
    """The counts of one model's forecasts that were valid at one time, by lead.

    `model`: the version that ran, as `extrapolation@1`. `thresholds_mm_h`: of the events. `lead_minutes`: from the
    reference time. `served_minutes`: from the publication of the feed's nowcast of that reference time, which is when
    users had it. `counts` [lead, column], `bins` [lead, ...]: see `service.feeds.skill.counts`; no bins without
    probabilities.
    """

    __tablename__ = "feed_frame_scores"

    feed: Mapped[str] = mapped_column(String(128), primary_key=True)
    valid_time: Mapped[datetime] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(String(128), primary_key=True)
    thresholds_mm_h: Mapped[list[float]] = mapped_column(JSON)
    lead_minutes: Mapped[list[float]] = mapped_column(JSON)
    served_minutes: Mapped[list[float]] = mapped_column(JSON)
    counts: Mapped[bytes] = mapped_column(LargeBinary)
    bins: Mapped[bytes | None] = mapped_column(LargeBinary, default=None)


class PlaceObservation(Base, kw_only=True):
    """What was observed at a place or in an area that a rule of an alert watches.

    `place`: see `service.feeds.skill.observations`. `source`: radar, or gauge. `rain_rate`: mm h-1, None where it is
    not known.
    """

    __tablename__ = "feed_place_observations"

    feed: Mapped[str] = mapped_column(String(128), primary_key=True)
    place: Mapped[str] = mapped_column(String(32), primary_key=True)
    source: Mapped[Source] = mapped_column(String(16), primary_key=True)
    valid_time: Mapped[datetime] = mapped_column(primary_key=True)
    rain_rate: Mapped[float | None] = mapped_column(default=None)


class RuleForecast(Base, kw_only=True):
    """What a nowcast said of a rule with a probability, whatever its limit: by it other limits are compared.

    `watched`: see `AlertRule.watched`. `revision`: of the frame at the reference time. `judged`: from when leads count.
    `to_raise`, `to_stay`: up to which probability limit the rule would have raised its alert, and a raised one would
    have stayed (0 to 1). `certain`: whether it is known that it would not at higher limits.
    """

    __tablename__ = "feed_rule_forecasts"

    feed: Mapped[str] = mapped_column(String(128), primary_key=True)
    watched: Mapped[str] = mapped_column(String(64), primary_key=True)
    reference_time: Mapped[datetime] = mapped_column(primary_key=True)
    revision: Mapped[int]
    judged: Mapped[datetime]
    to_raise: Mapped[float]
    to_stay: Mapped[float]
    certain: Mapped[bool]


class ModelSkill(Base, kw_only=True):
    """What follows for a model from the scores of its newest forecasts.

    `sentence`: its skill, for the products; `csi`: the score in it, None where there are too few cases. `preferred`,
    `reason`: whether it is to run in the place of the feed's model, and why. `calibration`: of its probabilities, made
    at the time `calibrated` on this feed.
    """

    __tablename__ = "feed_model_skill"

    feed: Mapped[str] = mapped_column(String(128), primary_key=True)
    model: Mapped[str] = mapped_column(String(128), primary_key=True)
    sentence: Mapped[str] = mapped_column(Text, default="", server_default="")
    csi: Mapped[float | None] = mapped_column(default=None)
    preferred: Mapped[bool] = mapped_column(default=False, server_default=false())
    reason: Mapped[str] = mapped_column(Text, default="", server_default="")
    calibration: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    calibrated: Mapped[datetime | None] = mapped_column(default=None)
    updated: Mapped[datetime] = mapped_column(default_factory=lambda: datetime.now(UTC))
