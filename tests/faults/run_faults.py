"""Kill everything while clients request nowcasts, and check what was promised to them.

`python -m tests.faults.run_faults --stack sqlite|postgresql [--jobs 200 --clients 16 --kills 20 --seed 1]` prints the
figures as JSON, and exits with 1 if a promise was broken: each accepted nowcast ends once, with the result of an
undisturbed run, and nothing is left behind. First other clients request the same nowcasts, undisturbed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults import promises
from tests.faults.clients import Crowd, nowcasts, poison
from tests.faults.fault_injection import Faults
from tests.faults.stacks import opened


class Options(NamedTuple):
    """What to run.

    `step_seconds`: how much longer each lead step lasts among the faults. `pause`: most time before a fault (s).
    """

    stack: str
    jobs: int = 200
    clients: int = 16
    kills: int = 20
    seed: int = 1
    max_attempts: int = 10
    steps: int = 6
    step_seconds: float = 0.25
    pause: float = 3.0


def run(options: Options, folder: Path) -> dict[str, Any]:
    """Make nowcasts undisturbed, then the same and a poisoned one among faults; return the figures.

    `broken`: the promises that were broken.
    """
    requested = nowcasts(options.jobs - 1, folder / "files", steps=options.steps)
    poisoned = poison(len(requested), folder / "files", steps=options.steps)
    with (
        opened(options.stack, folder / "service", options.max_attempts) as stack,
        Crowd(stack.url, stack.keys("undisturbed", options.clients), options.seed) as undisturbed,
        Crowd(stack.url, stack.keys("client", options.clients), options.seed) as crowd,
    ):
        undisturbed.run(requested)
        disturbed = [*requested]
        disturbed.insert(random.Random(options.seed).randrange(len(requested) // 2), poisoned)
        stack.slow_down(options.step_seconds)
        started = time.monotonic()
        when_full = disturbed[-1]
        faults = Faults(
            *(stack, crowd.log, len(disturbed), lambda: crowd.run([when_full])),
            kills=options.kills,
            seed=options.seed,
            pause=options.pause,
        )
        with faults:
            crowd.run(disturbed[:-1])
        seconds = time.monotonic() - started
        broken, jobs, swept = promises.ending(stack, disturbed, crowd, undisturbed)
    broken += [] if faults.error is None else [f"a fault could not be injected: {faults.error!r}"]
    own = [job for job in jobs if job.client.startswith("client")]
    return {
        **options._asdict(),
        "seconds": round(seconds),
        "faults": dict(sorted(faults.done.items())),
        "answers": {" ".join(map(str, key)).strip(): n for key, n in sorted(crowd.log.answers.items())},
        "states": dict(Counter(job.status.value for job in own)),
        "jobs by attempts": dict(sorted(Counter(job.attempt for job in own).items())),
        "swept": swept,
        "broken": broken,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", choices=("sqlite", "postgresql"), required=True)
    for name in ("jobs", "clients", "kills", "seed"):
        parser.add_argument(f"--{name}", type=int, default=Options._field_defaults[name])
    parser.add_argument("--keep", type=Path, help="A new folder, which is kept with all that the run left.")
    options = vars(parser.parse_args(arguments))
    kept = options.pop("keep")
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        if kept is not None:
            kept.mkdir()
        figures = run(Options(**options), kept or Path(folder))
    print(json.dumps(figures, indent=1))
    return bool(figures["broken"])


if __name__ == "__main__":
    sys.exit(main())
