"""A long nowcast gives way: small ones run in its place between its lead steps, and so between the tiles of a domain.

The forecast waits in memory as it is, since a predictor computes one event when it is asked for it. So a single worker
is as fair to small nowcasts as several are, and none is reserved for them.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection
from typing import Final

from model.core.errors import DeviceLost
from service.jobs.job import Job
from workers.context import WorkerContext
from workers.nowcast_job import NowcastJob

SMALL_SHARE: Final = 0.25
"""A nowcast is small beside one that is expected to cost four times as much."""

CHECK_SECONDS: Final = 0.25
"""Shortest interval at which the ledger is asked for small nowcasts."""

GIVE_WAY_SHARE: Final = 0.5
"""Share of its time limit after which a nowcast gives way no more, so that what remains is its own."""

IN_PLACE_SECONDS: Final = 30.0
"""A nowcast that takes longer in the place of another is stopped, and runs by itself later."""

log = logging.getLogger(__name__)


class GiveWay:
    """Runs small nowcasts between the steps of a batch, for at most as long as the batch itself has run.

    Parameters
    ----------
    run : callable
        Runs a claimed job, which may cost so many seconds, within a time limit (s).
    """

    def __init__(self, context: WorkerContext, run: Callable[[Job, float, float], None]) -> None:
        self._context = context
        self._run = run
        self._started = self._checked = time.monotonic()
        self._given = 0.0
        self._tried: list[str] = []

    @property
    def gave_way(self) -> bool:
        """Whether others had some of the batch's time."""
        return bool(self._tried)

    def between_steps(self, running: Collection[NowcastJob]) -> None:
        """Run a small nowcast if one waits and its turn has come; an error of it leaves the batch as it is.

        Raises
        ------
        DeviceLost
            The device stopped responding.
        Interrupted
            The time limit of the batch is over.
        """
        now, limit = time.monotonic(), self._context.settings.job_time_limit_seconds
        ran = now - self._started - self._given
        if now - self._checked < CHECK_SECONDS or self._given > ran or now - self._started > GIVE_WAY_SHARE * limit:
            return
        self._checked = now
        jobs = [nowcast.job for nowcast in running]
        seconds = SMALL_SHARE * max((job.cost_seconds for job in jobs), default=0.0)
        if all(job.kind == "challenger" for job in jobs):  # gives way to every other nowcast
            seconds = math.inf
        try:
            lease_seconds = self._context.settings.lease_seconds
            job = self._context.fair_share.claim_small(seconds, lease_seconds, besides=self._tried)
            if job is not None:
                self._tried.append(job.id)
                log.info("job %s: runs in the place of %s", job.id, ", ".join(each.job.id for each in running))
                self._run(job, seconds, min(IN_PLACE_SECONDS, limit * (1 - GIVE_WAY_SHARE) / 2))
        except DeviceLost:
            raise
        except Exception:
            log.exception("no small nowcast could be run")
        finally:
            self._given += time.monotonic() - now
