"""The house rules: imports go one way, serving needs no PyTorch, importing a module does nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import WAIT_SECONDS

TRAINING = ("torch", "onnx", "onnx_ir", "onnxscript")


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """`lint-imports` over the packages in `root`."""
    # Where the project is installed in editable mode too, the packages in `root` must still come first.
    program = (
        f"import sys; sys.path.insert(0, {str(root)!r})\n"
        "from importlinter.cli import lint_imports_command\nlint_imports_command()"
    )
    command = [sys.executable, "-c", program, "--no-cache"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False)


def test_imports_go_one_way(project: Path) -> None:
    done = lint_imports(project)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("model/core/units.py", "import service.settings", "model never imports service or workers"),
        ("service/commands.py", "import onnxruntime", "the gateway knows of the science only its core"),
    ],
)
def test_an_import_that_goes_the_wrong_way_is_caught(
    project: Path, tmp_path: Path, module: str, line: str, broken: str
) -> None:
    for package in ("model", "service", "workers"):
        shutil.copytree(
            project / package,
            tmp_path / package,
            ignore=lambda _, names: [n for n in names if "." in n and n[-3:] != ".py"],
        )
    shutil.copy(project / "pyproject.toml", tmp_path)
    with (tmp_path / module).open("a") as file:
        file.write(f"{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode != 0
    assert f"{broken} BROKEN" in done.stdout


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        (
            ("service.commands", "service.embedded", "service.server", "service.api.app"),
            (*TRAINING, "onnxruntime", "cv2", "model.runtime", "model.readers", "workers"),
        ),
        (("service.cli",), (*TRAINING, "onnxruntime", "fastapi", "celery", "sqlalchemy")),
        (("workers.app", "workers.tasks"), (*TRAINING, "fastapi")),
        (
            ("model.runtime", "model.commands", "model.registry.cli", "model.readers", "model.data.synthetic_storms"),
            (*TRAINING, "fastapi", "celery"),
        ),
    ],
)
def test_importing_brings_in_no_more_than_it_should(modules: tuple[str, ...], absent: tuple[str, ...]) -> None:
    program = f"import sys, {', '.join(modules)}; print([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=WAIT_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_onnx_runtime_comes_from_the_one_place_that_turns_its_telemetry_off(project: Path) -> None:
    importing = re.compile(r"^\s*(import onnxruntime|from onnxruntime)", re.MULTILINE)
    folders = (project / name for name in ("model", "service", "workers", "benchmarks", "tests"))
    found = [path for folder in folders for path in folder.rglob("*.py") if importing.search(path.read_text())]
    assert found == [project / "model" / "runtime" / "ort.py"]


def test_workers_see_of_the_runtime_only_requests_predictors_and_encoded_tiles(project: Path) -> None:
    found: set[str] = set()
    for path in (project / "workers").glob("*.py"):
        found.update(re.findall(r"from model\.runtime\.(\w+) import", path.read_text()))
    assert found == {"device", "forecast_task", "load", "model_selection", "predictor", "remote_tiles", "request"}
