"""Where a graph runs, in which precision, and with how much memory."""

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
from model.runtime.graph_session import GraphSession, OneStepSession, WholeSession
from model.runtime.ort import ort

FASTEST: Final[Mapping[str, tuple[str, ...]]] = {
    "cuda": ("fp16", "fp32"),
    "cpu": ("fp32",),
    "cpu+int8": ("int8", "fp32"),
}
"""Variants by speed. `cpu+int8`: processors that multiply 8-bit integers four at a time; on others int8 is slower, and
sums of products overflow."""
INT8_FLAGS: Final = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})

CUDA: Final = "CUDAExecutionProvider"
CPU: Final = "CPUExecutionProvider"
MB: Final = 2**20


class EngineOptions(EngineSettings):
    """How packages run: the settings of the engine, and what only tests and benchmarks choose.

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


def fastest_variant(variants: Mapping[str, str], device: str, wanted: Variant = "auto") -> str:
    """The variant of a package to run on `cpu` or `cuda`; with `wanted`, that one.

    Raises
    ------
    BadPackage
        The package has no such variant.
    """
    kind = "cpu+int8" if device == "cpu" and _multiplies_int8() else device
    order = FASTEST[kind] if wanted == "auto" else (wanted,)
    for name in order:
        if name in variants:
            return name
    has = ", ".join(variants) or "none"
    raise BadPackage(
        f"no variant {' or '.join(order)}, it has {has}",
        where="package",
        hint="Export it again, or choose another variant",
    )


def _multiplies_int8() -> bool:
    """Whether this processor has instructions for products of 8-bit integers."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
            name, _, flags = line.partition(":")
            if name.strip() in ("flags", "Features"):
                return not INT8_FLAGS.isdisjoint(flags.split())
    except OSError:
        pass
    return platform.machine() in ("arm64", "aarch64")


def wanted_device(options: EngineOptions) -> str:
    """`cpu` or `cuda`: where a graph is to run.

    Raises
    ------
    InputError
        CUDA is asked for, and this ONNX Runtime has none.
    """
    available = CUDA in ort.get_available_providers()
    if options.device == "cuda" and not available:
        raise InputError(
            "CUDA is asked for, and the ONNX Runtime that is installed runs on the CPU alone",
            where="ECHOCAST_DEVICE",
            hint="Install the extra gpu in place of cpu: pip install 'echocast[gpu]'",
        )
    return "cuda" if available and options.device != "cpu" else "cpu"


def open_session(
    path: Path, *, options: EngineOptions | None = None, threads: int | None = None
) -> OneStepSession | WholeSession:
    """The graph of a file, as its metadata say it is to be run. `threads` comes before those of `options`.

    Raises
    ------
    BadPackage
        ONNX Runtime cannot load it, or it is too large for the device.
    InputError
        The device that is asked for is not there.
    """
    options = options or EngineOptions.from_environment()
    device = wanted_device(options)
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = threads or options.threads
    settings.enable_mem_pattern = False  # one for each shape of a tile would be kept
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
            f"ONNX Runtime cannot load the graph ({reason})",
            where=str(path),
            hint="Export the package again",
        ) from None
    if device == "cuda" and session.get_providers()[0] != CUDA:
        raise InputError(
            "ONNX Runtime brings CUDA and cannot use it: the graph would run on the CPU",
            where="ECHOCAST_DEVICE",
            hint="See that driver, CUDA and cuDNN are those that onnxruntime-gpu wants, or set ECHOCAST_DEVICE=cpu",
        )
    kind = session.get_modelmeta().custom_metadata_map.get("kind", "one-step")
    graph = WholeSession(session) if kind == "whole" else OneStepSession(session)
    _check_room(weights + graph.smallest_bytes / MB, path, device, has)
    return graph


def _size_mb(path: Path) -> float:
    """Of the weights, and of their copy in the order that the device reads; what cannot be read takes none."""
    return 2 * path.stat().st_size / MB if path.is_file() else 0.0


def _check_room(needed_mb: float, path: Path, device: str, has_mb: int) -> None:
    """Raise BadPackage where a model takes more memory than there is; 0 where nobody knows how much that is."""
    if has_mb and needed_mb > has_mb:
        there = "the GPU has" if device == "cuda" else "a forecast may take"
        limit = "ECHOCAST_GPU_MEMORY_MB" if device == "cuda" else "ECHOCAST_MEMORY_MB"
        raise BadPackage(
            f"the model takes {np.ceil(needed_mb):.0f} MB at least, {there} {has_mb} MB",
            where=str(path),
            hint=f"Run it on a larger device, or raise {limit}",
        )


def gpu_memory_mb() -> int:
    """Memory (MB) of the first GPU that this process sees; 0 where nothing tells."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0] or "0"
    command = ["nvidia-smi", f"--id={first}", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
        return int(told.split()[0])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return 0


def device_of(session: GraphSession) -> str:
    """`CPU` or `CUDA`, for people."""
    return session.device.upper()
