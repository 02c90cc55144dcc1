"""How long a test waits for what must come. Only a failure takes so long: a slow or busy machine is none."""

from __future__ import annotations

import time
from collections.abc import Callable

WAIT_SECONDS = 300


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that must come."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_SECONDS} s for {what}"
        time.sleep(0.05)
