"""The feed of `make run`: synthetic storms that arrive ten times as fast as radar frames, and what the service says.

Only the demo has it: its configuration is a file of its own, which the demo names in the environment of the service
that it starts.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console

NAME: Final = "synthetic-storms"
SPEED: Final = 10
HOURS: Final = 24
"""Of weather, after which the feed ends, so that a demo that is left alone does not fill the disk."""
HISTORY_MINUTES: Final = 60
SCAN_SECONDS: Final = 2.0
PLACE: Final = {"lon": 5.0, "lat": 52.0}
"""The centre of the synthetic radar's area."""
CONFIGURATION: Final = """\
# The feed of `make run`, written anew at each start. It is synthetic: no radar is behind it.
[[feed]]
name = "{name}"
folder = "frames"
phase = "rain"
interval = 5
lead_time = 60
challengers = ["extrapolation", "persistence"]
retention = 1
clock = "replay"
"""


class DemoFeed:
    """The feed in a folder of its own; frames of an earlier demo are removed from it."""

    def __init__(self, folder: Path) -> None:
        frames = folder / "frames"
        shutil.rmtree(frames, ignore_errors=True)
        frames.mkdir(parents=True)
        path = folder / "feeds.toml"
        path.write_text(CONFIGURATION.format(name=NAME), encoding="utf-8")
        self.environment = {"ECHOCAST_FEEDS_FILE": str(path), "ECHOCAST_FEED_SCAN_SECONDS": str(SCAN_SECONDS)}
        self._replay: subprocess.Popen[bytes] | None = None
        self._told: str | None = None

    def start(self, environment: Mapping[str, str]) -> None:
        """Let the frames arrive, in a process with the environment of the service."""
        options = {"--into": NAME, "--speed": SPEED, "--synthetic": HOURS, "--history": HISTORY_MINUTES}
        words = [str(word) for option in options.items() for word in option]
        command = [sys.executable, "-P", "-m", "service.cli", "feeds", "replay", *words]
        self._replay = subprocess.Popen(command, env=dict(environment), stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        """Let no more frames arrive."""
        if self._replay is not None:
            self._replay.terminate()
            self._replay.wait()

    def tell(self, client: httpx.Client, console: Console) -> None:
        """Print what the service says of the feed, where there is a new nowcast."""
        try:
            feed = client.get(f"/v1/feeds/{NAME}").json()
            latest = feed.get("latest")
            if latest is None or latest["reference_time"] == self._told:
                return
            place = client.get(f"/v1/feeds/{NAME}/point", params=PLACE).json()
        except (httpx.TransportError, ValueError):
            return
        self._told = latest["reference_time"]
        console.print(
            f"{place['now'][11:16]}  feed {feed['status']}, nowcast of {latest['reference_time'][11:16]} by "
            f"{latest['model_used']}; 52 N 5 E: {place['sentence']}",
            markup=False,
            soft_wrap=True,
        )
