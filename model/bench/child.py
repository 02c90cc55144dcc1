"""A process that runs one workload repeatedly: `python -m model.bench.child WORKLOAD OUT`, WORKLOAD as JSON.

The process prints the properties of the workload as one line of JSON, then one line for each request on stdin: `run`
(the seconds of a run), `stages` (the seconds of each stage) or `memory` (the peak resident memory). Each side of a
comparison has a warm process of its own, as a worker is, and runs of both sides can alternate.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from model.bench.machine import peak_memory_mb
from model.bench.stage_profile import profile_stages
from model.bench.workload import PreparedWorkload, Workload, prepare
from model.core.errors import InputError


def main() -> None:
    """Prepare the workload, and respond to requests until stdin ends."""
    responses = sys.stdout

    def respond(response: dict[str, Any]) -> None:
        print(json.dumps(response), file=responses, flush=True)

    # Output of a library must not mix with the responses.
    with Path(os.devnull).open("w") as null, redirect_stdout(null):
        try:
            prepared = _prepare(Workload.from_json(json.loads(sys.argv[1])))
            names = ("reference", "variant", "shape", "floating_point_operations")
            properties = {name: getattr(prepared, name) for name in names}
            respond({**properties, "wet_percent": round(prepared.wet_percent, 1)})
            for line in sys.stdin:
                respond(_response(line.strip(), prepared, Path(sys.argv[2])))
        except InputError as error:
            respond({"error": {"what": error.what, "where": error.where, "hint": error.hint}})
    # Several copies of HDF5 or OpenMP in one process crash in the clean-up at exit: skip it.
    os._exit(0)


def _prepare(workload: Workload) -> PreparedWorkload:
    if workload.threads:
        import cv2

        cv2.setNumThreads(workload.threads)
    return prepare(workload)


def _response(request: str, prepared: PreparedWorkload, out: Path) -> dict[str, Any]:
    if request == "stages":
        return {"stages": profile_stages(lambda: prepared.run(out))}
    if request == "memory":
        return {"peak_mb": peak_memory_mb()}
    started = time.perf_counter()
    prepared.run(out)
    return {"seconds": time.perf_counter() - started}


if __name__ == "__main__":
    main()
