"""`echocast` starts in any folder: modules that lie in the current folder are never imported."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.jobs.job import JobStatus
from service.settings import Settings
from tests.patience import WAIT_SECONDS
from workers.context import open_context

ECHOCAST = Path(sys.executable).with_name("echocast")
"""The installed command, as a user types it."""

FOREIGN = ("model", "service", "workers", "celery", "billiard", "numpy", "random", "socket", "eccodes")
"""Names of our packages, of libraries and of the standard library that a user's own scripts may have."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with modules that leave a trace in the file `imported` and fail."""
    trace = tmp_path / "imported"
    for name in FOREIGN:
        (tmp_path / f"{name}.py").write_text(
            f"open({str(trace)!r}, 'a').write({name + chr(10)!r})\nraise ImportError('foreign {name}')\n"
        )
    return tmp_path


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ECHOCAST_", "PYTHON"))}
    return {**inherited, "ECHOCAST_THREADS": "1", "ECHOCAST_DATA_DIR": str(tmp_path / "data")}


def imported(folder: Path) -> str:
    trace = folder / "imported"
    return trace.read_text() if trace.exists() else ""


@pytest.fixture
def serve(folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [ECHOCAST, "serve", "--port", "0"], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    )
    yield process
    process.terminate()
    process.communicate(timeout=WAIT_SECONDS)


def test_serve_makes_a_nowcast_in_a_folder_with_foreign_modules(
    serve: subprocess.Popen[str], folder: Path, lab
) -> None:
    assert any(re.search("Echocast serves", line) for line in serve.stderr or [])
    frames = lab.write_frames(folder / "frames.npz", count=3)
    context = open_context(Settings(data_dir=folder / "data", broker_url=None))
    try:
        job = lab.upload(context.ledger, context.store, frames)
        lab.wait_until(
            lambda: context.ledger.get(job.id).status.finished or imported(folder), "a nowcast, or a foreign module"
        )
        assert imported(folder) == ""
        assert context.ledger.get(job.id).status is JobStatus.SUCCESSFUL
    finally:
        context.ledger.close()


def run(folder: Path, environment: dict[str, str], *words: object) -> None:
    done = subprocess.run(
        [ECHOCAST, *map(str, words)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert (done.returncode, imported(folder)) == (0, ""), done.stderr


def test_nowcast_and_import_with_child_processes_in_a_folder_with_foreign_modules(
    folder: Path, environment: dict[str, str], lab
) -> None:
    files = [lab.write_frames(folder / f"frame{number}.npz", first=number) for number in range(3)]
    run(folder, environment, "nowcast", *files, "--steps", 2, "--model", "extrapolation")
    run(folder, environment, "archive", "import", *files, "--out", folder / "archive", "--workers", 2)


def test_training_in_a_folder_with_foreign_modules(folder: Path, environment: dict[str, str]) -> None:
    pytest.importorskip("torch")
    from tests.model.train import tiny

    run(folder, environment, "train", "mnist-predrnn-v2", *tiny.WORDS, "--set", "iterations=1", "--out", folder / "run")
