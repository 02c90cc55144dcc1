"""docs/networks.md: each generated part stands between two comment lines, so that a command can replace it alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path


def replace_part(name: str, text: str, page: Path) -> None:
    """Write `text` between `<!-- begin NAME -->` and `<!-- end NAME -->`."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{page} has no part {name}: it wants the lines {begin} and {end}")
    page.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")


def part_of(name: str, page: Path) -> str:
    """What stands between the two lines."""
    return page.read_text(encoding="utf-8").partition(f"<!-- begin {name} -->")[2].partition(f"<!-- end {name} -->")[0]


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, text: int = 1) -> str:
    """A markdown table; the first columns, as many as `text`, are text, the others are figures."""
    lines = [header, [*["---"] * text, *["---:"] * (len(header) - text)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
