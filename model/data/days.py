"""Lists of days in HKO-7's format, and the split of an archive that is made of three of them: `split/`.

A line is `yyyymmdd, amount`: a day, and how much it rained. Days are held apart whole, for frames of one day are alike.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np

from model.core.errors import InputError
from model.data.files import write_whole, writing

SPLIT: Final = "split"
OLD: Final = f".{SPLIT}.old"
PARTS: Final = ("train", "valid", "test")
LINE: Final = re.compile(r"(\d{4})(\d\d)(\d\d)\s*(?:,\s*([-+.\deE]*))?\s*")
NAMED: Final = 5

Days = Mapping[np.datetime64, str]
"""Days (datetime64[D]) and their amounts, as they were written; '' where none was."""


def read_days(path: Path) -> Days:
    """A list of days.

    Raises:
        InputError: it is absent, empty, a line is not `yyyymmdd, amount`, or a day is in it twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"it cannot be read ({reason})", where=str(path), mend="Give a list of days") from None
    days: dict[np.datetime64, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        day = _day(match) if (match := LINE.fullmatch(line)) else None
        if match is None or day is None or day in days:
            what = "a day for the second time" if day is not None and day in days else "not a day and its rain"
            raise InputError(
                f"line {number} is {what}: {line.strip()[:40]!r}",
                where=str(path),
                mend="Write lines like: 20150107, 0.1",
            )
        days[day] = match[4] or ""
    return days


def _day(match: re.Match[str]) -> np.datetime64 | None:
    try:
        return np.datetime64("-".join(match.groups()[:3]), "D")
    except ValueError:
        return None


def check_apart(parts: Mapping[str, Days], where: str) -> None:
    """Refuse parts that share days.

    Raises:
        InputError: two of them do; the message names the days.
    """
    for one, other in combinations(parts, 2):
        shared = sorted(set(parts[one]) & set(parts[other]))
        if shared:
            named = ", ".join(str(day) for day in shared[:NAMED])
            more = f" and {len(shared) - NAMED} more" if len(shared) > NAMED else ""
            raise InputError(
                f"{len(shared)} days are both in {one} and in {other}: {named}{more}",
                where=where,
                mend="Leave each day in one list: what is trained on cannot be a test",
            )


def read_split(root: Path) -> dict[str, Days]:
    """Days of each part of an archive's split; {} where it has none.

    Raises:
        InputError: a list is absent or damaged, or two share a day.
    """
    folder = root / SPLIT
    if not folder.is_dir():
        folder = root / OLD  # as a crash leaves it, between two renames
    if not folder.is_dir():
        return {}
    parts = {part: read_days(folder / f"{part}.txt") for part in PARTS}
    check_apart(parts, str(folder))
    return parts


def write_split(root: Path, parts: Mapping[str, Days]) -> None:
    """Put the lists of a split into an archive, all of them or none.

    Raises:
        InputError: two share a day, or they cannot be written.
    """
    check_apart(parts, str(root))
    made, old = root / f".{SPLIT}.new", root / OLD
    with writing(root):
        if old.is_dir() and not (root / SPLIT).exists():
            old.rename(root / SPLIT)
        for leftover in (made, old):
            shutil.rmtree(leftover, ignore_errors=True)
        for part in PARTS:
            days = parts[part]
            lines = (f"{str(day).replace('-', '')}, {days[day]}".rstrip(", ") + "\n" for day in sorted(days))
            write_whole(made / f"{part}.txt", "".join(lines).encode())
        if (root / SPLIT).exists():
            (root / SPLIT).rename(old)
        made.rename(root / SPLIT)
        shutil.rmtree(old, ignore_errors=True)
