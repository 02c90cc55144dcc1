"""Archives for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from model.data.archive_writer import ArchiveWriter
from model.data.synthetic_storms import synthesise


def storm_archive(folder: Path, source: str = "synthetic", **settings: Any) -> Path:
    """Write an archive of synthetic storms; `settings` are those of `synthesise`. Return its folder."""
    storms = synthesise(**settings)
    with ArchiveWriter(folder, storms.grid, settings["step_minutes"], {"source": source}) as writer:
        for time, rain in zip(storms.times, storms.rain_rate, strict=True):
            writer.append(time, rain)
    return folder
