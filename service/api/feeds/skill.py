"""The route of live skill: what the forecasts of a feed were worth."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from service.api.context import ContextDep
from service.api.feeds import answers
from service.api.feeds.dependencies import READ, FeedDep
from service.api.feeds.reliability_answer import MAX_RELIABILITY_HOURS, feed_reliability
from service.api.feeds.skill_answer import MAX_WINDOW_HOURS, feed_skill
from service.api.feeds.skill_types import FeedReliability, FeedSkill, FeedWarningSkill
from service.api.feeds.warning_answer import warning_skill
from service.api.problems import documented_problems
from service.feeds.skill.window import LeadOrigin

router = APIRouter()

LeadFrom = Annotated[
    LeadOrigin, Query(description="From when leads count: the newest frame, or the publication of the nowcast.")
]
Models = Annotated[
    list[str] | None,
    Query(max_length=8, description="Versions to compare, as NAME@VERSION; default: the feed's, and the baselines."),
]
Thresholds = Annotated[list[float] | None, Query(description="Only these thresholds (mm/h).")]
Leads = Annotated[list[float] | None, Query(description="Only these lead times (min).")]


@router.get(
    "/{feed}/skill",
    operation_id="getFeedSkill",
    dependencies=READ,
    summary="Live skill of a feed's model beside baselines",
    responses=documented_problems("no-such-feed", "invalid-parameter"),
)
async def get_skill(
    context: ContextDep,
    feed: FeedDep,
    window: Annotated[float, Query(gt=0, le=MAX_WINDOW_HOURS, description="Hours up to the newest frame.")] = 24.0,
    lead_from: LeadFrom = "reference",
    model: Models = None,
    threshold: Thresholds = None,
    lead: Leads = None,
) -> FeedSkill:
    """Return scores of forecasts by the frames that arrived since, of all compared models on the same cases.

    With 95 % intervals by block bootstrap over hours, from 5 days with cases on over days. `enough` tells whether there
    are enough cases for a conclusion, and `comment` what is missing.
    """
    return await context.in_thread(
        feed_skill,
        context.skill_ledger,
        feed,
        await context.in_thread(answers.model_of, context, feed),
        hours=window,
        origin=lead_from,
        models=tuple(model or ()),
        thresholds=threshold,
        leads=lead,
    )


@router.get(
    "/{feed}/skill/reliability",
    operation_id="getFeedReliability",
    dependencies=READ,
    summary="Reliability of a feed's probabilities",
    responses=documented_problems("no-such-feed", "invalid-parameter"),
)
async def get_reliability(
    context: ContextDep,
    feed: FeedDep,
    window: Annotated[float, Query(gt=0, le=MAX_RELIABILITY_HOURS, description="Hours up to the newest frame.")] = 24.0,
    lead_from: LeadFrom = "reference",
    model: Models = None,
    threshold: Thresholds = None,
    lead: Leads = None,
) -> FeedReliability:
    """Return how often it rained where a probability was forecast, of all chosen leads together, with counts."""
    return await context.in_thread(
        feed_reliability,
        context.skill_ledger,
        feed,
        await context.in_thread(answers.model_of, context, feed),
        hours=window,
        origin=lead_from,
        models=tuple(model or ()),
        thresholds=threshold,
        leads=lead,
    )


@router.get(
    "/{feed}/skill/alerts",
    operation_id="getFeedWarningSkill",
    dependencies=READ,
    summary="What the warnings of a feed were worth",
    responses=documented_problems("no-such-feed", "invalid-parameter", "busy"),
)
async def get_warning_skill(
    context: ContextDep,
    feed: FeedDep,
    window: Annotated[float, Query(gt=0, le=MAX_WINDOW_HOURS, description="Hours up to the newest frame.")] = 168.0,
) -> FeedWarningSkill:
    """Return detections, false alarms, late warnings and errors of the start of rain, of rules on places and areas.

    A warning that is raised while it rains is counted apart. What missing observations leave open is not counted. Of a
    rule with a probability, `suggested_probability` is the limit that would have been best on all that is kept of the
    feed's past.
    """
    return await context.areas.run(warning_skill, context, feed, window)
