"""Errors for other files name the kind of file, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.core.errors import NotARadarFile
from model.readers import read

S3 = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"""
POLAR = {
    "NEXRAD level 2": b"AR2V0006.500\x00\x00\x4c\x9eKTLX",
    "NEXRAD level 3": b"\x01\r\r\n123 \r\r\nSDUS54 KOUN 010005\r\r\nN0QTLX\r\r\n",
    "Universal Format": b"\x00\x00\x20\x00UF\x10\x00",
    "IRIS": b"\x1b\x00\x08\x00" + bytes(60),
    "MDV": b"\x00\x00\x03\xf8\x00\x00\x37\x3e" + bytes(60),
    "Rainbow 5": b'<volume version="5.34.16" datetime="2024-06-01T00:05:00" type="vol">',
    "DWD's DX": b"DX010005104880624BY 49016VS 2",
}


@pytest.mark.parametrize("name", POLAR)
def test_polar_formats_are_refused_as_polar(tmp_path: Path, name: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(POLAR[name])
    with pytest.raises(NotARadarFile, match=rf"theirs\.raw: this is polar data \({name}.*composite first.*wradlib"):
        read([path], names=["theirs.raw"])


@pytest.mark.parametrize(
    ("content", "what", "hint"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer", "git lfs pull"),
        (b"../../.git/annex/objects/xx/yy/SHA256E-s1--0.h5\n", "git-annex pointer", "git annex get"),
        (S3, r"error response of object storage \(NoSuchKey\)", "Fetch the file again"),
        (b"<!DOCTYPE HTML PUBLIC><html><body>404 Not Found", "a web page", "Fetch the file again"),
        (b"\n <html lang='en'>", "a web page", "Fetch"),
        (b'<?xml version="1.0"?><ows:ExceptionReport>', "XML", "Fetch"),
        (b'{"detail": "not found"}', "JSON", "Fetch"),
        (b"%PDF-1.7", "a PDF document", "Convert"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "JPEG image", "Convert"),
        (b"GIF89a", "GIF image", "Convert"),
        (b"BUFR\x00\x01", "this is BUFR", "Convert"),
        (b"\x0e\x03\x13\x01" + bytes(9), "HDF4", "h4toh5"),
        (b"\x93NUMPY\x01\x00v\x00{'descr'", r"NumPy \.npy array without valid times", r"Save an \.npz"),
        (b"\x00\x00\x27\x0a" + bytes(90), "a shapefile", "Convert"),
        (b"SQLite format 3\x00", "SQLite database", "Convert"),
        (b"\xfd7zXZ\x00\x00", "compressed with xz", "Unpack it"),
        (b"\x28\xb5\x2f\xfd\x04", "compressed with zstd", "Unpack it"),
        (b"a.h5".ljust(257, b"\x00") + b"ustar\x0000", "a tar archive", "Unpack it"),
        (
            b"lat,lon,rain\n52.1,5.2,0.3\n",
            "text, and the file format is not supported",
            "Give one of: KNMI HDF5, ODIM_H5",
        ),
        (bytes(range(200, 256)), "the file format is not supported", "Give one of: KNMI HDF5, ODIM_H5"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_files_are_named(tmp_path: Path, content: bytes, what: str, hint: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(content)
    with pytest.raises(NotARadarFile, match=what) as caught:
        read([path], names=["theirs.nc"])
    assert caught.value.where == "theirs.nc"
    assert caught.value.hint.startswith(hint.replace("\\", "")) or hint in caught.value.hint
