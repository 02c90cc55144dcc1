"""`checksums.sha256`: SHA-256 of each file of an archive, as `sha256sum` writes and checks it."""

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
    """The list of an archive: grows by a line per file while frames are written, and is sorted by path at the end.

    `of`: hexadecimal SHA-256 by the path below the archive's folder.
    """

    def __init__(self, root: Path) -> None:
        self._list = LineFile(root / CHECKSUMS)
        found = (LINE.fullmatch(line) for line in self._list.read())
        self.of = {match[2]: match[1] for match in found if match}

    @property
    def path(self) -> Path:
        """Where the list lies."""
        return self._list.path

    def add(self, digests: Mapping[str, str]) -> None:
        """Append files and their SHA-256."""
        self._list.append(f"{digest}  {name}" for name, digest in digests.items())
        self.of.update(digests)

    def finish(self) -> None:
        """Sort the list by path, each file once; files that are gone are left out."""
        root = self.path.parent
        self.of = {name: self.of[name] for name in sorted(self.of) if (root / name).exists()}
        self._list.rewrite(f"{digest}  {name}" for name, digest in self.of.items())


def digest_of(content: bytes) -> str:
    """SHA-256 (hex)."""
    return hashlib.sha256(content).hexdigest()
