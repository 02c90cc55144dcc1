"""STAND-IN of the owner's module, to be replaced by theirs when merged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DeviceName = Literal["auto", "cpu", "cuda"]
Variant = Literal["auto", "fp32", "int8", "fp16"]


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    device: DeviceName = "auto"
    variant: Variant = "auto"
    threads: int = 0
    memory_mb: int = 1024
    gpu_memory_mb: int = 0
    lanes: int = 0
    skip_dry: bool = True
