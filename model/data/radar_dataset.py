"""Training windows of radar archives."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from model.core.errors import NoData, TooFewFrames
from model.core.limits import check_limits
from model.core.manifest import DataKind
from model.data.archive import Archive
from model.data.frame_cache import FrameCache
from model.data.leakage import training_archive
from model.data.region_sampler import ReadFields, RegionSampler, sample_batches
from model.data.windows import Provenance, Window, WindowConfig
from model.runtime.exogenous_fields import fields_for

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Holdout:
    """The part of an archive without a split that is held out from training.

    `time_fraction`: fraction at the end. `short_minutes`: archives that are shorter hold out their eastern
    `column_fraction` instead.
    """

    time_fraction: float = 0.25
    short_minutes: float = 120.0
    column_fraction: float = 0.2

    def __post_init__(self) -> None:
        check_limits(self, "time_fraction", "column_fraction", gt=0, le=0.9)
        check_limits(self, "short_minutes", ge=0, le=1e9)


class RadarDataset:
    """A data set of windows of radar archives; see `model.data.datasets.WindowDataset`.

    An archive with a split (`echocast archive split`) trains on its days of `train` and holds out those of `valid`;
    days of `test` are never read. Archives with too few frames for a window are left out with a warning.

    Windows are rotated and flipped at random, and exogenous fields with them, as scalars. Components of a vector, such
    as eastward and northward wind, would have to be rotated into each other: use the speed instead.

    `archives`: the archives with enough frames.

    Parameters
    ----------
    archives
        Radar archives.
    config
        How windows are drawn.
    holdout
        What archives without a split hold out.
    cache_folder
        Folder of the decoded frames.
    fields
        Names of exogenous fields.
    fields_folder
        Folder of the files of exogenous fields.
    weights
        How often each archive is drawn, relative to the others; empty: equally often. Archives of one weather situation
        should share the weight of one.

    Raises
    ------
    TooFewFrames
        No archive has enough frames.
    InputError
        Lagrangian windows cannot have exogenous fields.
    """

    channels = 1
    kind: DataKind = "rain"

    def __init__(
        self,
        archives: Sequence[Archive],
        config: WindowConfig,
        holdout: Holdout,
        cache_folder: Path,
        *,
        fields: tuple[str, ...] = (),
        fields_folder: Path | None = None,
        weights: Sequence[float] = (),
    ) -> None:
        read_fields = partial(fields_for, fields, folder=fields_folder) if fields else None
        self.archives: list[Archive] = []
        self.train_regions: list[RegionSampler] = []
        self.held_out_regions: list[RegionSampler] = []
        self.weights: list[float] = []
        errors: list[TooFewFrames] = []
        for archive, weight in zip(archives, weights or [1.0] * len(archives), strict=True):
            try:
                train, held_out = _make_samplers(FrameCache(archive, cache_folder), config, holdout, read_fields)
            except TooFewFrames as error:
                errors.append(error)
                continue
            self.archives.append(archive)
            self.weights.append(weight)
            self.train_regions.append(train)
            self.held_out_regions.append(held_out)
        if not self.archives:
            raise errors[0]
        for reason in errors:
            log.warning("echocast: an archive is left out: %s", reason)

    def training(self, rng: np.random.Generator, batch: int) -> Iterator[list[Window]]:
        """Yield batches without end; an archive is as likely as its weight says."""
        return sample_batches(self.train_regions, self.weights, batch, rng)

    def held_out(self, seed: int, batch: int, count: int) -> list[list[Window]]:
        """Return at least `count` windows in full batches, equally many from each archive.

        Raises
        ------
        NoData
            No archive has a held-out window with data.
        """
        rng = np.random.default_rng(seed)
        batches_per_region = max(1, math.ceil(count / len(self.held_out_regions) / batch))
        batches = []
        errors: list[NoData] = []
        for region in self.held_out_regions:
            steps = list(region.runs)
            try:
                for index in range(batches_per_region):
                    first = index % len(steps)
                    batches.append(region.batch(rng, batch, steps[first:] + steps[:first]))
            except NoData as error:
                errors.append(error)
        if not batches:
            raise errors[0]
        for reason in errors:
            log.warning("echocast: an archive is left out of the validation: %s", reason)
        return batches

    def provenance(self) -> Provenance:
        """Return the digests of the archives, joined by `+`, and their days with frames, as `ARCHIVE YYYY-MM-DD`.

        In an archive with a split, days are those of `train`, and held-out days those of `valid`.
        """
        records = [
            training_archive(archive, train=archive.only("train"), held_out=archive.only("valid"))
            if archive.parts()
            else training_archive(archive)
            for archive in self.archives
        ]
        return Provenance(
            digest="+".join(archive.digest() for archive in self.archives),
            days=tuple(sorted({f"{record.name} {day}" for record in records for day in record.days})),
            sources=tuple(record.source for record in records),
            held_out_days=tuple(sorted({f"{record.name} {day}" for record in records for day in record.held_out_days})),
            archives=tuple(records),
        )


def _make_samplers(
    cache: FrameCache, config: WindowConfig, holdout: Holdout, read_fields: ReadFields | None
) -> tuple[RegionSampler, RegionSampler]:
    """Return the samplers of the training region and of the held-out region of an archive.

    Raises
    ------
    TooFewFrames
        The archive has too few frames.
    """
    archive, required = cache.archive, config.context + config.min_leads
    shorter = "or use shorter windows: --set windows.context, --set windows.min_leads"
    if len(archive.times) < required:
        problem = f"{len(archive.times)} frames, the recipe needs at least {required}"
        raise TooFewFrames(problem, where=str(archive.root), hint=f"Import more frames, {shorter}")
    train, held_out = holdout_regions(archive, holdout)
    purpose = "train on"
    try:
        training_sampler = RegionSampler(cache, config, read_fields=read_fields, **train)
        purpose = "hold out"
        # Held-out windows are as observed, but for outages, so that validation scores do not depend on random factors.
        as_observed = replace(
            config,
            scale_db=0.0,
            exponent_spread=0.0,
            reverse_chance=0.0,
            accumulate_chance=0.0,
            quantise_chance=0.0,
        )
        return training_sampler, RegionSampler(cache, as_observed, read_fields=read_fields, **held_out)
    except TooFewFrames as error:
        if "times" in held_out and not archive.parts():
            minutes = math.floor(float(cache.minutes[-1])) + 1
            shorter = f"hold out the east instead of the end, --set holdout.short_minutes={minutes}, {shorter}"
        problem = f"{error.what}, to {purpose}"
        raise TooFewFrames(problem, where=str(archive.root), hint=f"Import more frames, {shorter}") from None


def holdout_regions(archive: Archive, holdout: Holdout) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the training region and the held-out region of an archive: its `times`, or its `columns`."""
    if archive.parts():
        return {"times": archive.only("train").times}, {"times": archive.only("valid").times}
    minutes = (archive.times - archive.times[:1]).astype("timedelta64[s]").astype(np.int64) / 60.0
    length = float(minutes[-1])
    if length < holdout.short_minutes:
        width = archive.grid.shape[1]
        border = round(width * (1 - holdout.column_fraction))
        return {"columns": (0, border)}, {"columns": (border, width)}
    late = minutes >= length * (1 - holdout.time_fraction)
    return {"times": archive.times[~late]}, {"times": archive.times[late]}
