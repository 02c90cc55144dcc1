"""What an exception of ONNX Runtime says about the device: out of memory, or lost.

ONNX Runtime raises undocumented exception types with one status for nearly everything, so the message is all there is.
"""

from __future__ import annotations

from typing import Final

OUT_OF_MEMORY: Final = (
    "failed to allocate",  # BFC arena, CPU and CUDA (onnxruntime/core/framework/bfc_arena.cc)
    "available memory of",  # arena with a limit: `gpu_mem_limit`, OrtArenaCfg
    "out of memory",  # cudaErrorMemoryAllocation
    "alloc_failed",  # CUBLAS_STATUS_ALLOC_FAILED, CUDNN_STATUS_ALLOC_FAILED
    "bad_alloc",  # std::bad_alloc
)
DEVICE_LOST: Final = ("cuda failure", "cuda error", "cudnn failure", "cublas failure")
"""Prefixes of the CUDA provider's errors (onnxruntime/core/providers/cuda/cuda_call.cc). After most of them the CUDA
context is unusable, and with it the process."""
GRAPH_AT_FAULT: Final = ("bad_param", "not_supported", "invalid_value")
"""cuDNN's and cuBLAS's statuses for arguments of a call, under the same prefixes: the device itself is well."""


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an allocation on the device failed."""
    return isinstance(error, MemoryError) or _mentions(error, OUT_OF_MEMORY)


def is_device_lost(error: Exception) -> bool:
    """Return whether the device stopped responding; running out of memory leaves it usable."""
    return _mentions(error, DEVICE_LOST) and not _mentions(error, (*GRAPH_AT_FAULT, *OUT_OF_MEMORY))


def _mentions(error: Exception, texts: tuple[str, ...]) -> bool:
    message = str(error).lower()
    return any(text in message for text in texts)
