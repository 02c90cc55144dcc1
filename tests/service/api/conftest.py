"""A gateway in this process without workers: jobs keep the state that the test sets."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import numpy as np
import pytest
import uvicorn
from pyproj import CRS

from model.core.forecast_file import Forecast, write_netcdf
from model.core.forecast_output import ForecastOutput
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from service.api.app import create_app
from service.feeds.arrivals import DecodedFrame
from service.feeds.tables import ArrivedFile
from service.jobs.job import Job
from service.server import GatewayProtocol
from service.settings import Settings
from service.store import input_key, result_key
from tests.patience import WAIT_SECONDS

REFERENCE = np.datetime64("2026-06-01T12:00", "ns")
NO_REDIS = "redis://127.0.0.1:1/0"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return Settings(data_dir=tmp_path_factory.mktemp("data"), broker_url=NO_REDIS, max_upload_mb=1, max_files=3)


@contextmanager
def served(app):
    """A client of `app`, which a thread serves on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, http=GatewayProtocol, log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=WAIT_SECONDS) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def app(settings):
    app = create_app(settings)
    app.state.context.queue.enqueue = lambda job_id: False
    return app


@pytest.fixture(scope="module")
def gateway(app):
    """An HTTP client of the gateway."""
    with served(app) as client:
        yield client


@pytest.fixture(scope="module")
def context(app):
    return app.state.context


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.getuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]).returncode:
        pytest.skip("a file system can be mounted by root only")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def accepted(context):
    """A job that waits."""
    return context.ledger.create(Job(model="auto", steps=4, inputs=[]))


@pytest.fixture
def running(context, accepted):
    job = context.ledger.claim(accepted.id, 60)
    context.ledger.renew_lease(job, 60, progress_done=2)
    return context.ledger.get(job.id)


@pytest.fixture
def finished(finish):
    """A successful job: rain of 3 mm/h that comes to the west half at the second lead step; no data in the east."""
    return finish(
        Grid.regular(CRS.from_epsg(3035), shape=(20, 40), pixel_size=1000.0, centre=(4_000_000.0, 3_000_000.0))
    )


@pytest.fixture
def finish(context, accepted, tmp_path):
    """Makes such a job of a grid of 20 x 40 pixels; keywords add to the forecast. The first one is `accepted`."""
    waiting = [accepted]

    def finished_on(grid, **parts):
        job = waiting.pop() if waiting else context.ledger.create(Job(model="auto", steps=4, inputs=[]))
        return _finished(context, job, tmp_path, grid, parts)

    return finished_on


@pytest.fixture
def uncertain(finish):
    """The same with probabilities, and four members: dry, the forecast, a lead step later, and ten times the rain.

    P(0.1 mm/h) is 0.8 where the forecast has rain and 0.1 where not, P(2 mm/h) a quarter of it.
    """
    rain = _forecast_rain()
    first = np.where(rain > 0, np.float32(0.8), np.float32(0.1))
    first[np.isnan(rain)] = np.nan
    late = np.concatenate([rain[:1], rain[:-1]])
    grid = Grid.regular(CRS.from_epsg(3035), shape=(20, 40), pixel_size=1000.0, centre=(4_000_000.0, 3_000_000.0))
    return finish(
        grid,
        output=ForecastOutput(thresholds_mm_h=(0.1, 2.0), members=4),
        field="sharp",
        probability=np.stack([first, first / 4]),
        probability_method="distribution",
        members=np.stack([0 * rain, rain, late, 10 * rain]),
    )


def _forecast_rain():
    ahead = np.zeros((4, 20, 40), np.float32)
    ahead[1:3, :, :20] = 3.0
    ahead[:, :, 30:] = np.nan
    return ahead


def _finished(context, accepted, tmp_path, grid, parts):
    past = np.zeros((3, 20, 40), np.float32)
    times = REFERENCE + np.arange(-2, 1) * np.timedelta64(5, "m")
    sequence = FrameSequence(rain_rate=past, times=times, grid=grid)
    own = {"rain_rate": _forecast_rain(), "lead_minutes": np.arange(1, 5) * 5.0}
    forecast = Forecast(reference_time=REFERENCE, grid=grid, attributes={}, **{**own, **parts})
    job = context.ledger.claim(accepted.id, 60)
    context.ledger.record_model(job, model_used="persistence@1", note="the frames are too few for the default model")
    for item, key in ((sequence, input_key(job.id)), (forecast, result_key(job.id))):
        path = tmp_path / "file.nc"
        write_netcdf(item, path)
        context.store.put(key, path)
    context.ledger.succeed(job, result_key=result_key(job.id), input_key=input_key(job.id))
    return context.ledger.get(job.id)


@pytest.fixture
def feed(settings, context, tmp_path):
    """The feed `north`, whose clock is that of its frames; returns what appends to its configuration."""
    settings.feeds_path.write_text("")
    context.served_feeds.fresh_seconds = context.served_feeds.latest_seconds = 0.0  # each request looks up anew

    def toml(value):
        if isinstance(value, dict):
            return "{ " + ", ".join(f"{key} = {item!r}" for key, item in value.items()) + " }"
        return repr(value)

    def write(**keys):
        values = {"name": "north", "folder": "/radar/of/the/worker", "clock": "frames", **keys}
        lines = (f"{key} = {toml(value)}\n" for key, value in values.items())
        settings.feeds_path.write_text("[[feed]]\n" + "".join(lines))

    write()
    yield write
    context.feed_ledger.delete_frames("north", datetime(2100, 1, 1, tzinfo=UTC))
    context.feed_ledger.delete_files("north", list(context.feed_ledger.known_files("north")))
    settings.feeds_path.unlink()


@pytest.fixture
def arrive(context):
    """Record that a frame of so many minutes after noon has arrived."""

    def record(after, *, content="a", coverage=1.0, written=1):
        frame = DecodedFrame(
            valid_time=(time := NOON + timedelta(minutes=after)),
            key="k",
            digest=content,
            grid="g",
            pixels=4,
            size=1,
            coverage=coverage,
            radar_product="column maximum",
        )
        file = ArrivedFile(name=f"{after}-{content}.h5", size=1, modified_ns=written)
        context.feed_ledger.record_frames("north", file, [frame])
        return context.feed_ledger.frames("north", since=time)[-1]

    return record


@pytest.fixture
def publish(context, feed, arrive):
    """Publishes a run of the feed from noon, whose nowcast is that of a job; there are frames of the hour before."""

    def published_with(nowcast):
        for after in range(-60, 0, 5):
            arrive(after)
        job = Job(kind="feed", model="auto", steps=4, inputs=[], feed="north")
        assert context.feed_ledger.submit(job, arrive(0), model="auto")
        claimed = context.ledger.claim(job.id, 60)
        keys = {"result_key": nowcast.result_key, "input_key": nowcast.input_key}
        context.ledger.record_model(claimed, model_used="persistence@1", note="one frame is missing")
        context.ledger.succeed(claimed, **keys)
        context.feed_ledger.record_published(job.id)
        return job

    return published_with


@pytest.fixture
def published(publish, finished):
    """A run of the feed from noon, whose nowcast is that of `finished`."""
    return publish(finished)
