"""The device that a graph runs on, the precision of the graph, and the memory for it."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from model.core.errors import BadPackage, InputError, first_line
from model.core.settings import EngineEnvironment, EngineSettings, Variant, read_environment
from model.runtime.graph_session import OneStepSession, WholeSession
from model.runtime.ort import ort

FASTEST: Final[Mapping[str, tuple[str, ...]]] = {
    "cuda": ("fp16", "fp32"),
    "cpu": ("fp32",),
    "cpu+int8": ("int8", "fp32"),
}
"""Variants by speed. `cpu+int8`: processors with dot products of 8-bit integers (VNNI on x86, SDOT on Arm). Elsewhere
int8 is slower than float32, and sums of two products saturate at 16 bits
(https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, reduce_range)."""
INT8_FLAGS: Final = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})

CUDA: Final = "CUDAExecutionProvider"
CPU: Final = "CPUExecutionProvider"
MB: Final = 2**20


class EngineOptions(EngineSettings):
    """The settings of the engine, and options for tests and benchmarks alone.

    `batch_size`: tiles that run as one batch; 0: 1 on a CPU, 16 on a GPU. `skip_dry`: compute only the area around
    rain.
    """

    batch_size: int = 0
    skip_dry: bool = True

    @classmethod
    def from_environment(cls) -> EngineOptions:
        """Return the options with the settings of the environment.

        Raises
        ------
        BadSetting
            A value cannot be used; the error names the variable.
        """
        return cls(**read_environment(EngineEnvironment).model_dump())


def fastest_variant(variants: Mapping[str, str], device: str, requested: Variant = "auto") -> str:
    """Return the fastest variant of a package on `cpu` or `cuda`, or the requested one.

    Raises
    ------
    BadPackage
        The package has no such variant.
    """
    kind = "cpu+int8" if device == "cpu" and _multiplies_int8() else device
    order = FASTEST[kind] if requested == "auto" else (requested,)
    for name in order:
        if name in variants:
            return name
    has = ", ".join(variants) or "none"
    what = f"no variant {' or '.join(order)}, it has {has}"
    raise BadPackage(what, where="package", hint="Export it again, or choose another variant")


def _multiplies_int8() -> bool:
    """Return whether this processor has instructions for dot products of 8-bit integers."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
            name, _, flags = line.partition(":")
            if name.strip() in ("flags", "Features"):
                return not INT8_FLAGS.isdisjoint(flags.split())
    except OSError:
        pass
    return platform.machine() in ("arm64", "aarch64")


def select_device(options: EngineOptions) -> str:
    """Return `cpu` or `cuda`.

    Raises
    ------
    InputError
        CUDA is requested, and the installed ONNX Runtime has no support for it.
    """
    available = CUDA in ort.get_available_providers()
    if options.device == "cuda" and not available:
        raise InputError(
            "CUDA is requested, and the installed ONNX Runtime runs on the CPU only",
            where="ECHOCAST_DEVICE",
            hint="Install the extra gpu in place of cpu: pip install 'echocast[gpu]'",
        )
    return "cuda" if available and options.device != "cpu" else "cpu"


def open_session(
    path: Path, *, options: EngineOptions | None = None, threads: int | None = None
) -> OneStepSession | WholeSession:
    """Load the graph of a file; its metadata name the kind of session.

    Parameters
    ----------
    path : Path
        An ONNX file.
    options : EngineOptions, optional
        Device and memory; None: those of the environment.
    threads : int, optional
        Threads of the CPU, in place of those of the options.

    Raises
    ------
    BadPackage
        ONNX Runtime cannot load the graph, or it is too large for the device.
    InputError
        The requested device is not available.
    """
    options = options or EngineOptions.from_environment()
    device = select_device(options)
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = threads or options.threads
    settings.enable_mem_pattern = False  # a memory pattern is cached for every shape, and tiles have many shapes
    providers: list[str | tuple[str, dict[str, str]]] = [CPU]
    if device == "cuda":
        cap = {"gpu_mem_limit": str(options.gpu_memory_mb * MB)} if options.gpu_memory_mb else {}
        providers.insert(0, (CUDA, {"arena_extend_strategy": "kSameAsRequested", **cap}))
    weights = _size_mb(path)
    has = (options.gpu_memory_mb or gpu_memory_mb()) if device == "cuda" else options.memory_mb
    _check_room(weights, path, device, has)
    try:
        session = ort.InferenceSession(path, settings, providers=providers)
    except Exception as error:  # onnxruntime raises its own, undocumented types
        reason = first_line(error)
        raise BadPackage(
            f"ONNX Runtime cannot load the graph ({reason})", where=str(path), hint="Export the package again"
        ) from None
    if device == "cuda" and session.get_providers()[0] != CUDA:
        raise InputError(
            "ONNX Runtime has CUDA support and cannot use it: the graph would run on the CPU",
            where="ECHOCAST_DEVICE",
            hint="Install the driver, CUDA and cuDNN that onnxruntime-gpu requires, or set ECHOCAST_DEVICE=cpu",
        )
    kind = session.get_modelmeta().custom_metadata_map.get("kind", "one-step")
    graph = WholeSession(session) if kind == "whole" else OneStepSession(session)
    _check_room(weights + graph.smallest_bytes / MB, path, device, has)
    return graph


def _size_mb(path: Path) -> float:
    """Return the size of the weights and of their copy in the device's layout; 0 for a file that cannot be read."""
    return 2 * path.stat().st_size / MB if path.is_file() else 0.0


def _check_room(needed_mb: float, path: Path, device: str, has_mb: int) -> None:
    """Raise BadPackage if a model needs more memory than is available; 0 is an unknown amount."""
    if has_mb and needed_mb > has_mb:
        owner = "the GPU has" if device == "cuda" else "a forecast may take"
        limit = "ECHOCAST_GPU_MEMORY_MB" if device == "cuda" else "ECHOCAST_MEMORY_MB"
        what = f"the model takes {np.ceil(needed_mb):.0f} MB at least, {owner} {has_mb} MB"
        raise BadPackage(what, where=str(path), hint=f"Run it on a larger device, or raise {limit}")


def gpu_memory_mb() -> int:
    """Return the memory of the first GPU that this process sees (MB); 0 if `nvidia-smi` does not report it."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0] or "0"
    command = ["nvidia-smi", f"--id={first}", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
        return int(output.split()[0])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return 0
