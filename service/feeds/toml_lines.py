"""On which line of a TOML file a key of an array's table stands. The parser of Python tells only of broken lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

HEADER: Final = re.compile(r"\s*\[(\[)?\s*([A-Za-z0-9_.\s\"'-]+?)\s*\]\]?\s*(#.*)?$")
KEY: Final = re.compile(r"\s*[\"']?([A-Za-z0-9_-]+)[\"']?\s*=")

Path = tuple[str | int, ...]


def line_of(text: str, path: Sequence[str | int]) -> int | None:
    """Return the line (from 1) of a key, else that of the header of its table; None where neither is found.

    Parameters
    ----------
    text
        The file, with its tables as headers, not in line.
    path
        Names and positions, such as ("feed", 0, "alert", 1, "rain_rate").
    """
    wanted = tuple(path)
    counts: dict[Path, int] = {}
    table: Path = ()
    depth, best = 0, None
    for number, line in enumerate(text.splitlines(), start=1):
        if header := HEADER.match(line):
            found = table = _table(header[2], header[1] is not None, counts)
        elif key := KEY.match(line):
            found = (*table, key[1])
        else:
            continue
        if len(found) > depth and wanted[: len(found)] == found:
            depth, best = len(found), number
    return best


def _table(name: str, is_array: bool, counts: dict[Path, int]) -> Path:
    """Return the path of the table that a header begins, with the positions in arrays."""
    path: Path = ()
    parts = [part.strip().strip("\"'") for part in name.split(".")]
    for depth, part in enumerate(parts):
        path = (*path, part)
        if is_array and depth == len(parts) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path
