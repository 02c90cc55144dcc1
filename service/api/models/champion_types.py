"""What the routes of the champion take, and respond with."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from model.core.aliases import AliasChange, Gate
from service.problem_details import public

VERSION: Final = r"^\d+(\.\d+){0,2}$"


class PromotionRequest(BaseModel):
    """Which version is to be promoted, and by which feed's live skill it is judged."""

    model_config = ConfigDict(extra="forbid")

    version: str = Field(pattern=VERSION, examples=["1"])
    feed: str = Field(max_length=64, description="The feed whose challenger it was.", examples=["helsinki"])
    window_hours: float = Field(168.0, ge=1, le=744, description="Hours of live skill.")
    dry_run: bool = Field(False, description="Evaluate the gates, and change nothing.")
    force: bool = Field(False, description="Promote it against the gates; needs a reason.")
    reason: str = Field("", max_length=500, description="For the history.")


class RollbackRequest(BaseModel):
    """Which version is rolled back, and why."""

    model_config = ConfigDict(extra="forbid")

    version: str | None = Field(
        None,
        pattern=VERSION,
        description="That of the champion: where it is another one by now, nothing changes, so that a repeated request "
        "does no harm. null: any.",
        examples=["1"],
    )
    reason: str = Field("", max_length=500, description="For the history.")


class GateResult(BaseModel):
    """A comparison, and what came of it."""

    gate: Literal["csi", "extrapolation", "brier", "crps", "parity", "latency"]
    what: str = Field(examples=["live CSI at 2 mm/h beside rain-ms-predrnn@2"])
    passed: bool | None = Field(description="null: inconclusive, which refuses, too.")
    archive: str = Field(description="Name of the archive; empty for live skill.")
    value: float | None
    low: float | None
    high: float | None
    limit: float | None
    note: str

    @classmethod
    def of(cls, gate: Gate) -> Self:
        """Return what is told of a gate."""
        texts = {name: public(getattr(gate, name)) for name in ("what", "archive", "note")}
        return cls(**{**gate.model_dump(), **texts})


class ChampionChange(BaseModel):
    """A change of the champion."""

    action: Literal["promote", "rollback"]
    when: datetime
    by: str = Field(description="The client of the key, or the user on the machine of the packages.")
    before: str | None = Field(description="null: none.", examples=["rain-ms-predrnn@2"])
    after: str | None = Field(description="null: none; `auto` is the default model.", examples=["my-radar@1"])
    forced: bool = Field(description="Against the gates.")
    reason: str
    gates: list[GateResult]
    protocol: str

    @classmethod
    def of(cls, change: AliasChange) -> Self:
        """Return what is told of a change."""
        return cls(
            before=None if change.before is None else change.before.model,
            after=None if change.after is None else change.after.model,
            gates=[GateResult.of(gate) for gate in change.gates],
            **change.model_dump(include={"action", "when", "by", "forced", "reason", "protocol"}),
        )


class Promotion(BaseModel):
    """Results of the gates, and whether the model was promoted."""

    model: str = Field(examples=["my-radar@1"])
    compared_with: str = Field(description="The model that `auto` resolved to.", examples=["rain-ms-predrnn@2"])
    protocol: str = Field(examples=["live skill of the feed helsinki"])
    gates: list[GateResult]
    refusal: str = Field(description="Why it is not promoted without force; empty: all gates let it pass.")
    change: ChampionChange | None = Field(description="What was changed; null: nothing.")


class Champion(BaseModel):
    """The model that `auto` resolves to, the aliases, and how they came about."""

    champion: str | None = Field(description="The version that was promoted; null: none.", examples=["my-radar@1"])
    runs: str = Field(description="What `auto` resolves to.", examples=["my-radar@1"])
    note: str = Field(description="Why that is not the champion, where it should be.")
    aliases: dict[str, str] = Field(description="The other aliases, such as `challenger`.")
    before: str | None = Field(description="What a rollback returns to; null: nothing can be rolled back.")
    history: list[ChampionChange] = Field(description="The newest first, at most 50.")
