"""ONNX Runtime sends no telemetry."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from model.core.catalog import DEFAULT_MODEL, Catalog

WATCHED = """
import os, sys
import cv2, h5py, isal.isal_zlib, netCDF4, numpy, pyproj, xarray
threads = lambda: len(os.listdir("/proc/self/task"))
before = threads()
{load}
assert "onnxruntime" in sys.modules
options = ort.SessionOptions()
options.intra_op_num_threads = 1
ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
print(threads() - before)
"""


def threads_of_its_own(load: str, home: Path) -> int:
    """How many threads ONNX Runtime starts, loaded so, in a process with an empty home folder, to run a graph."""
    graph = Catalog().find(DEFAULT_MODEL).folder / "model.fp32.onnx"
    # With one of these set it sends nothing anyhow.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("CI", "ORT_", "XDG_", "GITHUB_", "TF_"))}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED.format(load=load), str(graph)],
        env={**environment, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted as Linux counts them")
@pytest.mark.parametrize("first", ["", "import model.runtime.onnx_predictor", "import model.bench.peak"])
def test_no_file_is_left_at_home_and_no_thread_resolves_a_host(tmp_path: Path, first: str) -> None:
    assert threads_of_its_own(f"{first}\nfrom model.runtime.ort import ort", tmp_path) == 0
    assert list(tmp_path.iterdir()) == []
