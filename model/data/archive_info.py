"""What `archive info` tells: the facts of an archive, its gaps, how wet it is, and its histogram as a picture."""

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
"""Those of the HKO-7 benchmark."""
GAPS_TOLD: Final = 5


def archive_facts(archive: Archive) -> dict[str, Any]:
    """What can be told without reading a frame."""
    times = archive.times
    dy, dx = archive.grid.pixel_size_m
    gaps = list(find_gaps(archive))
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
        "crs": _name_of(archive.grid.crs),
        "noise_below": archive.noise_below,
        "never_seen": None if archive.static_mask is None else round(float(archive.static_mask.mean()), 4),
        "bytes_on_disk": sum(path.stat().st_size for path in archive.root.rglob("*") if path.is_file()),
        "split": _split_of(archive),
    }


def _name_of(crs: CRS) -> str:
    operation = crs.coordinate_operation
    return operation.method_name if operation and crs.name in ("unknown", "undefined") else crs.name


def _split_of(archive: Archive) -> dict[str, dict[str, int]] | None:
    """Days (or blocks of hours) and frames of each part."""
    parts = archive.parts()
    return {part: _held(archive.times, parts[part]) for part in PARTS} if parts else None


def _held(times: NDArray[np.datetime64], days: Days) -> dict[str, int]:
    blocks = [day for day in days if isinstance(day, Block)]
    whole = set(days) - set(blocks)
    return {
        "days": len(whole),
        **({"blocks": len(blocks)} if blocks else {}),
        "days_without_frames": len(whole - set(np.unique(times.astype("datetime64[D]")))),
        "frames": int(among(times, days).sum()),
    }


def describe_part(held: dict[str, int]) -> str:
    """`10 days, 2 of them without frames, 480 frames`."""
    if "blocks" in held:
        return f"{held['blocks']} blocks of hours, {held['frames']} frames"
    without = f", {held['days_without_frames']} of them without frames" if held["days_without_frames"] else ""
    return f"{held['days']} days{without}, {held['frames']} frames"


def pixel_facts(values: PixelCounts) -> dict[str, Any]:
    """What is told by the frames: how wet they are, what they lack, how often each value occurs."""
    total = values.total
    pixels = int(total.sum())
    return {
        "damaged_frames": [str(error) for error in values.damaged],
        "no_data": float(total[NO_DATA]) / pixels if pixels else None,
        "wet_fraction": {f"{threshold:g}": wet_fraction(total, threshold) for threshold in THRESHOLDS_MM_H},
        "histogram": [int(count) for count in total[:NO_DATA]],
    }


def told(facts: dict[str, Any]) -> Iterator[str]:
    """The facts as lines for people."""
    for name, value in facts.items():
        if name in ("gaps", "histogram", "damaged_frames", "check", "split", "wet_fraction") or value is None:
            continue
        if name == "bytes_on_disk":
            value = f"{value / 1e6:,.1f} MB"
        if name in ("no_data", "never_seen"):
            value = f"{value:.2%} of the pixels"
        yield _line(name, value)
        if name == "missing_frames":
            for gap in facts["gaps"][:GAPS_TOLD]:
                yield _line("", f"{gap['frames']} between {gap['after']} and {gap['before']}")
            if len(facts["gaps"]) > GAPS_TOLD:
                yield _line("", f"and in {len(facts['gaps']) - GAPS_TOLD} more gaps (--json has all)")
    for part, held in (facts["split"] or {}).items():
        yield _line(part, describe_part(held))
    for threshold, share in facts.get("wet_fraction", {}).items():
        yield _line(f"wet at {threshold} mm/h", "-" if share is None else f"{share:.3%} of the pixels with data")
    if "damaged_frames" in facts:
        yield _line("damaged_frames", len(facts["damaged_frames"]))
    if "check" in facts:
        found = facts["check"]
        unlisted = f", {found['unlisted']} of them read, for want of a checksum" if found["unlisted"] else ""
        yield _line("check", f"{found['whole']} frames whole{unlisted}; {len(found['damaged'])} files damaged")


def _line(name: str, value: object) -> str:
    return f"{name.replace('_', ' '):20} {value}"


def plot_histogram(archive: Archive, total: NDArray[np.int64], path: Path) -> None:
    """How often each rain rate occurs, as a picture.

    Raises
    ------
    InputError
        It cannot be written, or no pixel holds data.
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
    axes.set(yscale="log", xlim=(0, NO_DATA), xlabel="value of the pixel", ylabel="share of the pixels with data")
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
        f"Without data {total[NO_DATA] / total.sum():.1%}; of the rest {share[0]:.1%} dry (value 0)",
        fontsize="medium",
    )
    with translate_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120, format="png")
