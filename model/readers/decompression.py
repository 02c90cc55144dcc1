"""Decompression of gzip, bzip2 and zip around a file of any format: one layer, to a temporary file of bounded size."""

from __future__ import annotations

import bz2
import errno
import gzip
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, Final

from model.core.errors import NotARadarFile, TooLarge
from model.readers.limits import FETCH_AGAIN, PixelBudget
from model.readers.source import Source, input_errors, read_head

GZIP: Final = b"\x1f\x8b"
BZIP2: Final = b"BZh"
ZIP: Final = b"PK\x03\x04"
BYTES_PER_PIXEL: Final = 4
"""Files may decompress to no more bytes than their frames take as float32."""
MIN_LIMIT_BYTES: Final = 64 << 20
BLOCK_BYTES: Final = 1 << 20
IGNORED: Final = ("__MACOSX/", ".DS_Store", "Thumbs.db")
IGNORED_SUFFIXES: Final = (".txt", ".md", ".pdf", ".html", ".xml")
"""Members of zip archives that accompany a radar file."""
DECOMPRESS: Final = "Decompress it, and give the content"


@contextmanager
def decompressed(sources: Sequence[Source], budget: PixelBudget) -> Iterator[list[Source]]:
    """Yield the files, each compressed one replaced by a temporary file that exists inside the `with` block only.

    Raises
    ------
    NotARadarFile
        A file is absent, damaged, compressed twice, or a zip archive of none or several files.
    TooLarge
        The files decompress to more bytes than `budget` allows.
    """
    left = max(MIN_LIMIT_BYTES, BYTES_PER_PIXEL * budget.max_pixels)
    with ExitStack() as stack:
        folder = None
        plain = []
        for number, source in enumerate(sources):
            compression = _compression(source)
            if compression is not None:
                with input_errors(source, compression):
                    folder = folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="echocast-"))
                    source = _decompress(source, compression, Path(folder, str(number)), left)
                left -= source.path.stat().st_size
            plain.append(source)
        yield plain


def _compression(source: Source) -> str | None:
    """Return gzip, bzip2 or zip, None for other files. NumPy's .npz is a format, not a compression."""
    head = read_head(source)
    if head.startswith(GZIP):
        return "gzip"
    if head.startswith(BZIP2):
        return "bzip2"
    if not head.startswith(ZIP):
        return None
    with input_errors(source, "zip"), zipfile.ZipFile(source.path) as archive:
        return None if any(name.endswith(".npy") for name in archive.namelist()) else "zip"


def _decompress(source: Source, compression: str, path: Path, limit: int) -> Source:
    """Decompress to `path`; the new source has the name that the user knows."""
    with path.open("wb") as out:
        if compression == "zip":
            with zipfile.ZipFile(source.path) as archive:
                member = _only_member(archive)
                with archive.open(member) as file:
                    _copy(file, out, limit)
            inner_name = PurePosixPath(member.filename).name
        else:
            with source.path.open("rb") as compressed:
                _copy(gzip.GzipFile(fileobj=compressed) if compression == "gzip" else Bunzip2(compressed), out, limit)
            inner_name = source.name.removesuffix(PurePosixPath(source.name).suffix)
    inner = replace(source, path=path, inner_name=inner_name, upload=True)
    second = _compression(inner)
    if second is not None:
        raise NotARadarFile(
            f"the file is {second} inside {compression}, and only one layer is decompressed", hint=DECOMPRESS
        )
    return inner


class Bunzip2:
    """Decompressed content of a bzip2 file of one or more streams, which zeros may pad as in gzip.

    `bz2.BZ2File` ignores damage after the first stream.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._stream = bz2.BZ2Decompressor()

    def read(self, size: int) -> bytes:
        """Return the next bytes, up to `size`; empty at the end."""
        block = b""
        while not block:
            compressed = b""
            if self._stream.eof:
                compressed = self._stream.unused_data
                while not (compressed := compressed.lstrip(b"\0")):
                    if not (compressed := self._file.read(BLOCK_BYTES)):
                        return b""
                self._stream = bz2.BZ2Decompressor()
            elif self._stream.needs_input and not (compressed := self._file.read(BLOCK_BYTES)):
                raise EOFError
            block = self._stream.decompress(compressed, size)
        return block


def _copy(file: IO[bytes] | gzip.GzipFile | Bunzip2, out: IO[bytes], limit: int) -> None:
    """Copy the content block by block, up to `limit` bytes: a small file may decompress to any size."""
    left = limit
    try:
        while block := file.read(BLOCK_BYTES):
            left -= len(block)
            if left < 0:
                raise TooLarge(f"the decompressed file exceeds the limit of {limit:,} bytes", hint="Give less at once")
            out.write(block)
    except EOFError:
        raise NotARadarFile("the file is cut short", hint=FETCH_AGAIN) from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise TooLarge("no disk space to decompress the file", hint="Free some disk space") from error
        raise


def _only_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir()
        and not any(part in member.filename for part in IGNORED)
        and not member.filename.lower().endswith(IGNORED_SUFFIXES)
    ]
    if len(members) != 1:
        named = ", ".join(member.filename for member in members[:3]) + (", ..." if len(members) > 3 else "")
        held = f"of {len(members)} files ({named})" if members else "without data"
        raise NotARadarFile(
            f"this is a zip archive {held}", hint="Decompress it, and give the files that are radar frames"
        )
    if members[0].flag_bits & 1:
        raise NotARadarFile("this is a zip archive with a password", hint=DECOMPRESS)
    return members[0]
