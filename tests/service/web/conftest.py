"""The page in the machine's own Chromium, of the running Echocast of `stack`."""

import os
import shutil
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
import pytest
from pyproj import CRS, Transformer

from model.core.forecast_file import Forecast, write_netcdf
from model.core.forecast_output import ForecastOutput
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from service.api.app import create_app
from service.jobs.job import Job
from service.jobs.ledger import Ledger
from service.settings import Settings
from service.store import ObjectStore, input_key, result_key
from tests.packages import SHIPPED_REFERENCE
from tests.patience import WAIT_SECONDS
from tests.service.api.conftest import NO_REDIS, served
from tests.service.web.live_feed import LiveFeed

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
playwright.expect.set_options(timeout=1000 * WAIT_SECONDS)

REFERENCE = np.datetime64("2026-06-01T12:00", "ns")
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
FEEDS = """\
[[feed]]
name = "north"
folder = "/radar"
clock = "frames"
"""
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
]


@contextmanager
def chromium(folder, **options):
    """A context of the machine's own Chromium, with a fresh profile in `folder`."""
    program = os.environ.get("ECHOCAST_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no chromium on PATH: the page cannot be driven")
    with playwright.sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            str(folder),
            executable_path=program,
            args=ARGUMENTS,
            timezone_id="Europe/Amsterdam",
            locale="en-GB",
            **options,
        )
        context.set_default_timeout(1000 * WAIT_SECONDS)
        yield context
        context.close()


@pytest.fixture(scope="module")
def browser_context(tmp_path_factory):
    """A browser without service workers, which would send requests past what tests route."""
    with chromium(tmp_path_factory.mktemp("profile"), service_workers="block") as context:
        yield context


@pytest.fixture
def page(browser_context, stack):
    """The page, freshly opened; the test fails where the page fails, or sends a request to another host."""
    page = browser_context.new_page()
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on(
        "request",
        lambda request: None if request.url.startswith((stack.url, "data:")) else failures.append(request.url),
    )
    page.goto(f"{stack.url}/upload")
    yield page
    page.close()
    assert failures == []


@pytest.fixture(scope="module")
def north(tmp_path_factory):
    """A gateway of this module with the feed "north": frames until noon and the nowcast of noon, and its `url`."""
    folder = tmp_path_factory.mktemp("north")
    settings = Settings(data_dir=folder, broker_url=NO_REDIS)
    settings.feeds_path.write_text(FEEDS)
    app = create_app(settings)
    feed = LiveFeed(app, folder)
    feed.history(NOON)
    with served(app) as client:
        feed.url = str(client.base_url).rstrip("/")
        yield feed


@pytest.fixture
def live(browser_context, north):
    """A fresh tab for the pages of `north`; the test fails where a page fails, or sends a request to another host."""
    page = browser_context.new_page()
    page.set_viewport_size({"width": 1280, "height": 800})
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on(
        "request",
        lambda request: None if request.url.startswith((north.url, "data:", "blob:")) else failures.append(request.url),
    )
    yield page
    page.close()
    assert failures == []


@pytest.fixture(scope="session")
def middle():
    """Latitude and longitude of the middle of the nowcast `uncertain`."""
    lon, lat = Transformer.from_crs(3035, 4326, always_xy=True).transform(4_000_000.0, 3_000_000.0)
    return lat, lon


@pytest.fixture(scope="session")
def uncertain(stack, tmp_path_factory):
    """Id of a finished nowcast of two hours with probabilities and ten members, as a worker would have published it.

    Rain of 3 mm/h reaches the west half from +20 min to +60 min in 4 members, 10 min later in 3, and never in the
    others; the probability of 0.1 mm/h is 0.7 there, that of 2 mm/h 0.35. In the east there is no data.
    """
    rain = np.zeros((24, 40, 40), np.float32)
    rain[3:12, :, :20] = 3.0
    late = np.roll(rain, 2, axis=0)
    members = np.stack([*[rain] * 4, *[late] * 3, *[0 * rain] * 3])
    probability = np.stack(
        [np.where(rain > 0, np.float32(0.7), np.float32(0)), np.where(rain > 0, np.float32(0.35), 0)]
    )
    for array in (rain, members, probability):
        array[..., 30:] = np.nan
    grid = Grid.regular(CRS.from_epsg(3035), shape=(40, 40), pixel_size=1000.0, centre=(4_000_000.0, 3_000_000.0))
    times = REFERENCE + np.arange(-2, 1) * np.timedelta64(5, "m")
    frames = FrameSequence(rain_rate=np.zeros((3, 40, 40), np.float32), times=times, grid=grid)
    forecast = Forecast(
        rain_rate=rain,
        probability=probability,
        members=members,
        reference_time=REFERENCE,
        lead_minutes=np.arange(1, 25) * 5.0,
        grid=grid,
        attributes={},
        output=ForecastOutput(thresholds_mm_h=(0.1, 2.0), members=10),
        field="sharp",
        probability_method="distribution",
    )
    settings = Settings(data_dir=stack.data_dir)
    ledger, store = Ledger(settings.database), ObjectStore(settings.store)
    job = ledger.claim(ledger.create(Job(model="auto", steps=24, inputs=[])).id, WAIT_SECONDS)
    ledger.record_model(job, model_used=SHIPPED_REFERENCE, note="")
    for item, key in ((frames, input_key(job.id)), (forecast, result_key(job.id))):
        path = tmp_path_factory.mktemp("published") / "file.nc"
        write_netcdf(item, path)
        store.put(key, path)
    ledger.succeed(job, result_key=result_key(job.id), input_key=input_key(job.id))
    ledger.close()
    return job.id
