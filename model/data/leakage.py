"""Which days of an archive weights have seen: their scores there do not tell how good they are elsewhere."""

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
"""How the source of storms that `echocast archive synth` made begins: each seed has a weather of its own."""


class InitialProvenance(TypedDict):
    """Archives as they are kept in JSON (`TrainingArchive`), and a clause on what is not known; '' where all is."""

    archives: list[dict[str, Any]]
    untold: str


SAME_AREA: Final = 0.5
"""Two areas share their weather where they share this much of the smaller one."""


def training_archive(
    archive: Archive, *, train: Archive | None = None, held_out: Archive | None = None
) -> TrainingArchive:
    """What a record keeps of an archive; days are those of its frames, or of the parts of it that are given."""
    return TrainingArchive(
        name=archive.name,
        source=source_of(archive),
        area=area_of(archive),
        days=days_in(train or archive),
        held_out_days=days_in(held_out) if held_out else (),
    )


class Leakage(NamedTuple):
    """Days (YYYY-MM-DD) of an archive, of so many, that weights were trained on, and others on which they were chosen;
    and what is not known of what they have seen."""

    trained: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()
    days: int = 0
    untold: str = ""

    @property
    def any(self) -> bool:
        """Whether scores on this archive flatter."""
        return bool(self.trained or self.chosen)

    def told(self, whose: str = "it") -> str:
        """As a clause; '' where it has seen none."""
        of = f"of these {self.days} days"
        clauses = (
            f"was trained on {len(self.trained)} {of}" if self.trained else "",
            f"was chosen by its scores on {len(self.chosen)} {of}" if self.chosen else "",
        )
        found = " and ".join(filter(None, clauses))
        return f"{whose} {found}" if found else ""


def leakage_of(info: ModelInfo, archive: Archive) -> Leakage:
    """Which days of an archive a model has seen; a baseline learns nothing."""
    if info.folder is None:
        return Leakage(days=len(days_in(archive)))
    return find_leakage(read_manifest(info.folder).training, archive)


def find_leakage(training: Training | None, archive: Archive) -> Leakage:
    """Which days of an archive weights have seen.

    A day is known by the archive's name, by the source of its frames, or by the area they cover: weather that was seen
    by way of another archive was seen all the same. Records of older versions tell name and source only.
    """
    own = days_in(archive)
    if training is None:
        return Leakage(days=len(own), untold="what it was trained on is not told")
    if not training.archives and archive.digest() in training.data_digest.split("+"):
        return Leakage(trained=own, days=len(own))
    here = TrainingArchive(name=archive.name, source=source_of(archive), area=area_of(archive))
    same = [other for other in training_archives(training) if _same(here, other)]
    trained = {day for other in same for day in other.days}
    chosen = {day for other in same for day in other.held_out_days} - trained
    return Leakage(
        trained=tuple(day for day in own if day in trained),
        chosen=tuple(day for day in own if day in chosen),
        days=len(own),
        untold=provenance_gaps_of(training),
    )


def source_of(archive: Archive) -> str:
    """Where its frames are from, with their licence; its name where it does not say."""
    source = archive.attributes.get("source", archive.name)
    licence = archive.attributes.get("licence")
    return f"{source} ({licence})" if licence else source


def days_in(archive: Archive) -> tuple[str, ...]:
    """Days (UTC, YYYY-MM-DD) with frames."""
    return tuple(str(day) for day in np.unique(archive.times.astype("datetime64[D]")))


def area_of(archive: Archive) -> Area | None:
    """West, south, east and north (degrees) of its frames; None of storms that were made up, which lie nowhere."""
    return None if source_of(archive).startswith(SYNTHETIC) else bounds_of(archive.grid)


def bounds_of(grid: Grid) -> Area | None:
    """West, south, east and north (degrees) of a grid; None where its projection does not tell."""
    x, y = (sorted((float(centres[0]), float(centres[-1]))) for centres in (grid.x, grid.y))
    try:
        to_degrees = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
        west, south, east, north = to_degrees.transform_bounds(x[0], y[0], x[1], y[1])
    except ProjError:
        return None
    bounds = (west, south, east + 360 if east < west else east, north)
    return bounds if np.isfinite(bounds).all() else None


def _same(one: TrainingArchive, other: TrainingArchive) -> bool:
    return one.name == other.name or one.source == other.source or _share(one.area, other.area)


def _share(one: Area | None, other: Area | None) -> bool:
    """Whether two areas have most of the smaller one in common, wherever their longitudes are counted from."""
    if one is None or other is None:
        return False
    smaller = min((east - west) * (north - south) for west, south, east, north in (one, other))
    height = min(one[3], other[3]) - max(one[1], other[1])
    widths = (min(one[2], other[2] + turn) - max(one[0], other[0] + turn) for turn in (-360, 0, 360))
    return max(0.0, height) * max(0.0, *widths) >= SAME_AREA * smaller


def training_archives(training: Training) -> tuple[TrainingArchive, ...]:
    """What weights have seen, by archive."""
    return training.archives or tuple(_as_older(training))


def provenance_gaps_of(training: Training) -> str:
    """What is not known of what weights have seen, as a clause; '' where all is."""
    return training.provenance_gaps or initial_provenance(training.recipe)["untold"]


def initial_provenance(recipe: Mapping[str, Any]) -> InitialProvenance:
    """What the weights have seen that a run began with, by the recipe that it keeps."""
    begun = recipe.get("init") or {}
    untold = begun.get("untold", "")
    if begun and "archives" not in begun and not untold:
        untold = f"what the weights of {begun.get('from')} have seen, which it began with, is not told"
    return {"archives": list(begun.get("archives", ())), "untold": untold}


def _as_older(training: Training) -> Iterator[TrainingArchive]:
    """What a record without `archives` tells: days as NAME YYYY-MM-DD, and sources."""
    by_name: dict[str, tuple[list[str], list[str]]] = {}
    for part, labels in enumerate((training.days, training.held_out_days)):
        for label in labels:
            name, _, day = label.rpartition(" ")
            by_name.setdefault(name, ([], []))[part].append(day)
    for name, (days, held_out) in by_name.items():
        yield TrainingArchive(name=name, source="", days=tuple(days), held_out_days=tuple(held_out))
    trained, chosen = ([day for parts in by_name.values() for day in parts[part]] for part in (0, 1))
    for source in training.sources:
        yield TrainingArchive(name="", source=source, days=tuple(trained), held_out_days=tuple(chosen))


def shared_frames(archive: Archive, others: Iterable[Archive]) -> int:
    """How many frames of an archive with rain in them also lie in one of the others, whatever those are called."""
    own, theirs = _frames(archive), {frame for other in others for frame in _frames(other)}
    both = sorted(time for time, digest in own if (time, digest) in theirs)
    return sum(bool(archive.read_pixels(np.datetime64(time))[0].any()) for time in both)


def _frames(archive: Archive) -> set[tuple[str, str]]:
    """Valid time and SHA-256 of each frame."""
    known = Checksums(archive.root).by_name
    paths = {str(time): frame_path(archive.root, time) for time in archive.times}
    return {
        (time, known.get(path.relative_to(archive.root).as_posix()) or sha256_hex(path.read_bytes()))
        for time, path in paths.items()
    }
