"""Hold a real `echocast serve` against its own OpenAPI description, by Schemathesis in all its phases.

`python -m tests.faults.run_schemathesis [--access keys|open] [--examples N] [--seed N]` starts a service that asks for
API keys and an open one, with a feed whose frames are those of the page's sample, makes one nowcast that succeeds and
one that fails, and has requests made of the description:
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
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from service.api.page.router import SAMPLE
from service.jobs.api_keys import ApiKeys, Quota, Scope
from service.jobs.ledger import Ledger
from service.settings import Settings
from tests.faults.run_hostile_files import Service
from tests.patience import wait_until

CONFIGURATION: Final = Path(__file__).with_name("schemathesis.toml")
EXAMPLES: Final = 100
"""Random requests of each operation; those of the limits of parameters come on top."""


FEED: Final = "helsinki"
REFERENCE_TIME: Final = "2026-06-15T12:35:00Z"
"""As in the examples of the description: the newest frame of the sample."""
FEEDS: Final = """
[[feed]]
name = "helsinki"
push = true
crop = [4.9, 51.9, 5.5, 52.3]
clock = "frames"
model = "extrapolation"
steps = 4
members = 2
probabilities = [0.5, 2]
products = {products}
locations = {{ town = [5.2, 52.1] }}

[[feed.alert]]
name = "underpass"
lon = 5.2
lat = 52.1
rain_rate = 5
within = 15

[feed.edr]
url = "mqtt://127.0.0.1:9"
public_url = "https://nowcasts.example.org"

[[feed]]
name = "silent"
push = true
"""
"""Two feeds, one of them without frames; no broker takes what the other one announces."""
PRODUCTS: Final = ("accumulations", "png", "zarr")


class Report(NamedTuple):
    """What came of a run: the output of Schemathesis, and what was wrong."""

    output: str
    faults: list[str]


def run(
    folder: Path,
    *,
    keys: bool,
    examples: int = EXAMPLES,
    seed: int = 1,
    products: Sequence[str] = PRODUCTS,
    leave_out: Sequence[str] = (),
) -> Report:
    """Test a service of its own, with its state in `folder`, that asks for API keys or is open.

    `products` are those of its feed, `leave_out` are ids of operations that are not tried.
    """
    key = _key(folder / "data") if keys else None
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "feeds.toml").write_text(FEEDS.format(products=list(products)))
    service = Service(folder, key)
    try:
        sent = service.client.post(f"/v1/feeds/{FEED}/frames", files={"files": ("sample.nc", SAMPLE.read_bytes())})
        assert sent.status_code in (200, 202), sent.text
        finished = _nowcast(service, SAMPLE.read_bytes(), "successful")
        failed = _nowcast(service, b"no radar", "failed")
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION)),
            *("run", str(service.client.base_url.join("/openapi.json"))),
            *(f"--max-examples={examples}", f"--seed={seed}"),
            *(f"--exclude-operation-id={name}" for name in leave_out),
            *([] if key is None else [f"--header=Authorization: Bearer {key}"]),
        ]
        examples_of = {"ECHOCAST_FINISHED": finished, "ECHOCAST_FAILED": failed, **_of_feed(service)}
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, **examples_of}, capture_output=True, text=True, check=False
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


def _of_feed(service: Service) -> dict[str, str]:
    """Wait for the products of the feed's nowcast, and return the names of what there is as variables."""
    path = f"/v1/feeds/{FEED}"
    products = f"{path}/runs/{REFERENCE_TIME}/products"
    wait_until(lambda: service.client.get(products).json().get("files"), "the products of the feed")
    file = service.client.get(products).json()["files"][0]["href"].rpartition("/")[2]
    observed, *_, forecast = [frame["id"] for frame in service.client.get(f"{path}/tiles.json").json()["frames"]]
    groups = [group["href"] for group in service.client.get(f"{path}/forecasts").json()["groups"]]
    archived = next((href.removeprefix(f"{path}/forecasts/") for href in groups), "20260615/0123456789ab.zarr")
    return {
        "ECHOCAST_OBSERVED": observed,
        "ECHOCAST_FORECAST": forecast,
        "ECHOCAST_PRODUCT": file,
        "ECHOCAST_OBJECT": f"{archived}/zarr.json",
    }


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
