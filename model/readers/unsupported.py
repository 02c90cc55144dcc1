"""Errors for files that no reader accepts: the kind of file, where the first bytes show it, and what to do."""

from __future__ import annotations

import re
from typing import Final

from model.core.errors import NotARadarFile

POLAR: Final = (
    (rb"AR2V|ARCHIVE2", "NEXRAD level 2"),
    (rb"(\x01\r\r\n.{0,12})?SDUS\d\d ", "NEXRAD level 3"),
    (rb"([\x00-\x1f].|\x00\x00..)?UF[\x00-\x1f]", "Universal Format"),
    (rb"\x1b\x00[\x01-\x10]\x00", "IRIS (Sigmet)"),
    (rb"\x00\x00\x03\xf8\x00\x00\x37\x3e", "MDV"),
    (rb"<volume ", "Rainbow 5"),
)
"""Pattern of the first bytes, format of polar data."""
UNPACK: Final = "Unpack it, and give the files inside"
CONVERT: Final = "Convert it, or look for the same data in a supported format"
RESPONSE: Final = "Fetch the file again: this is the response of a server, and may hold the reason"
OTHERS: Final = (
    (rb"version https://git-lfs", "a Git LFS pointer, not the file", "Run git lfs pull"),
    (rb"(\.\./)*(\.git)?/annex/objects/", "a git-annex pointer, not the file", "Run git annex get"),
    (rb"\s*<\?xml.{0,200}<Error>\s*<Code>(?P<code>\w+)", "an error response of object storage", RESPONSE),
    (rb"\s*(<\?xml.{0,80}\?>)?\s*(<!--.{0,400}-->)?\s*<(!doctype html|html)", "a web page", RESPONSE),
    (rb"\s*<\?xml|\s*<ServiceException", "XML", RESPONSE),
    (rb"\s*[{\[]\s*[\"{\[\d\]}]", "JSON", RESPONSE),
    (rb"%PDF", "a PDF document", CONVERT),
    (rb"\xff\xd8\xff", "a JPEG image, which holds colours instead of values", CONVERT),
    (rb"GIF8[79]a", "a GIF image, which holds colours instead of values", CONVERT),
    (rb"RIFF.{4}WEBP", "a WebP image, which holds colours instead of values", CONVERT),
    (rb"BUFR|.{0,80}\r\r\n.{0,40}BUFR", "BUFR", CONVERT),
    (rb"\x0e\x03\x13\x01", "HDF4", "Convert it with h4toh5 or h4tonccf"),
    (rb"\x93NUMPY", "a NumPy .npy array without valid times", "Save an .npz with rain_rate [t, y, x] and times [t]"),
    (rb"\x00\x00\x27\x0a", "a shapefile, which holds shapes instead of a grid", CONVERT),
    (rb"SQLite format 3\x00", "an SQLite database (GeoPackage, MBTiles)", CONVERT),
    (rb"MATLAB 5\.0", "a MATLAB file", CONVERT),
    (rb"\xfd7zXZ\x00", "compressed with xz", UNPACK),
    (rb"\x28\xb5\x2f\xfd", "compressed with zstd", UNPACK),
    (rb"\x1f\x9d", "compressed with compress (.Z)", UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (rb"Rar!", "a RAR archive", UNPACK),
    (rb".{257}ustar", "a tar archive", UNPACK),
)
"""Pattern of the first bytes, kind of file, hint."""


def unsupported_format(head: bytes, formats: str) -> NotARadarFile:
    """Return the error for a file by its first bytes; `formats` lists the supported formats."""
    for pattern, kind in POLAR:
        if re.match(pattern, head, re.DOTALL):
            return polar_data(kind)
    for pattern, kind, hint in OTHERS:
        match = re.match(pattern, head, re.DOTALL | re.IGNORECASE)
        if match:
            code = match.groupdict().get("code")
            return NotARadarFile(f"this is {kind}" + (f" ({code.decode()})" if code else ""), hint=hint)
    text = "this is text, and " if head.isascii() and not re.search(rb"[\x00-\x08\x0e-\x1f]", head) else ""
    return NotARadarFile(f"{text}the file format is not supported", hint=f"Give one of: {formats}")


def polar_data(kind: str) -> NotARadarFile:
    """Return the error for polar data, sweeps by azimuth and range; `kind` is for instance `an ODIM_H5 volume`."""
    return NotARadarFile(
        f"this is polar data ({kind}: azimuth and range), not a map",
        hint="Make a Cartesian composite first, for instance with wradlib or Py-ART, or take the composite of your "
        "weather service",
    )
