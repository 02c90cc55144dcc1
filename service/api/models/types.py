"""What the routes of models answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, Field

from model.core.catalog import ModelInfo
from model.core.manifest import ContextMinutes, DataKind, Score, TimeStepRange


class Model(BaseModel):
    """One version of one model."""

    name: str
    version: str
    kind: Literal["baseline", "network"]
    default: bool = Field(description="Whether `auto` means this one, where it fits the frames.")
    aliases: list[str] = Field(description="Names that mean this version now, such as `champion`.")
    data: DataKind = Field(description="What its frames are; only a model of `rain` makes nowcasts.")
    summary: str
    input_frames: int = Field(description="Frames in a row that it needs.")
    time_step: TimeStepRange
    context_minutes: ContextMinutes
    max_steps: int = Field(description="The most lead steps, as far as `max_lead_minutes` lets it.")
    max_lead_minutes: float = Field(
        description="How far ahead it forecasts at most: of 180 minutes, 36 steps of 5 min or 18 of 10."
    )
    scores: list[Score] = Field(description="Each with the protocol and the data it was measured under.")
    licence: str
    digest: str = Field(description="SHA-256 of the package; empty for a baseline.")
    href: str


class Models(BaseModel):
    """Models that can run here, baselines first."""

    models: list[Model]
    note: str = Field(description="Why `auto` does not mean the champion, where it should.")


class ModelVersions(BaseModel):
    """Every version of a model, newest first."""

    name: str
    versions: list[Model]


def model_of(info: ModelInfo, default: ModelInfo, aliases: Sequence[str]) -> Model:
    """What a client sees of a model: never the folder that it lies in."""
    return Model(
        default=info.reference == default.reference,
        aliases=list(aliases),
        href=f"/v1/models/{info.name}/versions/{info.version}",
        **info.model_dump(exclude={"folder"}),
    )
