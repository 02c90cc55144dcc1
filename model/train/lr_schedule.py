"""The learning rate over a run."""

from __future__ import annotations

import math

from model.train.recipe import Optimiser


def learning_rate(settings: Optimiser, iteration: int, progress: float) -> float:
    """The rate of an iteration (from 0), at a progress of the run from 0 to 1."""
    highest, final = settings.learning_rate, settings.final_learning_rate
    if settings.schedule == "constant":
        return highest
    if settings.schedule == "steps":
        return max(final, highest * settings.decay ** int(progress * settings.decay_steps))
    if settings.schedule == "one-cycle":
        if progress < 0.3:
            return _eased(highest / 25, highest, progress / 0.3)
        return _eased(highest, final, (progress - 0.3) / 0.7)
    warm = min(1.0, (iteration + 1) / max(1, settings.warmup_iterations))
    return warm * _eased(highest, final, progress)


def _eased(start: float, end: float, done: float) -> float:
    """From start to end by half a cosine."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
