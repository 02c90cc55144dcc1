"""ONNX Runtime without its telemetry. Whoever needs it imports it from here: `from model.runtime.ort import ort`.

Its builds for Linux, macOS and Windows otherwise look up a host of Microsoft's, send what they run, and keep a device's
id and a queue below the home folder (https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md).
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read once, when the library is loaded: before the import

import onnxruntime as ort

__all__ = ["ort"]
