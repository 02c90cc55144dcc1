"""Which models are compared, and the scores of a window up to the newest frame that was scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from model.core.model_info import BASELINES
from service.feeds.skill.ledger import SkillLedger
from service.feeds.skill.scores import WindowScores
from service.feeds.skill.window import LeadOrigin, Window, collect

BASELINE_VERSIONS: Final = tuple(info.reference for info in reversed(BASELINES))
"""The better one first."""


def most_scored(scored: Mapping[str, int]) -> str:
    """Return the version that was scored by most frames; a baseline only where there is no other."""
    return max(scored, key=lambda model: (model not in BASELINE_VERSIONS, scored[model]))


def baselines_beside(model: str, scored: Mapping[str, int]) -> tuple[str, ...]:
    """Return a model, and the baselines that were scored, of the versions `scored`."""
    return model, *(each for each in BASELINE_VERSIONS if each in scored and each != model)


def window_of(
    ledger: SkillLedger,
    feed: str,
    models: Sequence[str],
    length: timedelta,
    *,
    origin: LeadOrigin = "reference",
    bins: bool = False,
) -> Window:
    """Return the counts of models on their common cases, of a window that ends with the newest scored frame."""
    newest = ledger.newest_scored(feed)
    if newest is None or not models:
        return collect((), models, origin=origin, bins=bins)
    frames = ledger.scores(feed, newest - length, newest, models, bins=bins)
    return collect(frames, models, origin=origin, bins=bins)


def scores_of(
    ledger: SkillLedger, feed: str, models: Sequence[str], length: timedelta, *, origin: LeadOrigin = "reference"
) -> WindowScores:
    """Return the scores of models on their common cases, of a window that ends with the newest scored frame."""
    return WindowScores(window_of(ledger, feed, models, length, origin=origin))
