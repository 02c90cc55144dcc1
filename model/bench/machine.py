"""Describe the machine of a measurement."""

from __future__ import annotations

import importlib.util
import os
import platform
import resource
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from model.core.cores import available_cores

LIBRARIES = ("echocast", "onnxruntime", "onnxruntime-gpu", "torch", "numpy", "opencv-python-headless", "pysteps")


def describe_machine() -> dict[str, object]:
    """Return the machine, its software and the date (UTC)."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": processor(),
        "cores": available_cores(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "accelerator": accelerator(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: found for name in LIBRARIES if (found := _version(name))},
    }


def machine_summary(machine: dict[str, object]) -> str:
    """Return one line of the processor, cores, memory and accelerator."""
    device = machine["accelerator"] or "no accelerator"
    return f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, {device}"


def processor() -> str:
    """Return the name of the processor, with the instruction sets for fast multiplication."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(reversed([line.split(":", 1) for line in lines if ":" in line]))
    named = {name.strip(): value.strip() for name, value in fields.items()}
    flags = set(named.get("flags", "").split())
    extensions = [name for flag, name in EXTENSIONS.items() if flag in flags]
    name = named.get("model name") or platform.processor() or platform.machine()
    return f"{name} ({', '.join(extensions)})" if extensions else name


EXTENSIONS = {
    "avx2": "AVX2", "avx512f": "AVX-512", "avx512_vnni": "VNNI", "avx_vnni": "AVX-VNNI", "avx512_bf16": "BF16",
    "amx_tile": "AMX",
}  # fmt: skip


def accelerator() -> str:
    """Return the GPUs that the driver lists, with their memory; empty without a GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "; ".join(done.stdout.split("\n")).strip("; ") if done.returncode == 0 else ""


def peak_memory_mb() -> float:
    """Return the peak resident memory of this process in MB (2^20 bytes)."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        # Not getrusage: a child process inherits the peak of its parent there.
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        scale = 2**20 if platform.system() == "Darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def installed(package: str) -> bool:
    """Return whether a package can be imported, without the import."""
    return importlib.util.find_spec(package) is not None


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
