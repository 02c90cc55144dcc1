"""ONNX Runtime without telemetry. Every other module imports it from here: `from model.runtime.ort import ort`.

By default its builds for Linux, macOS and Windows resolve a host of Microsoft's, send usage data, and store a device
identifier and a queue below the home folder (https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md).
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # the library reads it once, while it is loaded

import onnxruntime as ort

__all__ = ["ort"]
