"""What the route of live skill responds with."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from service.feeds.skill.window import LeadOrigin


class ScoreByLead(BaseModel):
    """A score at each of `lead_minutes`, with the bounds of its 95 % interval; null: nothing to count, or too few."""

    value: list[float | None]
    low: list[float | None]
    high: list[float | None]


class FssByLead(ScoreByLead):
    """The fractions skill score of one window."""

    window_km: float


class EventScores(BaseModel):
    """Scores of events: rain of at least `threshold_mm_h`."""

    threshold_mm_h: float
    csi: ScoreByLead
    pod: ScoreByLead
    far: ScoreByLead
    bias: ScoreByLead = Field(description="Forecast over observed events.")
    fss: list[FssByLead]
    brier: ScoreByLead | None = Field(None, description="Of the probabilities; null: it has none.")
    brier_uncalibrated: ScoreByLead | None = Field(
        None, description="As it was before the recalibration on the feed; null: there is none."
    )


class ModelScores(BaseModel):
    """Scores of one model."""

    model: str = Field(examples=["rain-ms-predrnn@2"])
    mae: ScoreByLead = Field(description="Mean absolute error, mm/h.")
    me: ScoreByLead = Field(description="Mean error, mm/h: forecast less observed.")
    rmse: ScoreByLead = Field(description="Root mean squared error, mm/h.")
    crps: ScoreByLead | None = Field(None, description="Of the members, mm/h; null: it has none.")
    events: list[EventScores] = Field(description="By threshold.")


class Score(BaseModel):
    """A score with the bounds of its 95 % interval; null: nothing to count, or too few."""

    value: float | None
    low: float | None
    high: float | None


class Difference(BaseModel):
    """Scores of the first model less those of another one, with paired intervals."""

    other: str = Field(examples=["extrapolation@1"])
    threshold_mm_h: float
    csi: ScoreByLead
    csi_mean: Score = Field(description="Mean over the leads at which both have a score.")
    brier_mean: Score | None = Field(None, description="The same of the Brier score; null: one has no probabilities.")


class ObservedEvents(BaseModel):
    """How much rain of at least a threshold was observed: pixels over all frames, by lead."""

    threshold_mm_h: float
    pixels: list[int]


class RuleSkill(BaseModel):
    """What the warnings of one rule were worth, by what was observed at its place."""

    rule: str = Field(examples=["underpass"])
    enough: bool = Field(description="Whether there are enough starts of rain for a conclusion.")
    comment: str = Field(description="What is missing; empty where nothing is.")
    truth: Literal["radar", "gauge"]
    threshold_mm_h: float = Field(description="Rain is at least so much.")
    within_minutes: float = Field(description="How far ahead a warning looks.")
    observed_since: datetime | None
    observed_until: datetime | None
    starts: int = Field(description="Observed starts of rain, after 30 dry minutes.")
    hits: int = Field(description="Starts before which the alert was raised.")
    late: int = Field(description="Starts after which it was raised, while it rained.")
    misses: int
    warnings: int = Field(description="Warnings raised while it did not rain, of which it is known what followed.")
    false_alarms: int = Field(description="Those that no rain followed.")
    while_raining: int = Field(description="Warnings raised while it rained: they forecast no start.")
    open: int = Field(description="Warnings of which it is not known what followed.")
    pod: float | None = Field(description="Probability of detection: hits over starts; null: no start.")
    false_alarm_ratio: float | None = Field(description="False alarms over warnings; null: no warning.")
    late_share: float | None = Field(description="Late over starts; null: no start.")
    onset_error_minutes: float | None = Field(description="Mean of expected less observed start; null: none.")
    onset_absolute_error_minutes: float | None


class FeedWarningSkill(BaseModel):
    """The warnings of a feed against observations."""

    feed: str = Field(examples=["helsinki"])
    window_hours: float
    rules: list[RuleSkill]


class FeedSkill(BaseModel):
    """Live skill: scores of several models on the same cases."""

    feed: str = Field(examples=["helsinki"])
    enough: bool = Field(description="Whether there are enough cases for a conclusion.")
    comment: str = Field(description="What is missing; empty where nothing is.")
    window_hours: float
    newest_frame: datetime | None = Field(description="The newest frame that was counted; null: none.")
    frames: int = Field(description="Frames by which forecasts of all models were scored.")
    blocks: int = Field(description="Hours or days that have such frames.")
    block: Literal["hour", "day"] = Field(description="What the intervals resample.")
    lead_from: LeadOrigin
    lead_minutes: list[float]
    cases: list[int] = Field(description="Forecasts of each model that were scored, by lead.")
    observed: list[ObservedEvents]
    models: list[ModelScores] = Field(description="The feed's model first.")
    differences: list[Difference]
    scored_models: dict[str, int] = Field(description="All versions with scores in the window, and by how many frames.")
