"""The run of all faults, small: `run_faults` is the whole of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.fault_injection import DISK, FLUSH
from tests.faults.run_faults import Options, run
from tests.faults.stacks import KINDS


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path so short that the socket of Redis lies in it: the run flushes Redis there."""
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        yield Path(name)


def test_accepted_nowcasts_end_once_with_the_right_result_whatever_is_killed(folder: Path) -> None:
    options = Options("sqlite", jobs=10, clients=6, kills=1, max_attempts=4, steps=4, step_seconds=0.1, pause=1)
    figures = run(options, folder)
    assert figures["broken"] == []
    assert figures["states"] == {"successful": 9, "failed": 1}
    assert figures["faults"].keys() - {DISK} == {*KINDS, FLUSH}
    if DISK in figures["faults"]:
        assert figures["answers"]["POST 503 no-space"] > 0
