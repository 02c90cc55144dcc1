"""Profile the stages of a nowcast: reading, motion, the network, advection, writing.

`sys.setprofile` profiles one extra run, at an overhead of a few per cent; timed runs are not profiled.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, Final

STAGES: Final[Mapping[tuple[str, str], str]] = {
    ("model/readers/__init__.py", "read"): "read",
    ("model/runtime/motion.py", "estimate_motion"): "motion",
    ("model/runtime/motion.py", "warped_to_newest"): "motion",
    ("model/runtime/advection.py", "trajectories"): "advection",
    ("model/runtime/advection.py", "advect"): "advection",
    ("onnxruntime_inference_collection.py", "run_with_iobinding"): "network",
    ("onnxruntime_inference_collection.py", "run_with_ort_values"): "network",
    ("onnxruntime_inference_collection.py", "run"): "network",
    ("model/core/forecast_file.py", "write_netcdf"): "write",
    ("model/core/forecast_file.py", "__init__"): "write",
    ("model/core/forecast_file.py", "append"): "write",
    ("model/core/forecast_file.py", "__exit__"): "write",
    ("pysteps/motion/lucaskanade.py", "dense_lucaskanade"): "motion",
    ("pysteps/extrapolation/semilagrangian.py", "extrapolate"): "advection",
}
"""The stage of each function (end of the file's path, name). The outermost function counts, with everything that it
calls. Of a generator each step counts, but not what the consumer does between the steps."""
OTHER: Final = "other"
"""Units, tiles, blending, and everything else."""


def profile_stages(run: Callable[[], object]) -> dict[str, float]:
    """Return the seconds of one run by stage; other threads are not profiled."""
    seconds = dict.fromkeys([*STAGES.values(), OTHER], 0.0)
    stage, depth, since = OTHER, 0, time.perf_counter()
    known: dict[object, str | None] = {}

    def profile(frame: FrameType, event: str, argument: Any) -> None:  # noqa: ANN401 - the signature of sys.setprofile
        nonlocal stage, depth, since
        if event not in ("call", "return"):
            return
        code = frame.f_code
        if code not in known:
            known[code] = _stage_of(code.co_filename, code.co_name)
        if known[code] is None:
            return
        depth += 1 if event == "call" else -1
        if depth > 1 or (depth == 1 and event == "return"):
            return
        now = time.perf_counter()
        seconds[stage] += now - since
        stage, since = (known[code] or OTHER) if depth else OTHER, now

    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(None)
    seconds[stage] += time.perf_counter() - since
    return {name: total for name, total in seconds.items() if total}


def _stage_of(path: str, function: str) -> str | None:
    return next((stage for (file, name), stage in STAGES.items() if name == function and path.endswith(file)), None)
