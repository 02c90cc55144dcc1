"""gzip, bzip2 and zip around a file of any format: one layer, unpacked to a temporary file of bounded size."""

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
from model.readers.source import DAMAGED, Budget, Source, head_of, reading

GZIP: Final = b"\x1f\x8b"
BZIP2: Final = b"BZh"
ZIP: Final = b"PK\x03\x04"
BYTES_PER_PIXEL: Final = 4
"""Files may unpack to no more than the frames that may be read from them, as float32."""
LEAST_BYTES: Final = 64 << 20
PIECE_BYTES: Final = 1 << 20
BESIDE: Final = ("__MACOSX/", ".DS_Store", "Thumbs.db")
BESIDE_SUFFIXES: Final = (".txt", ".md", ".pdf", ".html", ".xml")
"""What comes along with a radar file in a zip archive, and is none itself."""
UNPACK: Final = "Unpack it, and give what is in it"


@contextmanager
def unpacked(sources: Sequence[Source], budget: Budget) -> Iterator[list[Source]]:
    """The same files; in place of each compressed one a temporary file, which lasts as long as the block.

    Raises
    ------
    NotARadarFile
        Absent, damaged, compressed twice, or a zip archive that does not hold exactly one file.
    TooLarge
        Together they unpack to more bytes than `budget` allows.
    """
    left = max(LEAST_BYTES, BYTES_PER_PIXEL * budget.max_pixels)
    with ExitStack() as stack:
        folder = None
        plain = []
        for number, source in enumerate(sources):
            compression = _compression(source)
            if compression is not None:
                with reading(source, compression):
                    folder = folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="echocast-"))
                    source = _unpack(source, compression, Path(folder, str(number)), left)
                left -= source.path.stat().st_size
            plain.append(source)
        yield plain


def _compression(source: Source) -> str | None:
    """gzip, bzip2 or zip; None for a file that is none of them. NumPy's .npz is a format, not a compression."""
    head = head_of(source)
    if head.startswith(GZIP):
        return "gzip"
    if head.startswith(BZIP2):
        return "bzip2"
    if not head.startswith(ZIP):
        return None
    with reading(source, "zip"), zipfile.ZipFile(source.path) as archive:
        return None if any(name.endswith(".npy") for name in archive.namelist()) else "zip"


def _unpack(source: Source, compression: str, path: Path, most: int) -> Source:
    """The file inside, at `path`; it goes by the name of its user."""
    with path.open("wb") as out:
        if compression == "zip":
            with zipfile.ZipFile(source.path) as archive:
                member = _only_member(archive)
                with archive.open(member) as file:
                    _copy(file, out, most)
            inner_name = PurePosixPath(member.filename).name
        else:
            with source.path.open("rb") as packed:
                _copy(gzip.GzipFile(fileobj=packed) if compression == "gzip" else Bunzip2(packed), out, most)
            inner_name = source.name.removesuffix(PurePosixPath(source.name).suffix)
    inner = replace(source, path=path, inner_name=inner_name, upload=True)
    again = _compression(inner)
    if again is not None:
        raise NotARadarFile(f"it is {again} inside {compression}, and only one layer is unpacked", hint=UNPACK)
    return inner


class Bunzip2:
    """What a bzip2 file of one or more streams unpacks to. `bz2.BZ2File` passes over what is damaged after the first
    stream; padding by zeros may follow, as it may in gzip."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._stream = bz2.BZ2Decompressor()

    def read(self, most: int) -> bytes:
        """The next bytes, up to `most`; none at the end."""
        piece = b""
        while not piece:
            packed = b""
            if self._stream.eof:
                packed = self._stream.unused_data
                while not (packed := packed.lstrip(b"\0")):
                    if not (packed := self._file.read(PIECE_BYTES)):
                        return b""
                self._stream = bz2.BZ2Decompressor()
            elif self._stream.needs_input and not (packed := self._file.read(PIECE_BYTES)):
                raise EOFError
            piece = self._stream.decompress(packed, most)
        return piece


def _copy(file: IO[bytes] | gzip.GzipFile | Bunzip2, out: IO[bytes], most: int) -> None:
    """Everything that `file` unpacks to, piece by piece: a small file may unpack to anything."""
    left = most
    try:
        while piece := file.read(PIECE_BYTES):
            left -= len(piece)
            if left < 0:
                raise TooLarge(f"it unpacks to more than the limit of {most:,} bytes", hint="Give less at once")
            out.write(piece)
    except EOFError:
        raise NotARadarFile("it is cut short", hint=DAMAGED) from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise TooLarge("there is no space to unpack it", hint="Free some, or give it unpacked") from error
        raise


def _only_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir()
        and not any(part in member.filename for part in BESIDE)
        and not member.filename.lower().endswith(BESIDE_SUFFIXES)
    ]
    if len(members) != 1:
        named = ", ".join(member.filename for member in members[:3]) + (", ..." if len(members) > 3 else "")
        raise NotARadarFile(
            f"it is a zip archive of {len(members)} files ({named})" if members else "it is a zip archive without data",
            hint="Unpack it, and give the files in it that are radar frames",
        )
    if members[0].flag_bits & 1:
        raise NotARadarFile("it is a zip archive with a password", hint=UNPACK)
    return members[0]
