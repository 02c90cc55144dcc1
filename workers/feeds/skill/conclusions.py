"""What follows from the scores of a feed's newest forecasts: a sentence, a recalibration, and which model is to run."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

import numpy as np

from model.core.errors import BadPackage, UnknownModel
from service.feeds.config import Feed
from service.feeds.skill import recalibration
from service.feeds.skill.comparison import baselines_beside, scores_of
from service.feeds.skill.scores import WindowScores
from workers.context import WorkerContext
from workers.feeds.skill.challengers import challengers_of

WINDOW: Final = timedelta(hours=24)
REFIT: Final = timedelta(hours=1)
"""How often a recalibration is fitted, by the valid times of frames."""

SHOWN_LEAD_MINUTES: Final = 30.0
SHOWN_THRESHOLD_MM_H: Final = 0.5
"""What the sentence tells of, or what is nearest to it: rain, half an hour ahead."""

log = logging.getLogger(__name__)


def conclude(feed: Feed, context: WorkerContext) -> None:
    """Record what follows for each model that was scored within the last day."""
    ledger = context.skill_ledger
    newest = ledger.newest_scored(feed.name)
    if newest is None:
        return
    scored, known = ledger.models(feed.name, newest - WINDOW), ledger.skill(feed.name)
    for model in scored:
        scores = scores_of(ledger, feed.name, baselines_beside(model, scored), WINDOW)
        text, csi = sentence(scores, model)
        values: dict[str, object] = {"sentence": text, "csi": csi}
        fitted = known[model].calibrated if model in known else None
        if not feed.recalibrate:
            values |= {"calibration": None, "calibrated": None}
        elif fitted is None or newest - fitted >= REFIT:
            found = recalibration.fit(ledger, feed.name, model)
            values |= {"calibration": None if found is None else found.model_dump(mode="json"), "calibrated": newest}
        ledger.record_skill(feed.name, model, values)
    prefer(feed, context)


def sentence(scores: WindowScores, model: str) -> tuple[str, float | None]:
    """Return the skill of a model in one sentence, beside the baselines of the window, and the CSI that it tells."""
    window = scores.window
    if scores.shortage:
        return f"not known: {scores.shortage}", None
    threshold = min(scores.known_thresholds, key=lambda each: abs(each - SHOWN_THRESHOLD_MM_H))
    row = window.thresholds_mm_h.index(threshold)
    lead = int(np.argmin(np.abs(np.asarray(window.lead_minutes) - SHOWN_LEAD_MINUTES)))
    found = scores.interval("csi", model).at(row, lead)
    beside = [
        f"{other.partition('@')[0]} {scores.interval('csi', other).at(row, lead).value:.2f}"
        for other in window.models
        if other != model
    ]
    first = f"{found.value:.2f} (95 % interval {found.low:.2f} to {found.high:.2f})"
    what = f"CSI at {threshold:g} mm/h after {window.lead_minutes[lead]:g} min, last 24 h"
    text = f"{what}: {', '.join([first, *beside])}; {window.frames} frames"
    return text, found.value if np.isfinite(found.value) else None


def prefer(feed: Feed, context: WorkerContext) -> None:
    """Record which challenger is to run in the place of the feed's model, if the operator asks for it.

    A challenger is preferred where its CSI, mean over thresholds and leads, is higher than that of the feed's model and
    the paired interval says so; of several the one with the highest. It stays preferred until that is over.
    """
    ledger, best, reason = context.skill_ledger, None, ""
    if feed.fall_back is not None:
        try:
            own = context.catalog.find(feed.model).reference
        except (UnknownModel, BadPackage):
            own = ""
        highest = -np.inf
        for info in challengers_of(feed, context.catalog).values():
            if not own or info.reference == own:
                continue
            scores = scores_of(ledger, feed.name, (info.reference, own), WINDOW)
            if scores.shortage:
                continue
            found = scores.mean_csi_difference(info.reference, own)
            if found.low > 0 and found.value > highest:
                highest, best = found.value, info.reference
                higher = f"its CSI was higher by {found.value:.2f} (at least {found.low:.2f})"
                frames = f"in {scores.window.frames} frames of the last 24 h"
                reason = f"{info.reference} runs in the place of {own}: {higher} {frames}"
    for skill in ledger.skill(feed.name).values():
        if skill.preferred != (skill.model == best) or (skill.preferred and skill.reason != reason):
            log.warning("feed %s: %s", feed.name, reason or f"{skill.model} is not preferred any more")
            values = {"preferred": skill.model == best, "reason": reason if skill.model == best else ""}
            ledger.record_skill(feed.name, skill.model, values)
