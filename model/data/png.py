"""Intact PNG files: Pillow checks their chunks and checksums, without decoding the pixels."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Final

from PIL.PngImagePlugin import PngImageFile

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
GREY_BITS: Final = {"1": 1, "L;2": 2, "L;4": 4, "L": 8, "I;16B": 16}
"""Bits per pixel of Pillow's raw modes for grey."""


class BadPng(ValueError):
    """A file that is not an intact PNG of the required kind; the text says why."""


@dataclass(frozen=True, kw_only=True)
class PngHeader:
    """Format of a PNG's pixels.

    `shape`: rows and columns. `grey_bits`: bits per grey pixel, None for colours and palettes. `deep`: 16 bits per
    channel. `transparent`: the grey value that is transparent, None if there is none.
    """

    shape: tuple[int, int]
    grey_bits: int | None
    deep: bool
    transparent: int | None


def verify_png(content: bytes) -> PngHeader:
    """Return the header of a PNG whose chunks are all intact.

    OpenCV would print faults to stderr and only report that there is no image.

    Raises
    ------
    BadPng
        The file is empty, no PNG, truncated, or a checksum does not match.
    """
    if not content.startswith(SIGNATURE):
        raise BadPng("it is not a PNG" if content else "it is empty")
    try:
        image = PngImageFile(BytesIO(content))
        raw_mode = str(image.tile[0].args)
        transparent = image.info.get("transparency")
        (columns, rows) = image.size
        image.verify()
    except (OSError, SyntaxError, ValueError, IndexError):  # SyntaxError is Pillow's for a malformed file
        if b"IEND" not in content:
            raise BadPng(f"it is truncated, after {len(content):,} bytes") from None
        raise BadPng("it is damaged: a chunk does not match its checksum") from None
    return PngHeader(
        shape=(rows, columns),
        grey_bits=GREY_BITS.get(raw_mode),
        deep=raw_mode.endswith(";16B"),
        transparent=transparent if raw_mode in GREY_BITS else None,
    )


def verify_frame_png(content: bytes, shape: tuple[int, int]) -> None:
    """Check that a PNG is intact and a frame of an archive: 8-bit grey, of `shape` (rows, columns).

    Raises
    ------
    BadPng
        It is not.
    """
    header = verify_png(content)
    if header.shape != shape:
        rows, columns = header.shape
        raise BadPng(f"it is {rows} x {columns} pixels, the archive's frames are {shape[0]} x {shape[1]}")
    if header.grey_bits != GREY_BITS["L"]:
        pixels = f"{header.grey_bits}-bit grey" if header.grey_bits else "coloured"
        raise BadPng(f"its pixels are {pixels}, those of the archive's frames are 8-bit grey")
