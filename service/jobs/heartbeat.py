"""Heartbeats: each worker renews a key in Redis that expires when the worker is gone."""

from __future__ import annotations

from typing import Final

from service.jobs.queue import redis_client
from service.settings import Settings

PREFIX: Final = "echocast:worker:"


def send_heartbeat(settings: Settings, name: str) -> None:
    """Renew the key of the worker `name`."""
    with redis_client(settings) as redis:
        redis.set(PREFIX + name, "1", px=int(settings.worker_stale_seconds * 1000))


def live_workers(settings: Settings) -> list[str]:
    """Return the names of the workers whose keys have not expired.

    Raises
    ------
    RedisError, NoBroker
        The broker does not respond, or the settings name none.
    """
    with redis_client(settings) as redis:
        return sorted(key.decode().removeprefix(PREFIX) for key in redis.scan_iter(f"{PREFIX}*"))


def remove_heartbeat(settings: Settings, name: str) -> None:
    """Delete the key of a worker that stops."""
    with redis_client(settings) as redis:
        redis.delete(PREFIX + name)
