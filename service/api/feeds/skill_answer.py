"""Live skill of a feed, as the route responds with it. The functions block."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.core.bootstrap import IntervalArrays
from service.api.errors import InvalidParameter
from service.api.feeds.skill_types import (
    Difference,
    EventScores,
    FeedSkill,
    FssByLead,
    ModelScores,
    ObservedEvents,
    Score,
    ScoreByLead,
)
from service.feeds.config import Feed
from service.feeds.skill.comparison import baselines_beside, most_scored, scores_of
from service.feeds.skill.counts import FSS_KM, UNCALIBRATED
from service.feeds.skill.ledger import SkillLedger
from service.feeds.skill.scores import WindowScores
from service.feeds.skill.window import LeadOrigin

MAX_WINDOW_HOURS: Final = 24 * 31.0
DIGITS: Final = 4


def feed_skill(
    ledger: SkillLedger,
    feed: Feed,
    model: str | None,
    *,
    hours: float,
    origin: LeadOrigin,
    models: tuple[str, ...] = (),
    thresholds: Sequence[float] | None = None,
    leads: Sequence[float] | None = None,
) -> FeedSkill:
    """Return the skill of models on their common cases.

    Parameters
    ----------
    ledger, feed
        Where the counts are, and the feed.
    model
        The version that makes the feed's nowcasts; None before the first one.
    hours
        Length of the window up to the newest frame that was scored.
    origin
        From when lead times count.
    models
        Versions to compare; empty: `model` and the baselines.
    thresholds, leads
        Only these (mm h-1, minutes); None: all.

    Raises
    ------
    InvalidParameter
        There is no such threshold or lead, or no score of such a model.
    """
    length = timedelta(hours=hours)
    scored, models = compared_models(ledger, feed, model, models, length)
    found = scores_of(ledger, feed.name, models, length, origin=origin) if models else None
    about: dict[str, Any] = {
        "feed": feed.name,
        "window_hours": hours,
        "lead_from": origin,
        "scored_models": dict(sorted(scored.items())),
    }
    if found is None:
        return FeedSkill(**about, **_NOTHING)
    rows = chosen("threshold", thresholds, found.window.thresholds_mm_h)
    columns = chosen("lead", leads, found.window.lead_minutes)
    return _skill(found, rows, columns, about)


def compared_models(
    ledger: SkillLedger, feed: Feed, model: str | None, models: tuple[str, ...], length: timedelta
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return the versions with scores in a window, each with its number of frames, and those that are compared.

    The parameters are those of `feed_skill`.

    Raises
    ------
    InvalidParameter
        There is no score of a model that was asked for.
    """
    newest = ledger.newest_scored(feed.name)
    scored = {} if newest is None else ledger.models(feed.name, newest - length)
    missing = [each for each in models if each not in scored]
    if missing:
        raise InvalidParameter(
            f"no forecast of {missing[0]!r} was scored in this window",
            where="model",
            hint=f"Scored are {', '.join(sorted(scored)) or 'none'}",
        )
    if not models and scored:
        models = baselines_beside(model if model in scored else most_scored(scored), scored)
    return scored, models


_NOTHING: Final[dict[str, Any]] = {
    "enough": False,
    "comment": "no forecast was scored yet",
    "newest_frame": None,
    "frames": 0,
    "blocks": 0,
    "block": "hour",
    "lead_minutes": [],
    "cases": [],
    "observed": [],
    "models": [],
    "differences": [],
}


def _skill(found: WindowScores, rows: Sequence[int], leads: Sequence[int], about: dict[str, Any]) -> FeedSkill:
    window = found.window
    known = [window.thresholds_mm_h[row] for row in rows]
    first, *others = window.models
    differences = []
    for other in others:
        csi = found.difference("csi", first, other)
        means = {name: found.mean_difference(name, first, other, leads) for name in ("csi", "brier")}
        differences += [
            Difference(
                other=other,
                threshold_mm_h=threshold,
                csi=_by_lead(csi, leads, row),
                csi_mean=_score(means["csi"], row),
                brier_mean=_score(means["brier"], row) if np.isfinite(means["brier"].value[row]) else None,
            )
            for row, threshold in zip(rows, known, strict=True)
        ]
    return FeedSkill(
        **about,
        enough=not found.shortage,
        comment=found.shortage,
        newest_frame=window.newest,
        frames=window.frames,
        blocks=len(window.blocks),
        block="day" if window.by_day else "hour",
        lead_minutes=[window.lead_minutes[lead] for lead in leads],
        cases=found.cases[list(leads)].astype(int).tolist(),
        observed=[
            ObservedEvents(threshold_mm_h=threshold, pixels=found.events[row, list(leads)].astype(int).tolist())
            for row, threshold in zip(rows, known, strict=True)
        ],
        models=[_model(found, model, rows, leads) for model in window.models],
        differences=differences,
    )


def _model(found: WindowScores, model: str, rows: Sequence[int], leads: Sequence[int]) -> ModelScores:
    row_of_model = found.window.models.index(model)
    has_members = bool(found.window.part("crps")[:, row_of_model].any())
    recalibrated = bool(found.window.part("brier")[:, row_of_model, :, UNCALIBRATED].any())
    has_probability = bool(found.window.part("brier")[:, row_of_model].any())
    names = ["csi", "pod", "far", "bias", "fss", *(["brier"] if has_probability else [])]
    names += ["brier_uncalibrated"] if recalibrated else []
    intervals = {name: found.interval(name, model) for name in names}
    events = [
        EventScores(
            threshold_mm_h=found.window.thresholds_mm_h[row],
            fss=[
                FssByLead(window_km=side, **_by_lead(intervals["fss"], leads, row, number).model_dump())
                for number, side in enumerate(FSS_KM)
            ],
            **{name: _by_lead(each, leads, row) for name, each in intervals.items() if name != "fss"},
        )
        for row in rows
    ]
    errors = {name: _by_lead(found.interval(name, model), leads) for name in ("mae", "me", "rmse")}
    crps = _by_lead(found.interval("crps", model), leads) if has_members else None
    return ModelScores(model=model, events=events, crps=crps, **errors)


def _by_lead(found: IntervalArrays, leads: Sequence[int], *index: int) -> ScoreByLead:
    parts = (found.value, found.low, found.high)
    value, low, high = (_rounded(values[index][list(leads)]) for values in parts)
    return ScoreByLead(value=value, low=low, high=high)


def _score(found: IntervalArrays, row: int) -> Score:
    value, low, high = _rounded(np.array([found.value[row], found.low[row], found.high[row]]))
    return Score(value=value, low=low, high=high)


def _rounded(values: NDArray[np.float64]) -> list[float | None]:
    return [round(float(value), DIGITS) if np.isfinite(value) else None for value in values]


def chosen(name: str, asked: Sequence[float] | None, known: Sequence[float]) -> list[int]:
    """Return the indices of what was asked for; of all, where nothing was.

    Raises
    ------
    InvalidParameter
        One is not known.
    """
    if not asked:
        return list(range(len(known)))
    for value in asked:
        if value not in known:
            shown = ", ".join(f"{each:g}" for each in known) or "none"
            raise InvalidParameter(f"there are no scores at {value:g}", where=name, hint=f"Choose of {shown}")
    return [known.index(value) for value in asked]
