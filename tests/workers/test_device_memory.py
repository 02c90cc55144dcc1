"""Memory of GPUs through NVIDIA's own binding, over a library that stands in for the driver's: two GPUs, one lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import WAIT_SECONDS

DRIVER = """
typedef struct { unsigned long long total, free, used; } Memory;
int nvmlInitWithFlags(unsigned int flags) { return 0; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) { *device = (void *)(long)(index + 1); return 0; }
int nvmlDeviceGetMemoryInfo(void *device, Memory *memory) {
    if (device == (void *)2) return 15;  /* NVML_ERROR_GPU_IS_LOST */
    memory->total = 1000; memory->free = 700; memory->used = 300;
    return 0;
}
"""
PROGRAM = """
from service.metrics.instruments import REGISTRY
from workers.device_memory import DeviceMemory
DeviceMemory().report()
for family in REGISTRY.collect():
    for sample in family.samples:
        if "device" in sample.name:
            print(sample.name, sample.labels["device"], sample.value)
"""


def report(**environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_memory_of_each_gpu_that_responds_is_reported(tmp_path: Path) -> None:
    pytest.importorskip("pynvml")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", library], input=DRIVER, text=True, check=True)
    assert report(LD_LIBRARY_PATH=str(tmp_path)) == [
        "echocast_device_memory_used_bytes 0 300.0",
        "echocast_device_memory_size_bytes 0 1000.0",
    ]


def test_a_machine_without_a_driver_has_no_such_metrics(tmp_path: Path) -> None:
    if shutil.which("nvidia-smi"):
        pytest.skip("this machine has a driver")
    assert report() == []
