"""Generated parts of the pages in docs/: each stands between two comment lines, so that a command can replace it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path


def replace_part(name: str, text: str, page: Path) -> None:
    """Write `text` between `<!-- begin NAME -->` and `<!-- end NAME -->`."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    before, opened, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (opened and closed):
        raise SystemExit(f"{page} has no part {name}: it needs the lines {begin} and {end}")
    page.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")


def part_of(name: str, page: Path) -> str:
    """Return the text between the two lines."""
    return page.read_text(encoding="utf-8").partition(f"<!-- begin {name} -->")[2].partition(f"<!-- end {name} -->")[0]


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, align: str = "") -> str:
    """Return a markdown table with a dash in empty cells.

    `align` has a letter for each column, `l` or `r`; by default the first column is text and the others are figures.
    """
    align = align or "l" + "r" * (len(header) - 1)
    rules = ["---" if letter == "l" else "---:" for letter in align]
    lines = [header, rules, *([cell or "-" for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
