"""Part of the hostile files, through the real upload; `python -m tests.faults.run_hostile_files` sends all."""

from __future__ import annotations

from pathlib import Path

from tests.faults.hostile_files import hostile_files
from tests.faults.run_hostile_files import run

EVERY = 16
KINDS_ALWAYS = ("chunks_of_one_pixel", "fill_value", "10^9", "billion", "attribute_of_20_mb", "external", "vertical")


def test_hostile_files_are_problems_of_their_job_alone(tmp_path: Path) -> None:
    corpus = list(hostile_files())
    assert len(corpus) >= 300
    assert len({file.kind for file in corpus}) > 120
    named = [file for file in corpus if any(word in file.kind for word in KINDS_ALWAYS)]
    part = list(dict.fromkeys([*corpus[::EVERY], *named]))
    report = run(part, tmp_path)
    assert report.faults == []
