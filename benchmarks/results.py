"""What was measured last, part by part, with its date and machine: `benchmarks/performance.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.page import table
from model.bench.machine import describe, told

FIGURES = Path(__file__).with_name("performance.json")
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


def keep(name: str, figures: Mapping[str, Any], path: Path = FIGURES) -> dict[str, Any]:
    """Write the figures of a part, with the machine that they were measured on; other parts stay as they are."""
    parts = read(path)
    parts[name] = {"machine": describe(), **figures}
    text = json.dumps(parts, indent=1)
    path.with_suffix(".part").write_text(text + "\n", encoding="utf-8")
    path.with_suffix(".part").replace(path)
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
    return f"Measured on {machine['date']}: {told(machine)}; Python {machine['python']}, {libraries}."


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose cells are text, or a dash where there is none."""
    return table(header, [[cell or "-" for cell in row] for row in rows])
