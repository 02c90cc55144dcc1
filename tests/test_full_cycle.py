"""From synthetic storms to a champion that a running service uses, and back: all real, each step by its command."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.packages import GRAPH, SHIPPED_REFERENCE, damage
from tests.patience import WAIT_SECONDS, wait_until

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def log() -> list[str]:
    """What the service and its processes wrote on stderr."""
    return []


@pytest.fixture
def client(tmp_path: Path, log: list[str]) -> Iterator[httpx.Client]:
    """A client of `echocast serve` with everything embedded, which runs throughout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ECHOCAST_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "serve", "--port", "0", "--data-dir", str(tmp_path / "data")],
        stderr=subprocess.PIPE,
        text=True,
        env={**environment, "ECHOCAST_THREADS": "1"},
    )
    assert process.stderr is not None
    lines = iter(process.stderr)
    reader = threading.Thread(target=log.extend, args=(lines,))
    try:
        url = next(found[1] for line in lines if (found := re.search(r"serves (http://\S+)", line)))
        reader.start()
        with httpx.Client(base_url=url, timeout=WAIT_SECONDS) as client:
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(WAIT_SECONDS)
        finally:
            process.kill()
            process.wait()
            if reader.ident is not None:
                reader.join(WAIT_SECONDS)
            process.stderr.close()


def nowcast_of(client: httpx.Client, frames: Path) -> dict[str, Any]:
    """Ask for a nowcast by the default, `auto`, and return its status when it is done."""
    files, headers = {"files": (frames.name, frames.read_bytes())}, {"Cache-Control": "no-cache"}
    response = client.post("/v1/nowcasts", files=files, data={"steps": "3"}, headers=headers)
    assert response.status_code == 202, response.text
    where = response.headers["location"]
    wait_until(lambda: client.get(where).json()["status"] not in ("accepted", "running"), f"{where} to finish")
    status: dict[str, Any] = client.get(where).json()
    assert status["status"] == "successful", status["problem"]
    return status


def test_storms_are_trained_on_and_the_network_goes_into_service_and_out_again(
    echocast: Run, client: httpx.Client, log: list[str], tmp_path: Path
) -> None:
    def done(*words: object) -> str:
        code, out, err = echocast(*words)
        assert code == 0, err
        return out

    archive, run, packages, frames = (tmp_path / name for name in ("storms", "run", "data/packages", "now.nc"))
    scene = ("--size", 64, "--step", 10, "--weather", "convective")
    done("archive", "synth", frames, "--frames", 5, "--seed", 8, *scene)
    done("archive", "synth", archive, "--frames", 60, "--seed", 3, *scene)
    assert nowcast_of(client, frames)["model_used"] == SHIPPED_REFERENCE

    done("train", "rain-ms-predrnn-tiny", "--archive", archive, "--out", run, "--iterations", 5)
    done("export", run, "--out", packages, "--name", "storms", "--version", 1)
    scores = json.loads(done("verify", "storms", "--archive", archive, "--packages", packages, "--json"))
    assert "storms@1" in json.dumps(scores)

    promote = ("models", "promote", "storms@1", "--archive", archive, "--packages", packages)
    code, out, err = echocast(*promote)
    assert code == 2, "after five iterations it is no better than what runs"
    assert "FAIL" in out
    assert re.search(r"storms@1: not promoted, \d+ of the gates' comparisons refuse it: ", err)
    assert nowcast_of(client, frames)["model_used"] == SHIPPED_REFERENCE

    output = done(*promote, "--force", "--reason", "shows the cycle")
    assert output.splitlines()[-1] == "champion: storms@1 (was none), against the gates: shows the cycle"
    status = nowcast_of(client, frames)
    assert (status["model_asked"], status["model_used"], status["note"]) == ("auto", "storms@1", "")
    models = {model["name"]: model for model in client.get("/v1/models").json()["models"]}
    assert (models["storms"]["aliases"], models["storms"]["default"]) == (["champion"], True)

    damage(packages / "storms" / "1" / GRAPH)
    status = nowcast_of(client, frames)
    why = f"the champion storms@1 cannot be used: file {GRAPH} does not match its digest"
    assert (status["model_used"], status["note"]) == (SHIPPED_REFERENCE, why)
    wait_until(lambda: any(why in line for line in log), "the log of the worker to state the reason")

    assert "champion: none (was storms@1)" in done("models", "rollback", "--packages", packages)
    status = nowcast_of(client, frames)
    assert (status["model_used"], status["note"]) == (SHIPPED_REFERENCE, "")
    history = json.loads((packages / "aliases.json").read_text())["history"]
    assert [(move["action"], move["forced"]) for move in history] == [("promote", True), ("rollback", False)]
    assert [gate["gate"] for gate in history[0]["gates"] if gate["passed"] is not True]
