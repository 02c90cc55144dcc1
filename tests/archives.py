"""Archives for tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from model.data.archive_writer import ArchiveWriter
from model.data.synthetic_storms import frontal, synthesise

HEAVY_FRONTS: Final = replace(frontal(), band_rain_rate=6.0, cells_per_hour_per_10000_km2=40.0, cell_peak=(20.0, 60.0))
"""Weather with enough rain at all scored thresholds."""


def storm_archive(folder: Path, source: str = "synthetic", **settings: Any) -> Path:
    """Write an archive of synthetic storms; `settings` are those of `synthesise`. Return its folder."""
    storms = synthesise(**settings)
    with ArchiveWriter(folder, storms.grid, settings["step_minutes"], {"source": source}) as writer:
        for time, rain in zip(storms.times, storms.rain_rate, strict=True):
            writer.append(time, rain)
    return folder
