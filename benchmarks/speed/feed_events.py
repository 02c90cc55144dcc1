"""What events of feeds cost, and how late they are: `python -m benchmarks.speed.feed_events`.

A gateway of this process with two feeds and an SQLite ledger; one stream, then many: statements a second while nothing
happens, and the time from a frame's record to its event at the last stream.
"""

from __future__ import annotations

import argparse
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from sqlalchemy import event

from service.api.app import create_app
from service.api.context import GatewayContext
from service.feeds.arrivals import DecodedFrame
from service.feeds.tables import ArrivedFile
from service.settings import Settings

FEEDS = "".join(f'[[feed]]\nname = "{name}"\nfolder = "/radar"\nclock = "frames"\n' for name in ("north", "south"))
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
QUIET_SECONDS, FRAMES = 5.0, 5


def main() -> None:
    """Measure, and print a line for each number of streams."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=40, help="at most 50, the share of one client; default 40")
    streams = parser.parse_args().streams
    with tempfile.TemporaryDirectory() as name:
        settings = Settings(data_dir=Path(name), broker_url="redis://127.0.0.1:1/0")
        settings.feeds_path.write_text(FEEDS)
        app = create_app(settings)
        statements: list[None] = []
        event.listen(app.state.context.ledger.engine, "before_cursor_execute", lambda *_: statements.append(None))
        with served(app) as url:
            for count in (1, streams):
                measure(url, app.state.context, count, statements)


def measure(url: str, context: GatewayContext, count: int, statements: list[None]) -> None:
    """Print statements a second, and the delays of some events, with so many streams."""
    received: list[float] = []
    ready, ended = threading.Barrier(count + 1), threading.Event()

    def follow() -> None:
        with httpx.Client(timeout=60) as client, client.stream("GET", f"{url}/v1/feeds/events?feed=north") as response:
            events = (line for line in response.iter_lines() if line.startswith("data"))
            next(events)
            ready.wait()
            for _ in events:
                received.append(time.monotonic())
                if ended.is_set():
                    return

    threads = [threading.Thread(target=follow) for _ in range(count)]
    for thread in threads:
        thread.start()
    ready.wait()
    statements.clear()
    time.sleep(QUIET_SECONDS)
    rate, delays = len(statements) / QUIET_SECONDS, []
    for number in range(FRAMES):
        received.clear()
        begun = time.monotonic()
        if number == FRAMES - 1:
            ended.set()
        record_frame(context, FRAMES * count + number)
        while len(received) < count:
            time.sleep(0.005)
        delays.append(max(received) - begun)
    for thread in threads:
        thread.join()
    print(f"{count:3} streams: {rate:.1f} statements/s, {min(delays):.2f} to {max(delays):.2f} s to the last stream")


def record_frame(context: GatewayContext, number: int) -> None:
    """Record that a frame has arrived."""
    frame = DecodedFrame(
        valid_time=NOON + timedelta(minutes=5 * number), key="k", digest="d", grid="g", pixels=4, size=1, coverage=1.0
    )
    context.feed_ledger.record_frames("north", ArrivedFile(name=f"{number}.h5", size=1, modified_ns=1), [frame])


@contextmanager
def served(app: Any) -> Iterator[str]:  # noqa: ANN401 - an ASGI application
    """Serve an application on a free port; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


if __name__ == "__main__":
    main()
