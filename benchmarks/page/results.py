"""What was measured last, part by part, with its date and machine: `benchmarks/figures/performance.json`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import paths
from benchmarks.page.markdown import table
from model.bench.machine import describe_machine, machine_summary
from model.core.atomic import write_atomically

FIGURES = paths.FIGURES / "performance.json"
NOT_MEASURED = "not measured"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table of aims. `reached`: what was measured over the aim, so that 1 and more is the aim met; None:
    not measured, and `measured` says why."""

    what: str
    against: str
    aim: str
    measured: str
    reached: float | None = None

    @property
    def met(self) -> str:
        """yes, no, or nothing where it was not measured."""
        return "" if self.reached is None else "yes" if self.reached >= 1 else "no"


class Others:
    """What other processes take of the processor from now on: a figure measured beside them is worth less."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._busy, self._ours = _busy_seconds(), _our_seconds()

    def cores(self) -> float | None:
        """How many cores they kept busy since, on average; None where the system does not tell. Ours are this process
        and its children that ended."""
        now = _busy_seconds()
        if now is None or self._busy is None:
            return None
        theirs = now - self._busy - (_our_seconds() - self._ours)
        return round(max(0.0, theirs) / self.seconds(), 2)

    def seconds(self) -> float:
        """That have gone by."""
        return time.perf_counter() - self._began


def _busy_seconds() -> float | None:
    """Of all cores, since the system started: user, nice, system, interrupts, stolen."""
    try:
        fields = [int(field) for field in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]]
    except (OSError, ValueError, IndexError):
        return None
    return sum(fields[:3] + fields[5:8]) / os.sysconf("SC_CLK_TCK")


def _our_seconds() -> float:
    return sum(os.times()[:4])


def keep(name: str, figures: Mapping[str, Any], path: Path = FIGURES) -> dict[str, Any]:
    """Write the figures of a part, with the machine that they were measured on; other parts stay as they are."""
    parts = read(path)
    parts[name] = {"machine": describe_machine(), **figures}
    write_atomically(path, (json.dumps(parts, indent=1) + "\n").encode())
    return parts


def read(path: Path = FIGURES) -> dict[str, Any]:
    """The figures of all parts that were ever measured."""
    parts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return parts


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows, for `keep`."""
    return [asdict(row) for row in rows]


def rows_of(part: Mapping[str, Any] | None) -> list[Row]:
    """The rows of a part that was kept."""
    return [Row(**row) for row in part["rows"]] if part else []


def measured_on(part: Mapping[str, Any]) -> str:
    """Date and machine of a part, as a sentence."""
    machine = part["machine"]
    libraries = ", ".join(f"{name} {number}" for name, number in machine["libraries"].items())
    others = part.get("others_cores")
    beside = "" if others is None else f" Meanwhile other processes kept {others:g} cores busy."
    return (
        f"Measured on {machine['date']}: {machine_summary(machine)}; Python {machine['python']}, {libraries}.{beside}"
    )


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], *, text: int = 1) -> str:
    """A table with a dash where a cell is empty; the first columns, as many as `text`, are text."""
    return table(header, [[cell or "-" for cell in row] for row in rows], text=text)
