"""Hold a real `echocast serve` against its own OpenAPI description, by Schemathesis in all its phases.

`python -m tests.faults.run_schemathesis [--access keys|open] [--examples N] [--seed N]` starts a service that asks for
API keys and an open one, makes one nowcast that succeeds and one that fails, and has requests made of the description:
its examples, the limits of each parameter and what lies beyond, random ones, and sequences along its links. It exits
with 1 where a response is not as described, where a request that the description rules out is accepted, or the service
logs a failure.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

from service.api.page.router import SAMPLE
from service.jobs.api_keys import ApiKeys, Quota, Scope
from service.jobs.ledger import Ledger
from service.settings import Settings
from tests.faults.run_hostile_files import Service

CONFIGURATION: Final = Path(__file__).with_name("schemathesis.toml")
EXAMPLES: Final = 100
"""Random requests of each operation; those of the limits of parameters come on top."""


class Report(NamedTuple):
    """What came of a run: the output of Schemathesis, and what was wrong."""

    output: str
    faults: list[str]


def run(folder: Path, *, keys: bool, examples: int = EXAMPLES, seed: int = 1) -> Report:
    """Test a service of its own, with its state in `folder`, that asks for API keys or is open."""
    key = _key(folder / "data") if keys else None
    service = Service(folder, key)
    try:
        finished = _nowcast(service, SAMPLE.read_bytes(), "successful")
        failed = _nowcast(service, b"no radar", "failed")
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION)),
            *("run", str(service.client.base_url.join("/openapi.json"))),
            *(f"--max-examples={examples}", f"--seed={seed}"),
            *([] if key is None else [f"--header=Authorization: Bearer {key}"]),
        ]
        nowcasts = {"ECHOCAST_FINISHED": finished, "ECHOCAST_FAILED": failed}
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, **nowcasts}, capture_output=True, text=True, check=False
        )
        faults = [f"Schemathesis: exit status {done.returncode}"] if done.returncode else []
        faults += [f"in the log: {line}" for line in service.log.read_text().splitlines() if "Traceback" in line]
    finally:
        service.close()
    return Report(done.stdout + done.stderr, faults)


def _key(data_dir: Path) -> str:
    ledger = Ledger(Settings(data_dir=data_dir).database)
    try:
        return ApiKeys(ledger.engine).create("schemathesis", Scope, quota=Quota(requests_per_second=1e6))[1]
    finally:
        ledger.close()


def _nowcast(service: Service, content: bytes, status: str) -> str:
    """Request a nowcast, wait for its end, and return its id."""
    form = {"model": "extrapolation", "steps": "3"}
    job = service.client.post("/v1/nowcasts", files={"files": ("sample.nc", content)}, data=form).json()
    while job["status"] in ("accepted", "running"):
        time.sleep(0.2)
        job = service.client.get(f"/v1/nowcasts/{job['id']}").json()
    assert job["status"] == status, job
    return str(job["id"])


def main() -> int:
    """Test a service that asks for keys, an open one, or one after the other."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--access", choices=("keys", "open"), help="default: both")
    parser.add_argument("--examples", type=int, default=EXAMPLES)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    faults = []
    for access in (options.access,) if options.access else ("keys", "open"):
        with tempfile.TemporaryDirectory() as folder:
            report = run(Path(folder), keys=access == "keys", examples=options.examples, seed=options.seed)
        print(f"A service whose access is: {access}", report.output, *report.faults, sep="\n", flush=True)
        faults += report.faults
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
