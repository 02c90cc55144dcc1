"""`checksums.sha256`: the SHA-256 of each file of an archive, in the format of `sha256sum`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from model.data.line_file import LineFile

CHECKSUMS: Final = "checksums.sha256"
LINE: Final = re.compile(r"([0-9a-f]{64}) [ *](.+)")


class Checksums:
    """The checksums of an archive: appended while frames are written, and sorted by path at the end.

    `by_name`: hexadecimal SHA-256 by the path relative to the archive's folder.
    """

    def __init__(self, root: Path) -> None:
        self._file = LineFile(root / CHECKSUMS)
        found = (LINE.fullmatch(line) for line in self._file.read())
        self.by_name = {match[2]: match[1] for match in found if match}

    @property
    def path(self) -> Path:
        """Path of the file."""
        return self._file.path

    def add(self, digests: Mapping[str, str]) -> None:
        """Append the SHA-256 (hex) of files by their relative paths."""
        self._file.append(f"{digest}  {name}" for name, digest in digests.items())
        self.by_name.update(digests)

    def finish(self) -> None:
        """Sort the checksums by path, one per file, without those of deleted files."""
        root = self.path.parent
        self.by_name = {name: self.by_name[name] for name in sorted(self.by_name) if (root / name).exists()}
        self._file.rewrite(f"{digest}  {name}" for name, digest in self.by_name.items())


def sha256_hex(content: bytes) -> str:
    """Return the SHA-256 of bytes as a hexadecimal string."""
    return hashlib.sha256(content).hexdigest()
