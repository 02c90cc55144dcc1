"""Faults at random moments of a run: kills, a full disk, a queue that is lost."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.faults.clients import Log
from tests.faults.stacks import KINDS, Kind, Stack

LAST_PLACE: Final = 0.95
DURING_UPLOADS: Final = ("gateway", "database")
"""What is killed while an upload is under way, if one comes in time."""
UPLOAD_SECONDS: Final = 5.0
FULL_SECONDS: Final = 4.0
LONGEST_FULL_SECONDS: Final = 20.0
DISK: Final = "disk full"
FLUSH: Final = "queue flushed"


class Faults:
    """Injects each fault once the share of nowcasts that are finished passes its place, which a seed draws.

    So the faults are spread over the whole run however fast the machine is, and some come together.

    Parameters
    ----------
    stack
        The service.
    log
        What the clients have seen, of whom each waits for one nowcast at a time.
    nowcasts
        Number of nowcasts that they request.
    upload
        Requests one nowcast; called while the disk is full.
    kills
        Number of kills of each kind of process.
    pause
        Most time before a fault (s), once its place is reached.
    """

    def __init__(
        self,
        stack: Stack,
        log: Log,
        nowcasts: int,
        upload: Callable[[], None],
        *,
        kills: int,
        seed: int,
        pause: float,
    ) -> None:
        self.done: Counter[str] = Counter()
        self.error: BaseException | None = None
        self._stack, self._log, self._nowcasts, self._pause = stack, log, nowcasts, pause
        self._uploading = threading.Thread(target=upload, name="upload")
        self._random = random.Random(seed)
        places = [(self._random.uniform(0, LAST_PLACE), kind) for kind in KINDS for _ in range(kills)]
        places.append((self._random.uniform(0, LAST_PLACE), FLUSH))
        if stack.disk is not None:
            places.append((self._random.uniform(0.2, 0.5), DISK))  # while there is much to upload
        self._faults: list[tuple[float, str]] = sorted(places)
        self._thread = threading.Thread(target=self._run, name="faults")

    def __enter__(self) -> Faults:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Wait for the last fault, and for the nowcast that was requested while the disk was full."""
        self._thread.join()
        if self._uploading.ident is None:
            self._uploading.start()
        self._uploading.join()

    def _run(self) -> None:
        try:
            for place, fault in self._faults:
                while len(self._log.outcomes) < place * self._nowcasts:
                    if self._log.complaints:
                        return
                    time.sleep(0.05)
                time.sleep(self._random.uniform(0, self._pause))
                self._inject(fault)
                self.done[fault] += 1
                finished = len(self._log.outcomes)
                print(f"{time.strftime('%X')} {finished} finished, {fault} {self.done[fault]}", file=sys.stderr)
        except BaseException as error:
            self.error = error

    def _inject(self, fault: str) -> None:
        if fault == DISK:
            self._fill_disk()
        elif fault == FLUSH:
            self._stack.flush_broker()
        else:
            kind: Kind = next(kind for kind in KINDS if kind == fault)
            if kind in DURING_UPLOADS and self._log.uploading.wait(UPLOAD_SECONDS):
                time.sleep(self._random.uniform(0, 0.1))
            self._stack.kill(kind, self._random)

    def _refused(self) -> int:
        """Return how many uploads were refused because the disk is full."""
        return sum(count for (_, _, code), count in list(self._log.answers.items()) if code == "no-space")

    def _fill_disk(self) -> None:
        """Leave no byte of the disk of the store, and of SQLite's ledger, until an upload was refused.

        Other clients may all wait for nowcasts that cannot end now.
        """
        assert self._stack.disk is not None
        filler, before, started = self._stack.disk / "filler", self._refused(), time.monotonic()
        fill(filler)
        self._uploading.start()
        while time.monotonic() - started < LONGEST_FULL_SECONDS:
            fill(filler)
            time.sleep(0.2)
            if self._refused() > before and time.monotonic() - started > FULL_SECONDS:
                break
        filler.unlink()


def fill(path: Path) -> None:
    """Append to a file until the disk is full."""
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
