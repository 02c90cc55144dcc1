"""The resources that all tasks of one process share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from model.core.catalog import Catalog, open_catalog
from service.feeds.ledger import FeedLedger
from service.feeds.skill.ledger import SkillLedger
from service.jobs.fair_share import FairShare
from service.jobs.ledger import Ledger
from service.jobs.queue import JobQueue
from service.settings import Settings, load_settings
from service.store import ObjectStore
from workers.model_cache import ModelCache


class Limits(NamedTuple):
    """Limits of the files of a job.

    Pixels in all, the reflectivity above which an echo counts as hail (dBZ), and what a read may take: memory (MB of
    2^20 bytes) and processor time (s).
    """

    max_pixels: int
    max_dbz: float
    memory_mb: int
    seconds: int


@dataclass(frozen=True, kw_only=True)
class WorkerContext:
    """Settings, ledger, store, queue, catalog, and the loaded models."""

    settings: Settings
    ledger: Ledger
    feed_ledger: FeedLedger
    skill_ledger: SkillLedger
    fair_share: FairShare
    store: ObjectStore
    queue: JobQueue
    catalog: Catalog
    models: ModelCache

    @property
    def limits(self) -> Limits:
        """The limits of files in the settings."""
        settings = self.settings
        return Limits(settings.max_pixels, settings.max_dbz, settings.read_memory_mb, settings.read_seconds)


def open_context(settings: Settings) -> WorkerContext:
    """Connect to the ledger and the store of these settings."""
    ledger = Ledger(settings.database)
    models = open_catalog(settings.packages_folder)
    return WorkerContext(
        settings=settings,
        ledger=ledger,
        feed_ledger=FeedLedger(ledger),
        skill_ledger=SkillLedger(ledger),
        fair_share=FairShare(ledger),
        store=ObjectStore(settings.store),
        queue=JobQueue(settings, ledger),
        catalog=models,
        models=ModelCache(models, settings),
    )


@lru_cache(maxsize=1)
def process_context() -> WorkerContext:
    """Return the context of this process, from its environment."""
    return open_context(load_settings())
