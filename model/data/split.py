"""Lists of days in HKO-7's format, and the split of an archive into three of them: `split/`.

A line is `yyyymmdd, amount`: a day and its rain. Whole days are split, because frames of one day resemble each other.
Archives of few days are split into blocks of hours instead: `yyyymmddTHHMM/yyyymmddTHHMM, amount`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.core.atomic import translate_write_errors, write_atomically
from model.core.errors import InputError

SPLIT: Final = "split"
BACKUP: Final = f".{SPLIT}.old"
PARTS: Final = ("train", "valid", "test")
LINE: Final = re.compile(r"([\dT/]+)\s*(?:,\s*([-+.\deE]*))?\s*")
DAY: Final = re.compile(r"(\d{4})(\d\d)(\d\d)")
MINUTE: Final = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)")
MAX_DAYS_SHOWN: Final = 5


class Block(NamedTuple):
    """A period from `begin` to `end`, which it excludes (UTC, datetime64[m])."""

    begin: np.datetime64
    end: np.datetime64

    def __str__(self) -> str:
        return "/".join(str(time).replace("-", "").replace(":", "") for time in self)


Day = np.datetime64 | Block
"""A day (datetime64[D]) or, in its place, a block of hours."""
Days = Mapping[Day, str]
"""Days and their rain amounts, as in the list; '' without an amount."""


def among(times: NDArray[np.datetime64], days: Days) -> NDArray[np.bool_]:
    """Return whether each of the times lies in one of the days."""
    whole = [day for day in days if not isinstance(day, Block)]
    found: NDArray[np.bool_] = np.isin(times.astype("datetime64[D]"), whole)
    for day in days:
        if isinstance(day, Block):
            found |= (times >= day.begin) & (times < day.end)
    return found


def read_day_list(path: Path) -> Days:
    """Read a list of days.

    Raises
    ------
    InputError
        The file cannot be read, a line is not `yyyymmdd, amount`, or a day occurs twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise InputError(f"it cannot be read ({reason})", where=str(path), hint="Give a list of days") from None
    days: dict[Day, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        day = _day(match[1]) if (match := LINE.fullmatch(line)) else None
        if match is None or day is None or day in days:
            problem = "repeats a day" if day is not None and day in days else "is not a day and its rain"
            what = f"line {number} {problem}: {line.strip()[:40]!r}"
            raise InputError(what, where=str(path), hint="Write lines like: 20150107, 0.1")
        days[day] = match[2] or ""
    return days


def _day(text: str) -> Day | None:
    try:
        if match := DAY.fullmatch(text):
            return np.datetime64("-".join(match.groups()), "D")
        begin, end = (MINUTE.fullmatch(part) for part in text.split("/"))
        if begin is None or end is None:
            return None
        block = Block(*(np.datetime64("{}-{}-{}T{}:{}".format(*each.groups()), "m") for each in (begin, end)))
    except ValueError:
        return None
    return block if block.begin < block.end else None


def _span(day: Day) -> Block:
    return day if isinstance(day, Block) else Block(day.astype("datetime64[m]"), (day + 1).astype("datetime64[m]"))


def _overlapping(one: Days, other: Days) -> list[Day]:
    """Return the days of one list that overlap days of the other."""
    if not any(isinstance(day, Block) for day in (*one, *other)):
        return sorted(set(one) & set(other))
    spans = [_span(day) for day in other]
    return [day for day in one if any(s.begin < _span(day).end and _span(day).begin < s.end for s in spans)]


def check_disjoint(parts: Mapping[str, Days], where: str) -> None:
    """Check that the parts of a split share no days.

    Raises
    ------
    InputError
        Two parts share days, which the message names.
    """
    for one, other in combinations(parts, 2):
        shared = _overlapping(parts[one], parts[other])
        if shared:
            named = ", ".join(str(day) for day in shared[:MAX_DAYS_SHOWN])
            more = f" and {len(shared) - MAX_DAYS_SHOWN} more" if len(shared) > MAX_DAYS_SHOWN else ""
            what = f"{len(shared)} days are both in {one} and in {other}: {named}{more}"
            raise InputError(what, where=where, hint="Keep each day in one list only: training data is no test data")


def read_split(root: Path) -> dict[str, Days]:
    """Read the days of each part of an archive's split; {} if the archive has no split.

    Raises
    ------
    InputError
        A list is missing or damaged, or two lists share a day.
    """
    folder = root / SPLIT
    if not folder.is_dir():
        folder = root / BACKUP  # after a crash between the two renames of write_split
    if not folder.is_dir():
        return {}
    parts = {part: read_day_list(folder / f"{part}.txt") for part in PARTS}
    check_disjoint(parts, str(folder))
    return parts


def write_split(root: Path, parts: Mapping[str, Days]) -> None:
    """Write the lists of a split into an archive, atomically.

    Raises
    ------
    InputError
        Two lists share a day, or they cannot be written.
    """
    check_disjoint(parts, str(root))
    new, old = root / f".{SPLIT}.new", root / BACKUP
    with translate_write_errors(root):
        if old.is_dir() and not (root / SPLIT).exists():
            old.rename(root / SPLIT)
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)
        for part in PARTS:
            days = parts[part]
            ordered = sorted(days, key=lambda day: _span(day).begin)
            lines = (f"{str(day).replace('-', '')}, {days[day]}".rstrip(", ") + "\n" for day in ordered)
            write_atomically(new / f"{part}.txt", "".join(lines).encode())
        if (root / SPLIT).exists():
            (root / SPLIT).rename(old)
        new.rename(root / SPLIT)
        shutil.rmtree(old, ignore_errors=True)
