"""A process that does one task again and again: `python -m model.bench.child TASK OUT`, TASK as JSON.

It says what it is ready for in one JSON line, then answers each line on stdin by one: `run` by the seconds of a run,
`stages` by where they go, `memory` by its peak resident memory. So each side of a comparison has a process of its own,
warm as a worker is, and their runs can alternate.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from model.bench.machine import peak_mb
from model.bench.stages import stages_of
from model.bench.task import Ready, Task, prepare, task_of
from model.core.errors import InputError


def main() -> None:
    """Prepare the task and answer until stdin ends."""
    answers = sys.stdout

    def say(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    # What a library prints must not end up among the answers.
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        try:
            ready = _prepared(task_of(json.loads(sys.argv[1])))
            say(_known(ready))
            for line in sys.stdin:
                say(_answer(line.strip(), ready, Path(sys.argv[2])))
        except InputError as error:
            say({"error": {"what": error.what, "where": error.where, "hint": error.hint}})
    # Skip the libraries' clean-up at exit: that is where processes with several copies of HDF5 or OpenMP crash.
    os._exit(0)


def _prepared(task: Task) -> Ready:
    if task.threads:
        import cv2

        cv2.setNumThreads(task.threads)
    return prepare(task)


def _known(ready: Ready) -> dict[str, Any]:
    return {
        "reference": ready.reference,
        "variant": ready.variant,
        "shape": ready.shape,
        "wet_percent": round(ready.wet_percent, 1),
        "floating_point_operations": ready.floating_point_operations,
    }


def _answer(request: str, ready: Ready, out: Path) -> dict[str, Any]:
    if request == "stages":
        return {"stages": stages_of(lambda: ready.run(out))}
    if request == "memory":
        return {"peak_mb": peak_mb()}
    began = time.perf_counter()
    ready.run(out)
    return {"seconds": time.perf_counter() - began}


if __name__ == "__main__":
    main()
