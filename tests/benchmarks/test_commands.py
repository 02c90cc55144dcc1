"""Every benchmark is a command that can at least be imported and explain itself."""

from __future__ import annotations

import contextlib
import io
import runpy
from pathlib import Path

import pytest

import benchmarks

ROOT = Path(benchmarks.__file__).parent
COMMANDS = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    for path in ROOT.rglob("*.py")
    if 'if __name__ == "__main__":' in path.read_text()
)


@pytest.mark.parametrize("module", COMMANDS)
@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_every_benchmark_prints_its_help(module, monkeypatch):
    monkeypatch.setattr("sys.argv", [module, "--help"])
    text = io.StringIO()
    with contextlib.redirect_stdout(text), pytest.raises(SystemExit) as stopped:
        runpy.run_module(module, run_name="__main__")
    assert not stopped.value.code
    assert "usage:" in text.getvalue()
