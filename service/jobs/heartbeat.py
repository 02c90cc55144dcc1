"""Heartbeats: each worker and each beat renews a key in Redis that expires when the process is gone."""

from __future__ import annotations

from typing import Final, Literal

from service.jobs.queue import redis_client
from service.settings import Settings

Role = Literal["worker", "beat"]

PREFIXES: Final[dict[Role, str]] = {"worker": "echocast:worker:", "beat": "echocast:beat:"}


def send_heartbeat(settings: Settings, name: str, role: Role = "worker", seconds: float | None = None) -> None:
    """Renew the key of a process for some seconds, by default `worker_stale_seconds`."""
    lifetime = settings.worker_stale_seconds if seconds is None else seconds
    with redis_client(settings) as redis:
        redis.set(PREFIXES[role] + name, "1", px=int(lifetime * 1000))


def live_workers(settings: Settings) -> list[str]:
    """Return the names of the workers whose keys have not expired.

    Raises
    ------
    RedisError, NoBroker
        The broker does not respond, or the settings name none.
    """
    return _alive(settings, "worker")


def live_beats(settings: Settings) -> list[str]:
    """Return the names of the schedulers whose keys have not expired; raises as `live_workers` does."""
    return _alive(settings, "beat")


def remove_heartbeat(settings: Settings, name: str) -> None:
    """Delete the key of a worker that stops."""
    with redis_client(settings) as redis:
        redis.delete(PREFIXES["worker"] + name)


def _alive(settings: Settings, role: Role) -> list[str]:
    prefix = PREFIXES[role]
    with redis_client(settings) as redis:
        return sorted(key.decode().removeprefix(prefix) for key in redis.scan_iter(f"{prefix}*"))
