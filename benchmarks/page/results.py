"""The last figures of each part, with their date and machine: `benchmarks/figures/performance.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import paths
from model.bench.machine import describe_machine, machine_summary
from model.core.atomic import write_atomically

FIGURES = paths.FIGURES / "performance.json"
NOT_MEASURED = "not measured"


@dataclass(frozen=True, kw_only=True)
class AimRow:
    """A row of the table of aims.

    `reached` is the measured figure over the aim, so that 1 and more meets it; None if `measured` says why there is no
    figure.
    """

    what: str
    against: str
    aim: str
    measured: str
    reached: float | None = None

    @property
    def met(self) -> str:
        """Return yes or no; an empty string without a figure."""
        return "" if self.reached is None else "yes" if self.reached >= 1 else "no"


def store(name: str, figures: Mapping[str, Any], path: Path = FIGURES) -> dict[str, Any]:
    """Store the figures of a part, with the machine; other parts stay as they are. Return all parts."""
    parts = read(path)
    parts[name] = {"machine": describe_machine(), **figures}
    write_atomically(path, (json.dumps(parts, indent=1) + "\n").encode())
    return parts


def store_and_print(name: str, figures: Mapping[str, Any]) -> None:
    """Store the figures of a part and print them as JSON."""
    print(json.dumps(store(name, figures)[name], indent=1))


def read(path: Path = FIGURES) -> dict[str, Any]:
    """Read the last figures of all parts."""
    parts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return parts


def as_json(rows: Sequence[AimRow]) -> list[dict[str, Any]]:
    """Return rows as JSON objects, for `store`."""
    return [asdict(row) for row in rows]


def rows_of(part: Mapping[str, Any] | None) -> list[AimRow]:
    """Return the rows of a stored part."""
    return [AimRow(**row) for row in part["rows"]] if part else []


def measured_on(part: Mapping[str, Any]) -> str:
    """Return the date and machine of a part as a sentence."""
    machine = part["machine"]
    libraries = ", ".join(f"{name} {number}" for name, number in machine["libraries"].items())
    others = part.get("others_cores")
    load = "" if others is None else f" Meanwhile other processes kept {others:g} cores busy."
    return f"Measured on {machine['date']}: {machine_summary(machine)}; Python {machine['python']}, {libraries}.{load}"
