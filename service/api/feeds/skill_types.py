"""What the route of live skill responds with."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from service.feeds.skill.window import LeadOrigin

Calibration = Literal["published", "uncalibrated"]


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


class ReliabilityPoint(BaseModel):
    """Pixels with about the same forecast probability."""

    forecast: float = Field(description="Mean forecast probability.")
    observed: float = Field(description="Share of them with rain.")
    pixels: int


class ReliabilityCurve(BaseModel):
    """How often it rained where a probability was forecast."""

    model: str = Field(examples=["rain-ms-predrnn@2"])
    threshold_mm_h: float
    calibration: Calibration = Field(
        description="The probabilities as they were published, or as they were before the recalibration on the feed."
    )
    points: list[ReliabilityPoint]


class FeedReliability(BaseModel):
    """Reliability of the probabilities of several models on the same cases, all of `lead_minutes` together."""

    feed: str = Field(examples=["helsinki"])
    window_hours: float
    newest_frame: datetime | None = Field(description="The newest frame that was counted; null: none.")
    frames: int
    lead_from: LeadOrigin
    lead_minutes: list[float]
    curves: list[ReliabilityCurve] = Field(description="Of models with probabilities.")


class SuggestedProbability(BaseModel):
    """The limit of a rule's probability that would have been best on all that is kept of the feed's past."""

    probability: Score = Field(
        description="The limit, and where it lies in 95 % of the resamples of the days; null: too few cases."
    )
    comment: str = Field(description="Why there is none, or what speaks against it; empty where nothing does.")
    best_for: Literal["csi", "value"] = Field(
        description="`csi`: hits over hits, misses and false alarms. `value`: the economic value at the rule's "
        "`cost_loss`: 1 of a perfect forecast, 0 of the better one of warning always and never."
    )
    suggested: Score = Field(description="That score, each day with the limit that the other days suggest.")
    present: Score = Field(description="That score with the rule's own limit, on the same cases.")
    gain: Score = Field(description="`suggested` less `present`.")
    nowcasts: int = Field(
        description="Cases: nowcasts that were judged while it did not rain, of which it is known what followed."
    )
    hits: int = Field(description="Those, of the suggestion, after which the alert is raised, and rain starts in time.")
    misses: int
    false_alarms: int
    starts: int = Field(
        description="Observed starts of rain that followed any in time; neighbouring nowcasts share one."
    )
    days: int = Field(description="Days (UTC) with nowcasts that rain followed.")
    since: datetime | None = Field(description="Reference time of the first nowcast; null: there is none.")
    until: datetime | None


class RuleSkill(BaseModel):
    """What the warnings of one rule were worth, by what was observed at its place or in its area."""

    rule: str = Field(examples=["underpass"])
    enough: bool = Field(description="Whether there are enough starts of rain for a conclusion.")
    comment: str = Field(description="What is missing; empty where nothing is.")
    watches: Literal["point", "area"]
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
    suggested_probability: SuggestedProbability | None = Field(
        description="Never used by itself; null: the rule has no probability."
    )


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
