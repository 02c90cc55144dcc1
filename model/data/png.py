"""Whether a PNG is whole: by its chunks and their checksums, without decoding it (PNG 1.2, RFC 2083)."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

MAGIC: Final = b"\x89PNG\r\n\x1a\n"
GREY: Final = 0


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a PNG says of its pixels. `colour`: PNG's type; `transparent`: the value of grey that is not to be seen."""

    shape: tuple[int, int]
    bits: int
    colour: int
    transparent: int | None


def header_of(content: bytes) -> Header:
    """Of a PNG that is whole, by `fault_of`."""
    columns, rows, bits, colour = struct.unpack(">IIBB", content[len(MAGIC) + 8 : len(MAGIC) + 18])
    at, transparent = len(MAGIC), None
    while (kind := content[at + 4 : at + 8]) != b"IDAT" and kind != b"IEND":
        if kind == b"tRNS" and colour == GREY:
            transparent = int.from_bytes(content[at + 8 : at + 10], "big")
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    return Header(shape=(rows, columns), bits=bits, colour=colour, transparent=transparent)


def fault_of(content: bytes, shape: tuple[int, int] | None = None) -> str:
    """What is wrong with a PNG, which should be 8-bit grey of `shape` (rows, columns) if given; '' if it is whole.

    OpenCV prints such faults to stderr by itself and says no more than that it has no image.
    """
    if not content.startswith(MAGIC):
        return "it is empty" if not content else "it is not a PNG"
    at, kind = len(MAGIC), b""
    if content[at + 4 : at + 8] != b"IHDR":
        return "it is damaged: it does not begin with a header"
    while kind != b"IEND":
        head = content[at : at + 8]
        if len(head) < 8:
            return f"it is truncated, after {len(content):,} bytes"
        length, kind = struct.unpack(">I4s", head)
        end = at + 8 + length
        if end + 4 > len(content):
            return f"it is truncated, after {len(content):,} bytes"
        if zlib.crc32(content[at + 4 : end]) != struct.unpack(">I", content[end : end + 4])[0]:
            return "it is damaged: a checksum in it does not hold"
        if kind == b"IHDR" and shape and (wrong := _other_format(content[at + 8 : end], shape)):
            return wrong
        at = end + 4
    return ""


def _other_format(header: bytes, shape: tuple[int, int]) -> str:
    columns, rows, bits, colour = struct.unpack(">IIBB", header[:10])
    if (rows, columns) != shape:
        return f"it is {rows} x {columns} pixels, the archive's frames are {shape[0]} x {shape[1]}"
    if bits != 8 or colour != GREY:
        return (
            f"it is of {bits} bits{'' if colour == GREY else ' in colour'}, the archive's frames are of 8 bits of grey"
        )
    return ""
