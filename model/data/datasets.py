"""Where training windows come from: a radar archive, a data set that the papers compare on, or one's own frames."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from model.core.errors import InputError, NoData, TooFewFrames
from model.core.limits import check_limits
from model.core.manifest import DataKind
from model.data.archive import Archive
from model.data.frame_cache import FrameCache
from model.data.frame_stacks import FrameStackDataset, StackOptions
from model.data.kth import KTH
from model.data.leakage import training_archive
from model.data.moving_mnist import open_moving_mnist
from model.data.region_sampler import ReadFields, RegionSampler, batches
from model.data.taxibj import TaxiBJ
from model.data.windows import Provenance as Provenance
from model.data.windows import Window, WindowConfig
from model.runtime.fields import fields_for

OF_ARCHIVES: Final = ("windows", "holdout", "selection_thresholds_mm_h", "fields")
"""Settings of a recipe that are for radar archives."""

log = logging.getLogger(__name__)

DATA_SETS: Final = ("moving-mnist", "kth", "taxibj", "frames")


class WindowDataset(Protocol):
    """Windows to train on, and windows that training never sees. All have `channels` channels."""

    @property
    def channels(self) -> int:
        """Of a frame."""

    @property
    def kind(self) -> DataKind:
        """What they are: forecasts of rain are scored by CSI, those of other frames by MSE, MAE, SSIM and PSNR."""

    def training(self, rng: np.random.Generator, batch: int) -> Iterator[list[Window]]:
        """Endless batches of `batch` windows, by `rng` alone: the loop asks anew for each, with an rng of its own."""

    def held_out(self, seed: int, batch: int, count: int) -> list[list[Window]]:
        """About `count` windows, or all there are, in batches of at most `batch`: the same for the same seed."""

    def provenance(self) -> Provenance:
        """What the windows are made of."""


@dataclass(frozen=True, kw_only=True)
class Holdout:
    """What training never sees of an archive that has no split: its last `time_fraction`, or, where the archive is
    shorter than `short_minutes`, its eastern `column_fraction` instead."""

    time_fraction: float = 0.25
    short_minutes: float = 120.0
    column_fraction: float = 0.2

    def __post_init__(self) -> None:
        check_limits(self, "time_fraction", "column_fraction", gt=0, le=0.9)
        check_limits(self, "short_minutes", ge=0, le=1e9)


class RadarDataset:
    """Windows of radar archives, each of one archive and one time step, and exogenous `fields` by name beside them.

    An archive that is split (`echocast archive split`) trains on its days of `train` and holds out those of `valid`;
    those of `test` are never seen. Without a split, `holdout` says what is held out.

    `cache_folder` keeps the decoded frames. `fields_folder`: where fields lie that come from files. Windows are turned
    and mirrored at random, and each field with them, as a scalar. Components of a vector, such as wind to the east and
    to the north, would have to be turned into each other, and that cannot be switched off: give its length instead.

    An archive whose frames are too few for a window, to train on or to hold out, is left out and named, if there are
    others. `archives`: those that are left.

    Raises
    ------
    TooFewFrames
        No archive has enough frames.
    InputError
        Fields are asked for in Lagrangian windows.
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
    ) -> None:
        read_fields = partial(fields_for, fields, folder=fields_folder) if fields else None
        self.archives: list[Archive] = []
        self.train_regions: list[RegionSampler] = []
        self.held_out_regions: list[RegionSampler] = []
        refused: list[TooFewFrames] = []
        for archive in archives:
            try:
                train, held = _regions(FrameCache(archive, cache_folder), config, holdout, read_fields)
            except TooFewFrames as error:
                refused.append(error)
                continue
            self.archives.append(archive)
            self.train_regions.append(train)
            self.held_out_regions.append(held)
        if not self.archives:
            raise refused[0]
        for refusal in refused:
            log.warning("echocast: an archive is left out: %s", refusal)

    def training(self, rng: np.random.Generator, batch: int) -> Iterator[list[Window]]:
        """Endless batches, each archive as often as any other."""
        return batches(self.train_regions, [1.0] * len(self.train_regions), batch, rng)

    def held_out(self, seed: int, batch: int, count: int) -> list[list[Window]]:
        """At least `count` windows in full batches, in equal parts from each archive."""
        rng = np.random.default_rng(seed)
        per_region = max(1, math.ceil(count / len(self.held_out_regions) / batch))
        chosen = []
        barren: list[NoData] = []
        for region in self.held_out_regions:
            steps = list(region.runs)
            try:
                for index in range(per_region):
                    first = index % len(steps)
                    chosen.append(region.batch(rng, batch, steps[first:] + steps[:first]))
            except NoData as error:
                barren.append(error)
        if not chosen:
            raise barren[0]
        for refusal in barren:
            log.warning("echocast: an archive is not validated on: %s", refusal)
        return chosen

    def provenance(self) -> Provenance:
        """Digests of the archives, joined by `+`; days with frames, as `ARCHIVE YYYY-MM-DD`.

        Of a split archive, days are those of `train`, and held-out days those of `valid`.
        """
        seen = [
            training_archive(archive, train=archive.only("train"), held_out=archive.only("valid"))
            if archive.parts()
            else training_archive(archive)
            for archive in self.archives
        ]
        return Provenance(
            digest="+".join(archive.digest() for archive in self.archives),
            days=tuple(sorted({f"{each.name} {day}" for each in seen for day in each.days})),
            sources=tuple(each.source for each in seen),
            held_out_days=tuple(sorted({f"{each.name} {day}" for each in seen for day in each.held_out_days})),
            archives=tuple(seen),
        )


def open_dataset(
    text: str,
    *,
    cache_folder: Path,
    context: int | None = None,
    leads: int | None = None,
    channels: int | None = None,
    multiple: int = 1,
    holdout: float = 0.25,
) -> WindowDataset:
    """The data set that `moving-mnist`, `moving-mnist:PATH`, `kth:DIR`, `taxibj:PATH` or `frames:PATH` names; see
    docs/datasets.md.

    `context`, `leads`: frames in, and out in training, where they are not those of the papers (10 and 10; for TaxiBJ 4
    and 4). Held-out windows have as many, but those of KTH always 20 out. `cache_folder` keeps decoded videos.
    `channels`, `multiple`, `holdout`: of frames of one's own, see `FrameStackDataset`.

    Raises
    ------
    InputError
        There is no such data set, its files are not there, or they hold something else.
    """
    name, _, path = text.partition(":")
    if name == "moving-mnist" and (path or text == name):
        return open_moving_mnist(Path(path) if path else None, context=context or 10, leads=leads or 10)
    if name == "kth" and path:
        return KTH(Path(path), cache_folder, context=context or 10, leads=leads or 10)
    if name == "taxibj" and path:
        return TaxiBJ(Path(path), context=context or 4, leads=leads or 4)
    if name == "frames" and path:
        named, options = StackOptions.parsed(path)
        return FrameStackDataset(
            Path(named),
            options,
            cache_folder,
            context=context or 10,
            leads=leads or 10,
            channels=channels,
            multiple=multiple,
            holdout=holdout,
        )
    raise InputError(
        f"no data set is called {text!r}" if name not in DATA_SETS else "a data set is named with its files",
        where="--data",
        hint="Write moving-mnist, moving-mnist:PATH, kth:DIR, taxibj:PATH or frames:PATH",
    )


def check_used(data: str, settings: Sequence[str]) -> None:
    """Whether a data set makes use of the settings, `PATH=VALUE` each, that are given of a recipe.

    Raises
    ------
    InputError
        It does not: they are of radar archives.
    """
    name = data.partition(":")[0]
    used = {"windows.context", "windows.leads", *(["holdout.time_fraction"] if name == "frames" else [])}
    for setting in settings:
        field = setting.partition("=")[0].strip()
        if field in used or field.partition(".")[0] not in OF_ARCHIVES:
            continue
        hint = "Leave it out"
        if field == "windows.crop" and name == "frames":
            hint = f"Write it into --data: {data},crop={setting.partition('=')[2]}"
        elif field == "windows.step_minutes" and name == "frames":
            hint = f"Write it into --data: {data},step={setting.partition('=')[2]}"
        raise InputError(
            f"it is of windows of radar archives: --data {name} does nothing with it", where=f"--set {field}", hint=hint
        )


def _regions(
    cache: FrameCache, config: WindowConfig, holdout: Holdout, read_fields: ReadFields | None
) -> tuple[RegionSampler, RegionSampler]:
    """What of an archive is trained on and what is held out.

    Raises
    ------
    TooFewFrames
        Its frames are too few; names the archive, and what to set.
    """
    archive, least = cache.archive, config.context + config.min_leads
    shorter = "or ask for shorter windows: --set windows.context, --set windows.min_leads"
    if len(archive.times) < least:
        what = f"{len(archive.times)} frames, the recipe wants at least {least}"
        raise TooFewFrames(what, where=str(archive.root), hint=f"Import more frames, {shorter}")
    train, held = _parts(cache, holdout)
    part = "train on"
    try:
        to_train = RegionSampler(cache, config, read_fields=read_fields, **train)
        part = "hold out"
        return to_train, RegionSampler(cache, replace(config, scale_db=0.0), read_fields=read_fields, **held)
    except TooFewFrames as error:
        if "times" in held and not archive.parts():
            minutes = math.floor(float(cache.minutes[-1])) + 1
            shorter = f"hold out its east instead of its end, --set holdout.short_minutes={minutes}, {shorter}"
        what = f"{error.what}, to {part}"
        raise TooFewFrames(what, where=str(archive.root), hint=f"Import more frames, {shorter}") from None


def _parts(cache: FrameCache, holdout: Holdout) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of an archive to train on and what to hold out, as arguments of RegionSampler."""
    if cache.archive.parts():
        return {"times": cache.archive.only("train").times}, {"times": cache.archive.only("valid").times}
    length = float(cache.minutes[-1])
    if length < holdout.short_minutes:
        width = cache.grid.shape[1]
        border = round(width * (1 - holdout.column_fraction))
        return {"columns": (0, border)}, {"columns": (border, width)}
    late = cache.minutes >= length * (1 - holdout.time_fraction)
    return {"times": cache.times[~late]}, {"times": cache.times[late]}
