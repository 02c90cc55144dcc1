"""The report of `archive info`: facts of an archive, gaps, wet fraction, and the histogram as a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from model.core.atomic import translate_write_errors
from model.core.errors import InputError
from model.core.extras import optional_imports
from model.data.archive import RAIN_OF_PIXEL, Archive
from model.data.pixel_statistics import NO_DATA, PixelCounts, find_gaps, wet_fraction
from model.data.split import PARTS, Block, Days, among

THRESHOLDS_MM_H: Final = (0.5, 2.0, 5.0, 10.0, 30.0)
"""Thresholds of the HKO-7 benchmark."""
MAX_GAPS_SHOWN: Final = 5


def archive_facts(archive: Archive) -> dict[str, Any]:
    """Return the facts that need no reading of frames, as JSON."""
    times = archive.times
    dy, dx = archive.grid.pixel_size_m
    gaps = list(find_gaps(archive))
    parts = archive.parts()
    return {
        "source": archive.attributes.get("source"),
        "licence": archive.attributes.get("licence"),
        "frames": int(times.size),
        "days": int(np.unique(times.astype("datetime64[D]")).size),
        "first": f"{times[0]}Z" if times.size else None,
        "last": f"{times[-1]}Z" if times.size else None,
        "step_minutes": archive.step_minutes,
        "missing_frames": sum(gap.frames for gap in gaps),
        "gaps": [{"after": f"{gap.after}Z", "before": f"{gap.before}Z", "frames": gap.frames} for gap in gaps],
        "rows": archive.grid.shape[0],
        "columns": archive.grid.shape[1],
        "pixel_size_m": [round(dy, 1), round(dx, 1)],
        "crs": _crs_name(archive.grid.crs),
        "noise_below": archive.noise_below,
        "never_seen": None if archive.static_mask is None else round(float(archive.static_mask.mean()), 4),
        "bytes_on_disk": sum(path.stat().st_size for path in archive.root.rglob("*") if path.is_file()),
        "split": {part: _count_part(times, parts[part]) for part in PARTS} if parts else None,
    }


def _crs_name(crs: CRS) -> str:
    operation = crs.coordinate_operation
    return operation.method_name if operation and crs.name in ("unknown", "undefined") else crs.name


def _count_part(times: NDArray[np.datetime64], days: Days) -> dict[str, int]:
    """Return the number of days (or blocks of hours) and frames of one part of a split."""
    blocks = [day for day in days if isinstance(day, Block)]
    whole = set(days) - set(blocks)
    return {
        "days": len(whole),
        **({"blocks": len(blocks)} if blocks else {}),
        "days_without_frames": len(whole - set(np.unique(times.astype("datetime64[D]")))),
        "frames": int(among(times, days).sum()),
    }


def describe_part(part: dict[str, int]) -> str:
    """Return the counts of one part of a split, like `10 days, 2 of them without frames, 480 frames`."""
    if "blocks" in part:
        return f"{part['blocks']} blocks of hours, {part['frames']} frames"
    without = f", {part['days_without_frames']} of them without frames" if part["days_without_frames"] else ""
    return f"{part['days']} days{without}, {part['frames']} frames"


def pixel_facts(counts: PixelCounts) -> dict[str, Any]:
    """Return the facts of the pixels, as JSON: wet and missing fractions, and how often each value occurs."""
    total = counts.total
    pixels = int(total.sum())
    return {
        "damaged_frames": [str(error) for error in counts.damaged],
        "no_data": float(total[NO_DATA]) / pixels if pixels else None,
        "wet_fraction": {f"{threshold:g}": wet_fraction(total, threshold) for threshold in THRESHOLDS_MM_H},
        "histogram": [int(count) for count in total[:NO_DATA]],
    }


def format_facts(facts: dict[str, Any]) -> Iterator[str]:
    """Yield the facts as lines of text."""
    for name, value in facts.items():
        if name in ("gaps", "histogram", "damaged_frames", "check", "split", "wet_fraction") or value is None:
            continue
        if name == "bytes_on_disk":
            value = f"{value / 1e6:,.1f} MB"
        if name in ("no_data", "never_seen"):
            value = f"{value:.2%} of the pixels"
        yield _line(name, value)
        if name == "missing_frames":
            for gap in facts["gaps"][:MAX_GAPS_SHOWN]:
                yield _line("", f"{gap['frames']} between {gap['after']} and {gap['before']}")
            if len(facts["gaps"]) > MAX_GAPS_SHOWN:
                yield _line("", f"and in {len(facts['gaps']) - MAX_GAPS_SHOWN} more gaps (--json has all)")
    for name, part in (facts["split"] or {}).items():
        yield _line(name, describe_part(part))
    for threshold, share in facts.get("wet_fraction", {}).items():
        yield _line(f"wet at {threshold} mm/h", "-" if share is None else f"{share:.3%} of the pixels with data")
    if "damaged_frames" in facts:
        yield _line("damaged_frames", len(facts["damaged_frames"]))
    if "check" in facts:
        check = facts["check"]
        decoded = f", {check['without_checksum']} of them without a checksum" if check["without_checksum"] else ""
        yield _line("check", f"{check['intact']} frames intact{decoded}; {len(check['damaged'])} files damaged")


def _line(name: str, value: object) -> str:
    return f"{name.replace('_', ' '):20} {value}"


def plot_histogram(archive: Archive, total: NDArray[np.int64], path: Path) -> None:
    """Plot how often each pixel value occurs, as a PNG.

    Parameters
    ----------
    archive
        The archive, for the title.
    total
        Counts of the 256 pixel values and of missing pixels, int64 [257].
    path
        The PNG to write.

    Raises
    ------
    InputError
        The picture cannot be written, or no pixel holds data.
    MissingDependency
        Matplotlib is not installed.
    """
    with optional_imports("--picture"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    known = total[:NO_DATA]
    if not known.sum():
        raise InputError("no pixel holds data", where=str(archive.root), hint="Leave --picture out")
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    wet = np.flatnonzero(RAIN_OF_PIXEL >= 0)[1:]
    share = known / known.sum()
    axes.bar(wet, share[wet], width=1.0, color="#2b6cb0")
    axes.set(yscale="log", xlim=(0, NO_DATA), xlabel="pixel value", ylabel="share of the pixels with data")
    ticks = (0.1, *THRESHOLDS_MM_H, 100.0)
    places = [int(np.searchsorted(RAIN_OF_PIXEL, rate)) for rate in ticks]
    for place, rate in zip(places, ticks, strict=True):
        if rate in THRESHOLDS_MM_H:
            axes.axvline(place - 0.5, color="#a0aec0", linewidth=0.8, zorder=0)
    above = axes.secondary_xaxis("top")
    above.set_xticks(places, [f"{rate:g}" for rate in ticks])
    above.set_xlabel("rain rate (mm/h)")
    days = np.unique(archive.times.astype("datetime64[D]")).size
    axes.set_title(
        f"{archive.name}: {archive.times.size} frames, {days} day{'s' if days > 1 else ''}. "
        f"No data {total[NO_DATA] / total.sum():.1%}; of the other pixels {share[0]:.1%} dry (value 0)",
        fontsize="medium",
    )
    with translate_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120, format="png")
