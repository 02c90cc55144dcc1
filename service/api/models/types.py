"""Response bodies of the model routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, Field

from model.core.manifest import ContextMinutes, DataKind, Score, TimeStepRange
from model.core.model_info import ModelInfo


class DistributionInfo(BaseModel):
    """What a network with a distribution forecasts beside a single field."""

    thresholds_mm_h: tuple[float, ...] = Field(description="Rain rates at which it forecasts probabilities itself.")
    fields: tuple[str, ...] = Field(description="Fields that can be asked for.")
    default_field: str = Field(description="The field that `rainfall_rate` is unless another one is asked for.")


class Model(BaseModel):
    """One version of one model."""

    name: str
    version: str
    kind: Literal["baseline", "network"]
    default: bool = Field(description="Whether `auto` resolves to this model, where it fits the frames.")
    aliases: list[str] = Field(description="Aliases of this version, such as `champion`.")
    data: DataKind = Field(description="What the frames show; only a model of `rain` makes nowcasts.")
    summary: str
    input_frames: int = Field(description="Consecutive frames that the model needs.")
    time_step: TimeStepRange
    context_minutes: ContextMinutes
    max_steps: int = Field(description="Largest number of lead steps, within `max_lead_minutes`.")
    max_lead_minutes: float = Field(description="Longest lead time: 180 minutes are 36 steps of 5 min or 18 of 10.")
    distribution: DistributionInfo | None = Field(
        description="null: a single field, and probabilities of its pixels' neighbourhood."
    )
    makes_members: bool
    scored_lead_minutes: float | None = Field(
        description="Longest lead time that the scores cover; null: no scores. Beyond it the skill is not known."
    )
    scores: list[Score] = Field(description="Each with the protocol and the data under which it was measured.")
    licence: str
    digest: str = Field(description="SHA-256 of the package; empty for a baseline.")
    href: str


class ModelList(BaseModel):
    """ModelList that can run here, baselines first."""

    models: list[Model]
    note: str = Field(description="Why `auto` does not resolve to the champion, where it should.")


class ModelVersions(BaseModel):
    """Every version of a model, newest first."""

    name: str
    versions: list[Model]


def model_of(info: ModelInfo, default: ModelInfo, aliases: Sequence[str]) -> Model:
    """Return what clients see of a model, without its folder."""
    distribution = None
    if info.distribution is not None:
        distribution = DistributionInfo(
            thresholds_mm_h=info.distribution.thresholds_mm_h,
            fields=info.forecast_fields,
            default_field=info.distribution.default_field,
        )
    return Model(
        distribution=distribution,
        makes_members=info.makes_members,
        scored_lead_minutes=info.scored_lead_minutes,
        default=info.reference == default.reference,
        aliases=list(aliases),
        href=f"/v1/models/{info.name}/versions/{info.version}",
        **info.model_dump(exclude={"folder", "distribution"}),
    )
