"""HKO-7's PNG archive (Shi et al. 2017, arXiv 1706.03458), and other archives in the same layout.

- `radarPNG/YYYY/MM/DD/RADyymmddHHMM00.png`: 8-bit, p = value / 255, dBZ = 70 p - 10. The time is in the name only.
- HKO-7 pixels in (0, 71) are noise, residual clutter below 9.5 dBZ or 0.3 mm/h, and count as no rain. Other archives
  give the limit of noise in `archive.json` (`noise_below`, default 0).
- `radarPNG_mask/.../RADyymmddHHMM00.mask`: zlib-compressed booleans, one per pixel. True marks a pixel that COUNTS
  (HKO-7's `precompute_mask` is `1 - exclude_mask` without the noise, and missing frames are all False). Masks are among
  the files; images that are no uploads also find their mask in the same folder or in the parallel tree.
- `mask_dat.npz`: `exclude_mask`, 1 where the radar of HKO-7 never measures. Used when it is among the files.

The grid of HKO-7 is azimuthal equidistant around Hong Kong, 512 km over 480 pixels. Other archives hold the grid in
`archive.json`, in a folder above an image that is no upload. The Z-R relation is HKO-7's own.
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from model.core.errors import InputError, NotARadarFile
from model.core.grid import Grid
from model.core.normalisation import hko7_rain_rate_mm_h
from model.core.sequence import FrameSequence
from model.core.units import MAX_VALID_DBZ, FloatArray
from model.core.zr import HKO7
from model.readers.limits import FETCH_AGAIN, PixelBudget, check_size
from model.readers.npz import MAGIC as ZIP_MAGIC
from model.readers.npz import members, read_member
from model.readers.observation_times import parse_observation_time
from model.readers.rain_rate import describe_reflectivity, describe_zr
from model.readers.source import ReadOptions, Source, input_errors

TITLE: Final = "HKO-7 PNG"
PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"
SHAPE: Final = (480, 480)
WIDTH_M: Final = 512_000.0
CENTRE: Final = (22.30, 114.17)
NOISE_BELOW: Final = 71
"""Pixel values above 0 and below this are noise."""
NAME: Final = re.compile(r"RAD(\d{12})\.\w+$")
DESCRIPTION: Final = "archive.json"
FRAMES: Final = "radarPNG"
MASKS: Final = "radarPNG_mask"
OTHER_IMAGES: Final = "For other images: echocast archive import --pattern ... --pixel-scale ..."
MAX_DEPTH: Final = 6
"""The number of folders above an image that may hold `archive.json`: ROOT/radarPNG/YYYY/MM/DD are five."""


@dataclass(frozen=True, kw_only=True)
class ArchiveDescription:
    """Metadata of an archive that its images do not hold."""

    grid: Grid
    noise_below: int
    title: str


def matches(head: bytes, path: Path) -> bool:
    """Whether the file is a PNG, a zlib-compressed mask, or the static `exclude_mask`."""
    if head.startswith(ZIP_MAGIC):
        with zipfile.ZipFile(path) as archive:
            return "exclude_mask.npy" in archive.namelist()
    return head.startswith(PNG_MAGIC) or _is_mask(head)


def read_frames(sources: Sequence[Source], options: ReadOptions) -> Iterator[tuple[Source, FrameSequence]]:
    """Yield one frame for each image; masks among the files belong to the images of the same time."""
    images: list[Source] = []
    masks: dict[str, Source] = {}
    static: NDArray[np.bool_] | None = None
    for source in sources:
        with input_errors(source, TITLE):
            with source.path.open("rb") as file:
                head = file.read(len(PNG_MAGIC))
            if head.startswith(PNG_MAGIC):
                images.append(source)
            elif head.startswith(ZIP_MAGIC):
                static = static_mask(source)
            else:
                masks[_stamp(source.content_name)] = source
    archives: dict[Path, ArchiveDescription | None] = {}
    for source in images:
        with input_errors(source, TITLE):
            _check_options(options)
            frames = _frame(source, masks.get(_stamp(source.content_name)), static, archives, options)
        yield source, frames


def grid_of_archive(description: Mapping[str, object]) -> Grid:
    """Return the grid in `archive.json`: `grid: {crs_wkt, x0, dx, nx, y0, dy, ny}` with centres of pixels.

    Raises
    ------
    NotARadarFile
        A key is absent, or not a number.
    """
    grid = description.get("grid")
    try:
        if not isinstance(grid, Mapping):
            raise KeyError("grid")
        x0, dx, y0, dy = (float(grid[key]) for key in ("x0", "dx", "y0", "dy"))
        nx, ny = (int(grid[key]) for key in ("nx", "ny"))
        crs = CRS.from_wkt(str(grid["crs_wkt"]))
    except (KeyError, TypeError, ValueError) as error:  # CRSError is a ValueError
        raise NotARadarFile(
            f"the archive's description lacks a readable {error}", where=DESCRIPTION, hint="Import the archive again"
        ) from None
    check_size(ny, nx)
    return Grid(crs=crs, x=x0 + dx * np.arange(nx), y=y0 + dy * np.arange(ny))


def hko7_grid() -> Grid:
    """Return the grid of HKO-7."""
    crs = CRS.from_proj4(f"+proj=aeqd +lat_0={CENTRE[0]} +lon_0={CENTRE[1]} +datum=WGS84 +units=m")
    return Grid.regular(crs, shape=SHAPE, pixel_size=WIDTH_M / SHAPE[1], centre=(0.0, 0.0))


def _check_options(options: ReadOptions) -> None:
    options.check_single_variable("reflectivity")
    if options.zr not in (None, HKO7.name):
        raise InputError(
            f"the Z-R relation of HKO-7 pixels is fixed, {describe_zr(HKO7)}; {options.zr} does not apply",
            where="zr",
            hint=f"Leave zr out, or request {HKO7.name}",
        )


def _frame(
    source: Source,
    mask: Source | None,
    static: NDArray[np.bool_] | None,
    archives: dict[Path, ArchiveDescription | None],
    options: ReadOptions,
) -> FrameSequence:
    time = _time(source.content_name)
    archive = None if source.upload else _archive_of(source.path, archives)
    pixels = _pixels(source.path, archive.grid.shape if archive else None, options.budget)
    # An import has written the pixels of an archive from rain rates: the hail cap was applied then.
    max_dbz = MAX_VALID_DBZ if archive else options.max_dbz
    archive = archive or ArchiveDescription(
        grid=hko7_grid(), noise_below=NOISE_BELOW, title="HKO-7, Hong Kong Observatory"
    )
    rain_of_pixel = _rain_rate_of_pixel(archive.noise_below)
    most = HKO7.rain_rate_mm_h(np.array(max_dbz))
    capped = int(np.count_nonzero((rain_of_pixel > most)[pixels]))
    rain: FloatArray = np.minimum(rain_of_pixel, most)[pixels]
    described = describe_reflectivity(HKO7, max_dbz, capped)
    no_data = np.zeros(pixels.shape, np.bool_)
    beside = None if mask or source.upload else _find_mask(source.path)
    found = Source(path=beside, name=beside.name) if beside else mask
    if found is not None:
        flags = _read_mask(found, pixels.shape)
        noise = (pixels > 0) & (pixels < archive.noise_below)
        no_data |= ~flags & ~noise
    if static is not None:
        if static.shape != pixels.shape:
            raise NotARadarFile(f"the exclude mask is {static.shape}, the image {pixels.shape}", hint="Leave it out")
        no_data |= static
    rain[no_data] = np.nan
    attributes = {"radar_format": TITLE, "source_product": archive.title, **described}
    return FrameSequence(
        rain_rate=rain[np.newaxis], times=np.array([time]), grid=archive.grid, mask=static, attributes=attributes
    )


def _rain_rate_of_pixel(noise_below: int) -> FloatArray:
    """Return the rain rate (mm h-1) of each of the 256 pixel values."""
    values = np.arange(256, dtype=np.float32)
    values[: max(noise_below, 1)] = 0
    return hko7_rain_rate_mm_h(values / np.float32(255))


def _pixels(path: Path, shape: tuple[int, int] | None, budget: PixelBudget) -> NDArray[np.uint8]:
    """Read an 8-bit grey image of `shape` (None: that of HKO-7)."""
    from PIL import Image

    with Image.open(path, formats=["PNG"]) as image:
        size = (image.height, image.width)
        if image.mode != "L" or size != (shape or SHAPE):
            expected = f"{(shape or SHAPE)[0]} x {(shape or SHAPE)[1]} pixels of 8-bit grey"
            owner = "its archive" if shape else "HKO-7"
            raise NotARadarFile(
                f"the image is {size[0]} x {size[1]}, mode {image.mode}; {owner} has {expected}",
                hint=f"Give an HKO-7 image, or the path of one in an archive with its {DESCRIPTION}. {OTHER_IMAGES}",
            )
        budget.take(1, *size)
        return np.array(image, np.uint8)


def _time(name: str) -> np.datetime64:
    problem = "the valid time of a PNG is in its name only, and this name is not like RAD101231235400.png"
    hint = f"Name it RADyymmddHHMM00.png. {OTHER_IMAGES}"
    return parse_observation_time(_stamp(name), "%y%m%d%H%M%S", problem, hint)


def _stamp(name: str) -> str:
    match = NAME.search(PurePath(name).name)
    return match[1] if match else ""


def _archive_of(path: Path, known: dict[Path, ArchiveDescription | None]) -> ArchiveDescription | None:
    """Return the description of the archive of an image, searched once for each folder."""
    folder = path.resolve().parent
    if folder not in known:
        file = _find_description(folder)
        known[folder] = _read_description(file) if file else None
    return known[folder]


def companions(path: Path) -> list[Path]:
    """Return the files around an image that are read with it, where it is no upload: `archive.json`, and its mask."""
    found = (_find_description(path.resolve().parent), _find_mask(path))
    return [file for file in found if file is not None]


def _find_description(folder: Path) -> Path | None:
    above = [folder, *folder.parents][:MAX_DEPTH]
    return next((parent / DESCRIPTION for parent in above if (parent / DESCRIPTION).is_file()), None)


def _read_description(file: Path) -> ArchiveDescription:
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise NotARadarFile("the file is not JSON", where=DESCRIPTION, hint="Import the archive again") from None
    if not isinstance(description, dict):
        raise NotARadarFile("the file is not a JSON object", where=DESCRIPTION, hint="Import the archive again")
    attributes = description.get("attributes")
    title = attributes.get("title") if isinstance(attributes, dict) else None
    return ArchiveDescription(
        grid=grid_of_archive(description),
        noise_below=int(description.get("noise_below", 0)),
        title=str(title or "archive in HKO-7's layout"),
    )


def _find_mask(image: Path) -> Path | None:
    """Return the mask of an image in the same folder or in the parallel tree."""
    path = image.resolve()
    candidates = [path.with_suffix(".mask")]
    parts = list(path.parts)
    if FRAMES in parts:
        at = len(parts) - 1 - parts[::-1].index(FRAMES)
        parts[at] = MASKS
        candidates.append(Path(*parts).with_suffix(".mask"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _is_mask(head: bytes) -> bool:
    """Whether the file is a zlib stream that begins with booleans."""
    if head[:1] != b"\x78":
        return False
    try:
        start = zlib.decompressobj().decompress(head, 4096)
    except zlib.error:
        return False
    return bool(start) and set(start) <= {0, 1}


def _read_mask(mask: Source, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    count = int(np.prod(shape))
    with input_errors(mask, TITLE):
        stream = zlib.decompressobj()
        data = stream.decompress(mask.path.read_bytes(), count + 1)
        if len(data) != count or not set(data) <= {0, 1}:
            raise NotARadarFile(f"this is not a mask of {shape[0]} x {shape[1]} booleans", hint=FETCH_AGAIN)
    return np.frombuffer(data, np.bool_).reshape(shape)


def static_mask(source: Source) -> NDArray[np.bool_]:
    """Return `exclude_mask` [y, x] of `mask_dat.npz`: True where the radar never measures.

    Raises
    ------
    NotARadarFile
        The file is damaged, or has no such mask.
    """
    with input_errors(source, TITLE):
        with zipfile.ZipFile(source.path) as archive:
            if "exclude_mask" not in members(archive):
                raise NotARadarFile("the file has no exclude_mask", hint=f"It holds {', '.join(members(archive))}")
            mask = read_member(archive, "exclude_mask")
        if mask.ndim != 2:
            raise NotARadarFile(f"the exclude_mask has {mask.ndim} dimensions", hint=FETCH_AGAIN)
    return mask.astype(np.bool_)
