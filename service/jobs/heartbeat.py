"""Which workers are alive: each keeps a key in Redis that expires when the worker is gone."""

from __future__ import annotations

from typing import Final

from service.jobs.queue import redis_client
from service.settings import Settings

PREFIX: Final = "echocast:worker:"


def send_heartbeat(settings: Settings, name: str) -> None:
    """Say that the worker `name` is alive."""
    with redis_client(settings) as redis:
        redis.set(PREFIX + name, "1", px=int(settings.worker_stale_seconds * 1000))


def live_workers(settings: Settings) -> list[str]:
    """Names of the workers heard of lately; raises RedisError or NoBroker where there is no broker."""
    with redis_client(settings) as redis:
        return sorted(key.decode().removeprefix(PREFIX) for key in redis.scan_iter(f"{PREFIX}*"))


def remove_heartbeat(settings: Settings, name: str) -> None:
    """Say that the worker `name` is gone."""
    with redis_client(settings) as redis:
        redis.delete(PREFIX + name)
