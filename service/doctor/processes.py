"""Workers and beat: whether their heartbeats reach the broker."""

from __future__ import annotations

from collections.abc import Iterator

from service.doctor.finding import Finding
from service.settings import Settings


def check_processes(settings: Settings) -> Iterator[Finding]:
    """Count the workers and beats that are alive. A broker that is down is a finding of its own check."""
    from redis.exceptions import RedisError

    from service.jobs.heartbeat import live_beats, live_workers

    try:
        workers, beats = live_workers(settings), live_beats(settings)
    except (RedisError, OSError, ValueError):
        return
    if workers:
        yield Finding("workers", "ok", f"{len(workers)} alive: {', '.join(workers)}")
    else:
        hint = "Start one: echocast worker. It counts once its model is loaded; its log says why it is not"
        yield Finding("workers", "bad", "no worker is alive, so that nowcasts only wait", hint)
    if beats:
        yield Finding("beat", "ok", f"alive: {', '.join(beats)}")
    else:
        what = "no beat is alive: lost jobs are not queued again, feeds are not scanned, nothing is deleted"
        yield Finding("beat", "bad", what, "Start it once: echocast beat")
