"""Overlap of an archive with the data that a model was trained on: scores on those days are too good."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypedDict

import numpy as np
from pyproj import Transformer
from pyproj.exceptions import ProjError

from model.core.grid import Grid
from model.core.manifest import Area, Training, TrainingArchive, read_manifest
from model.core.model_info import ModelInfo
from model.data.archive import Archive
from model.data.archive_paths import frame_path
from model.data.checksums import Checksums, sha256_hex

SYNTHETIC: Final = "Echocast synthetic storms"
"""Prefix of the source of storms from `echocast archive synth`: each seed has its own weather, at no real place."""
SAME_AREA: Final = 0.5
"""Two areas share their weather if they have this fraction of the smaller one in common."""


class InitialProvenance(TypedDict):
    """Provenance of the weights that a training started from, as in JSON.

    `archives`: as in `TrainingArchive`. `provenance_gaps`: a clause on what is unknown, or ''.
    """

    archives: list[dict[str, Any]]
    provenance_gaps: str


class Leakage(NamedTuple):
    """Days (YYYY-MM-DD) of an archive that influenced the weights of a model.

    `trained`: days in the training data. `selected`: other days whose scores selected the checkpoint. `days`: number
    of days of the archive. `provenance_gaps`: a clause on what is unknown about the training data, or ''.
    """

    trained: tuple[str, ...] = ()
    selected: tuple[str, ...] = ()
    days: int = 0
    provenance_gaps: str = ""

    @property
    def found(self) -> bool:
        """Whether scores on the archive are too good."""
        return bool(self.trained or self.selected)

    def describe(self, subject: str = "it") -> str:
        """Return a clause like `it was trained on 2 of these 5 days`; '' without leakage."""
        of = f"of these {self.days} days"
        clauses = (
            f"was trained on {len(self.trained)} {of}" if self.trained else "",
            f"was selected by its scores on {len(self.selected)} {of}" if self.selected else "",
        )
        text = " and ".join(filter(None, clauses))
        return f"{subject} {text}" if text else ""


def training_archive(
    archive: Archive, *, train: Archive | None = None, held_out: Archive | None = None
) -> TrainingArchive:
    """Return the record of an archive in a training; its days are those of the frames of `train` and `held_out`."""
    return TrainingArchive(
        name=archive.name,
        source=source_of(archive),
        area=area_of(archive),
        days=days_in(train or archive),
        held_out_days=days_in(held_out) if held_out else (),
    )


def leakage_of(info: ModelInfo, archive: Archive) -> Leakage:
    """Return the days of an archive that influenced a model; baselines have no training."""
    if info.folder is None:
        return Leakage(days=len(days_in(archive)))
    return find_leakage(read_manifest(info.folder).training, archive)


def find_leakage(training: Training | None, archive: Archive) -> Leakage:
    """Return the days of an archive that influenced the weights of a training.

    A day matches if the archives have the same name, the same source, or share their area: the weather of a day is
    the same in an archive of another radar nearby. Records of older versions have name and source only.
    """
    own = days_in(archive)
    if training is None:
        return Leakage(days=len(own), provenance_gaps="the training data is not recorded")
    if not training.archives and archive.digest() in training.data_digest.split("+"):
        return Leakage(trained=own, days=len(own))
    record = TrainingArchive(name=archive.name, source=source_of(archive), area=area_of(archive))
    same = [other for other in training_archives(training) if _overlap(record, other)]
    trained = {day for other in same for day in other.days}
    selected = {day for other in same for day in other.held_out_days} - trained
    return Leakage(
        trained=tuple(day for day in own if day in trained),
        selected=tuple(day for day in own if day in selected),
        days=len(own),
        provenance_gaps=provenance_gaps_of(training),
    )


def source_of(archive: Archive) -> str:
    """Return the source of an archive with its licence; the archive's name if it has no source."""
    source = archive.attributes.get("source", archive.name)
    licence = archive.attributes.get("licence")
    return f"{source} ({licence})" if licence else source


def days_in(archive: Archive) -> tuple[str, ...]:
    """Return the days (UTC, YYYY-MM-DD) with frames."""
    return tuple(str(day) for day in np.unique(archive.times.astype("datetime64[D]")))


def area_of(archive: Archive) -> Area | None:
    """Return west, south, east and north (degrees) of an archive; None for synthetic storms."""
    return None if source_of(archive).startswith(SYNTHETIC) else geographic_bounds(archive.grid)


def geographic_bounds(grid: Grid) -> Area | None:
    """Return west, south, east and north (degrees) of a grid; None if its projection has no geographic coordinates.

    East is above 180 for a grid across the date line.
    """
    x, y = (sorted((float(centres[0]), float(centres[-1]))) for centres in (grid.x, grid.y))
    try:
        to_degrees = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
        west, south, east, north = to_degrees.transform_bounds(x[0], y[0], x[1], y[1])
    except ProjError:
        return None
    bounds = (west, south, east + 360 if east < west else east, north)
    return bounds if np.isfinite(bounds).all() else None


def training_archives(training: Training) -> tuple[TrainingArchive, ...]:
    """Return the archives of a training, also from a record of an older version."""
    return training.archives or tuple(_older_archives(training))


def provenance_gaps_of(training: Training) -> str:
    """Return a clause on what is unknown about the data of a training; '' if all is known."""
    return training.provenance_gaps or initial_provenance(training.recipe)["provenance_gaps"]


def initial_provenance(recipe: Mapping[str, Any]) -> InitialProvenance:
    """Return the provenance of the weights that a training started from, from the recipe of its run."""
    init = recipe.get("init") or {}
    gaps = init.get("provenance_gaps", "")
    if init and "archives" not in init and not gaps:
        gaps = f"the training data of {init.get('from')}, whose weights it started from, is not recorded"
    return {"archives": list(init.get("archives", ())), "provenance_gaps": gaps}


def shared_frames(archive: Archive, others: Iterable[Archive]) -> int:
    """Return the number of frames with rain that are also in one of the other archives, whatever their names."""
    own, in_others = _frames(archive), {frame for other in others for frame in _frames(other)}
    shared = sorted(time for time, digest in own if (time, digest) in in_others)
    return sum(bool(archive.read_pixels(np.datetime64(time))[0].any()) for time in shared)


def _overlap(one: TrainingArchive, other: TrainingArchive) -> bool:
    return one.name == other.name or one.source == other.source or _share_area(one.area, other.area)


def _share_area(one: Area | None, other: Area | None) -> bool:
    """Return whether two areas have most of the smaller one in common, for longitudes from -180 or from 0."""
    if one is None or other is None:
        return False
    smaller = min((east - west) * (north - south) for west, south, east, north in (one, other))
    height = min(one[3], other[3]) - max(one[1], other[1])
    widths = (min(one[2], other[2] + turn) - max(one[0], other[0] + turn) for turn in (-360, 0, 360))
    return max(0.0, height) * max(0.0, *widths) >= SAME_AREA * smaller


def _older_archives(training: Training) -> Iterator[TrainingArchive]:
    """Yield archives from a record without `archives`: from days as NAME YYYY-MM-DD, and from sources."""
    by_name: dict[str, tuple[list[str], list[str]]] = {}
    for part, labels in enumerate((training.days, training.held_out_days)):
        for label in labels:
            name, _, day = label.rpartition(" ")
            by_name.setdefault(name, ([], []))[part].append(day)
    for name, (days, held_out) in by_name.items():
        yield TrainingArchive(name=name, source="", days=tuple(days), held_out_days=tuple(held_out))
    trained, held_out = ([day for parts in by_name.values() for day in parts[part]] for part in (0, 1))
    for source in training.sources:
        yield TrainingArchive(name="", source=source, days=tuple(trained), held_out_days=tuple(held_out))


def _frames(archive: Archive) -> set[tuple[str, str]]:
    """Return valid time and SHA-256 of each frame."""
    checksums = Checksums(archive.root).by_name
    paths = {str(time): frame_path(archive.root, time) for time in archive.times}
    return {
        (time, checksums.get(path.relative_to(archive.root).as_posix()) or sha256_hex(path.read_bytes()))
        for time, path in paths.items()
    }
