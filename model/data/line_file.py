"""Text files that grow line by line and survive a crash."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from model.core.atomic import write_atomically


class LineFile:
    """A text file that grows by lines; a last line without a newline, which a crash cut short, is ignored."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[str]:
        """Return the complete lines; none if the file does not exist."""
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return text[: text.rfind("\n") + 1].splitlines()

    def append(self, lines: Iterable[str]) -> None:
        """Append lines after the last complete one."""
        content = "".join(f"{line}\n" for line in lines).encode()
        with self.path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.truncate(self.path.read_bytes().rfind(b"\n") + 1)
            file.write(content)

    def rewrite(self, lines: Iterable[str]) -> None:
        """Replace all lines."""
        write_atomically(self.path, "".join(f"{line}\n" for line in lines).encode())
