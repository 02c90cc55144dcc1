"""Clients as a service has them: they speak HTTP alone, try again what fails for a while, and follow their nowcasts."""

from __future__ import annotations

import hashlib
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Self, TypeVar

import httpx
import netCDF4
import numpy as np

from tests.workers.conftest import Lab

SIDE, LARGE_SIDE, POISON_SIDE = 48, 400, 57
LARGE_EVERY, NETWORK_EVERY, MEMBERS_EVERY = 40, 4, 5
REPEATED_SHARE: Final = 0.1
"""Share of accepted requests that are sent once more, as after a response that was lost."""
LONGEST_PAUSE_SECONDS: Final = 3.0
"""A client that is told to come back later does so after this at the latest, so that a run does not take hours."""
NOWCAST_SECONDS: Final = 900.0
"""A nowcast that is not finished after this is lost."""
AGAIN: Final = (429, 503, 507)
HDF5: Final = threading.Lock()
"""The library is not safe to share between threads."""


T = TypeVar("T")


class Requested(NamedTuple):
    """A nowcast to request: its own file and fields, so that no stored result answers it."""

    number: int
    file: Path
    fields: dict[str, str]
    poison: bool = False


class Outcome(NamedTuple):
    """What a client saw at the end: status, code of the problem, digest of the values of the result."""

    job_id: str
    status: str
    code: str
    digest: str


def nowcasts(count: int, folder: Path, *, steps: int) -> list[Requested]:
    """Make the files of so many nowcasts: extrapolation, some with members, and networks, some of them in tiles."""
    folder.mkdir()
    made = []
    for number in range(count):
        large, network = number % LARGE_EVERY == LARGE_EVERY // 2, number % NETWORK_EVERY == 0
        fields = {"model": "rain-ms-predrnn" if network or large else "extrapolation", "steps": str(steps)}
        if number % MEMBERS_EVERY == 1 and fields["model"] == "extrapolation":
            fields |= {"members": "3", "seed": str(number)}
        path, side = folder / f"{number:04d}.npz", LARGE_SIDE if large else SIDE
        Lab.write_frames(path, count=4, size=side, rain=4 + 0.05 * number)
        made.append(Requested(number, path, fields))
    return made


def poison(number: int, folder: Path, *, steps: int) -> Requested:
    """Make a nowcast that kills the process of its worker each time."""
    path = Lab.write_frames(folder / "poison.npz", count=4, size=POISON_SIDE)
    return Requested(number, path, {"model": "extrapolation", "steps": str(steps)}, poison=True)


class GaveUp(Exception):
    """The service did not respond for so long that a client gave up."""


@dataclass
class Log:
    """What all clients saw: answers by method, status and code, outcomes by the number of the nowcast, complaints."""

    answers: Counter[tuple[str, int, str]]
    outcomes: dict[int, Outcome]
    complaints: list[str]
    uploading: threading.Event = field(default_factory=threading.Event)
    """Set while a client sends an upload."""


class Client:
    """A client with its own key."""

    def __init__(self, base: str, secret: str, log: Log, seed: int) -> None:
        self._http = httpx.Client(base_url=base, headers={"Authorization": f"Bearer {secret}"}, timeout=60)
        self._log = log
        self._random = random.Random(seed)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def run(self, nowcast: Requested) -> None:
        """Request a nowcast, follow it to its end, and fetch the result."""
        try:
            job_id = self.submit(nowcast)
            outcome = self.outcome(job_id)
            self._log.outcomes[nowcast.number] = outcome
        except (GaveUp, UnexpectedAnswer) as error:
            self._log.complaints.append(f"nowcast {nowcast.number}: {error}")

    def submit(self, nowcast: Requested) -> str:
        """Request a nowcast until it is accepted; return its id."""
        key = str(uuid.UUID(int=self._random.getrandbits(128)))
        job_id = self._post(nowcast, key)
        if self._random.random() < REPEATED_SHARE and (again := self._post(nowcast, key)) != job_id:
            self._log.complaints.append(f"nowcast {nowcast.number}: the same key made {job_id} and {again}")
        return job_id

    def outcome(self, job_id: str) -> Outcome:
        """Wait until a nowcast is finished; fetch its result if it is successful."""
        deadline = time.monotonic() + NOWCAST_SECONDS
        while True:
            answer = self._ask("GET", f"/v1/nowcasts/{job_id}")
            status = answer.json()
            if status["status"] not in ("accepted", "running"):
                break
            if time.monotonic() > deadline:
                raise GaveUp(f"{job_id} is {status['status']} after {NOWCAST_SECONDS:g} s")
            time.sleep(pause_of(answer))
        digest = ""
        if status["status"] == "successful":
            digest = digest_of(self._ask("GET", f"/v1/nowcasts/{job_id}/result?format=netcdf").content)
        code = str((status.get("problem") or {}).get("type", "")).rsplit("/", 1)[-1]
        return Outcome(job_id, status["status"], code, digest)

    def _post(self, nowcast: Requested, key: str) -> str:
        content = nowcast.file.read_bytes()
        self._log.uploading.set()
        answer = self._ask(
            *("POST", "/v1/nowcasts"),
            data=nowcast.fields,
            files={"files": (nowcast.file.name, content)},
            headers={"Idempotency-Key": key},
        )
        self._log.uploading.clear()
        return str(answer.json()["id"])

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send a request until it is answered with other than "later"."""
        deadline = time.monotonic() + NOWCAST_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = self._http.request(method, path, **request)
            except httpx.TransportError as error:
                self._log.answers[method, 0, type(error).__name__] += 1
                time.sleep(self._random.uniform(0.2, 1.0))
                continue
            problem = answer.is_error and answer.headers["content-type"] == "application/problem+json"
            code = str(answer.json()["type"]).rsplit("/", 1)[-1] if problem else ""
            self._log.answers[method, answer.status_code, code] += 1
            if answer.is_success:
                return answer
            if answer.status_code not in AGAIN:
                raise UnexpectedAnswer(f"{method} {path}: {answer.status_code} {answer.text}")
            time.sleep(pause_of(answer))
        raise GaveUp(f"{method} {path}: no answer within {NOWCAST_SECONDS:g} s")


class UnexpectedAnswer(Exception):
    """An answer that a sound request never gets."""


def pause_of(answer: httpx.Response) -> float:
    """Return how long to wait before the next request (s)."""
    return min(LONGEST_PAUSE_SECONDS, float(answer.headers.get("retry-after", "1")))


def digest_of(netcdf: bytes) -> str:
    """Return the SHA-256 of all values of a forecast file, as they are packed."""
    sha = hashlib.sha256()
    with HDF5, netCDF4.Dataset("forecast", memory=netcdf) as forecast:
        forecast.set_auto_maskandscale(False)
        for name, variable in sorted(forecast.variables.items()):
            sha.update(f"{name} {variable.shape}".encode() + np.asarray(variable[...]).tobytes())
    return sha.hexdigest()


class Crowd:
    """Clients that request nowcasts at the same time, each one after the other. Has their log."""

    def __init__(self, base: str, secrets: list[str], seed: int) -> None:
        self.log = Log(Counter(), {}, [])
        self._clients = [Client(base, secret, self.log, seed + 1000 * n) for n, secret in enumerate(secrets)]
        self._requested: dict[Client, list[int]] = {client: [] for client in self._clients}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for client in self._clients:
            client.close()

    def run(self, requested: list[Requested]) -> None:
        """Request all nowcasts; return once each is finished."""
        places = enumerate(self._clients)
        self._at_once({client: requested[place :: len(self._clients)] for place, client in places}, self._request)

    def look_again(self) -> None:
        """Compare what each nowcast is now with what its client saw at its end: neither may have changed."""
        self._at_once(self._requested, self._compare)

    def _request(self, client: Client, nowcast: Requested) -> None:
        self._requested[client].append(nowcast.number)
        client.run(nowcast)

    def _compare(self, client: Client, number: int) -> None:
        seen = self.log.outcomes.get(number)
        if seen is not None and (now := client.outcome(seen.job_id)) != seen:
            self.log.complaints.append(f"nowcast {number}: {seen} has become {now}")

    def _at_once(self, work: Mapping[Client, Sequence[T]], do: Callable[[Client, T], None]) -> None:
        with ThreadPoolExecutor(len(work)) as pool:
            for done in [pool.submit(lambda c, items: [do(c, item) for item in items], *each) for each in work.items()]:
                done.result()
