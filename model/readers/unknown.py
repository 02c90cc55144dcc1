"""What is said of a file that no reader knows: what it is, where its first bytes tell, and what to do with it."""

from __future__ import annotations

import re
from typing import Final

from model.core.errors import NotARadarFile
from model.readers.polar import polar

POLAR: Final = (
    (rb"AR2V|ARCHIVE2", "NEXRAD level 2"),
    (rb"(\x01\r\r\n.{0,12})?SDUS\d\d ", "NEXRAD level 3"),
    (rb"([\x00-\x1f].|\x00\x00..)?UF[\x00-\x1f]", "Universal Format"),
    (rb"\x1b\x00[\x01-\x10]\x00", "IRIS (Sigmet)"),
    (rb"\x00\x00\x03\xf8\x00\x00\x37\x3e", "MDV"),
    (rb"<volume ", "Rainbow 5"),
)
UNPACK: Final = "Unpack it, and give the files in it"
CONVERT: Final = "Convert it, or give what its producer offers in one of the formats that are read"
AGAIN: Final = "Fetch the file itself again: what was saved is the answer of a server, and may say why"
OTHERS: Final = (
    (rb"version https://git-lfs", "a Git LFS pointer, not the file", "Run git lfs pull"),
    (rb"(\.\./)*(\.git)?/annex/objects/", "a git-annex pointer, not the file", "Run git annex get"),
    (rb"\s*<\?xml.{0,200}<Error>\s*<Code>(?P<more>\w+)", "an error answer of object storage", AGAIN),
    (rb"\s*(<\?xml.{0,80}\?>)?\s*(<!--.{0,400}-->)?\s*<(!doctype html|html)", "a web page", AGAIN),
    (rb"\s*<\?xml|\s*<ServiceException", "XML", AGAIN),
    (rb"\s*[{\[]\s*[\"{\[\d\]}]", "JSON", AGAIN),
    (rb"%PDF", "a PDF document", CONVERT),
    (rb"\xff\xd8\xff", "a JPEG picture: its colours are no values", CONVERT),
    (rb"GIF8[79]a", "a GIF picture: its colours are no values", CONVERT),
    (rb"RIFF.{4}WEBP", "a WebP picture: its colours are no values", CONVERT),
    (rb"BUFR|.{0,80}\r\r\n.{0,40}BUFR", "BUFR", CONVERT),
    (rb"\x0e\x03\x13\x01", "HDF4", "Convert it with h4toh5 or h4tonccf"),
    (rb"\x93NUMPY", "a NumPy .npy, which has no valid times", "Save an .npz with rain_rate [t, y, x] and times [t]"),
    (rb"\x00\x00\x27\x0a", "a shapefile: shapes, not a grid", CONVERT),
    (rb"SQLite format 3\x00", "an SQLite database (GeoPackage, MBTiles)", CONVERT),
    (rb"MATLAB 5\.0", "a MATLAB file", CONVERT),
    (rb"\xfd7zXZ\x00", "compressed with xz", UNPACK),
    (rb"\x28\xb5\x2f\xfd", "compressed with zstd", UNPACK),
    (rb"\x1f\x9d", "compressed with compress (.Z)", UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (rb"Rar!", "a RAR archive", UNPACK),
    (rb".{257}ustar", "a tar archive", UNPACK),
)
"""What the file begins with, what it is, what to do."""


def unknown(head: bytes, formats: str) -> NotARadarFile:
    """The refusal of a file by its first bytes; `formats` names those that are read."""
    for pattern, what in POLAR:
        if re.match(pattern, head, re.DOTALL):
            return polar(what)
    for pattern, what, hint in OTHERS:
        match = re.match(pattern, head, re.DOTALL | re.IGNORECASE)
        if match:
            more = match.groupdict().get("more")
            return NotARadarFile(f"it is {what}" + (f" ({more.decode()})" if more else ""), hint=hint)
    kind = "text, and " if head.isascii() and not re.search(rb"[\x00-\x08\x0e-\x1f]", head) else ""
    return NotARadarFile(f"it is {kind}of no format that can be read here", hint=f"Give one of: {formats}")
