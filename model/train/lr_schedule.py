"""The learning-rate schedule of a training run."""

from __future__ import annotations

import math

from model.train.recipe import Optimiser


def learning_rate(settings: Optimiser, iteration: int, progress: float) -> float:
    """Return the learning rate of one iteration.

    Parameters
    ----------
    settings : Optimiser
        The schedule and its learning rates.
    iteration : int
        Number of the iteration, from 0; only the warm-up of the cosine schedule depends on it.
    progress : float
        Progress of the run, from 0 to 1: a shorter run goes through the whole schedule.

    Returns
    -------
    float
        The learning rate.
    """
    peak, final = settings.learning_rate, settings.final_learning_rate
    match settings.schedule:
        case "constant":
            return peak
        case "steps":
            return max(final, peak * settings.decay ** int(progress * settings.decay_steps))
        case "one-cycle":  # Smith and Topin 2018, arXiv 1708.07120; the constants are those of torch's OneCycleLR
            if progress < 0.3:
                return _cosine(peak / 25, peak, progress / 0.3)
            return _cosine(peak, final, (progress - 0.3) / 0.7)
        case "cosine":
            warm_up = min(1.0, (iteration + 1) / max(1, settings.warmup_iterations))
            return warm_up * _cosine(peak, final, progress)


def _cosine(start: float, end: float, fraction: float) -> float:
    """Go from start to end along half a cosine (SGDR, Loshchilov and Hutter 2017, arXiv 1608.03983)."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))
