"""A page that was made for RainViewer's weather maps plays a feed, in the machine's own Chromium."""

import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from pyproj import CRS

from model.core.forecast_file import Forecast, write_netcdf
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from service.api.app import create_app
from service.feeds.arrivals import DecodedFrame
from service.feeds.tables import ArrivedFile
from service.jobs.job import Job
from service.settings import Settings
from service.store import result_key
from tests.service.api.conftest import NO_REDIS, served

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
LON, LAT = 5.2, 52.1
GRID = Grid.regular(CRS.from_epsg(4326), shape=(64, 64), pixel_size=0.02, centre=(LON, LAT))
COLUMNS_WITH_RAIN = """() => {
  const canvas = document.createElement("canvas");
  canvas.width = 768; canvas.height = 512;
  const pen = canvas.getContext("2d", {willReadFrequently: true});
  for (const tile of document.querySelectorAll("#map .shown img"))
    pen.drawImage(tile, parseInt(tile.style.left), parseInt(tile.style.top));
  const data = pen.getImageData(0, 0, 768, 512).data;
  let first = 768, last = -1;
  for (let i = 0; i < data.length; i += 4)
    if (data[i + 3] === 255) { const x = (i / 4) % 768; first = Math.min(first, x); last = Math.max(last, x); }
  return [first, last];
}"""
RECORD_TIMES = """() => {
  const time = document.getElementById("time");
  window.seen = [];
  new MutationObserver(() => window.seen.push(time.value)).observe(time, {childList: true});
}"""


def band(step):
    """Rain that moves east, by eight pixels of the grid in each step."""
    rain = np.zeros(GRID.shape, np.float32)
    rain[:, 8 * step : 8 * step + 8] = 5.0
    return rain


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory, project):
    """Another web server: the example of the docs, and the same with tiles whose pixels a script may read."""
    folder = tmp_path_factory.mktemp("pages")
    html = (project / "docs" / "examples" / "weather-maps.html").read_text()
    (folder / "map.html").write_text(html)
    image = "new Image(TILE, TILE);"
    assert image in html
    (folder / "readable.html").write_text(html.replace(image, f"{image} tile.crossOrigin = 'anonymous';"))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, pages):
    tmp_path = tmp_path_factory.mktemp("north")
    settings = Settings(data_dir=tmp_path, broker_url=NO_REDIS, cors_origins=pages)
    settings.feeds_path.write_text('[[feed]]\nname = "north"\nfolder = "/radar"\nclock = "frames"\n')
    app = create_app(settings)
    context = app.state.context
    for step in range(3):
        time = NOON + timedelta(minutes=5 * step - 10)
        times = np.array([time.replace(tzinfo=None)], "datetime64[ns]")
        sequence = FrameSequence(rain_rate=band(step)[None], times=times, grid=GRID)
        write_netcdf(sequence, tmp_path / "f.nc")
        context.store.put(f"frames/{step}.nc", tmp_path / "f.nc")
        frame = DecodedFrame(
            valid_time=time, key=f"frames/{step}.nc", digest=sequence.digest(), grid="g", pixels=1, size=1, coverage=1.0
        )
        file = ArrivedFile(name=f"{step}.h5", size=1, modified_ns=1)
        context.feed_ledger.record_frames("north", file, [frame])
    forecast = Forecast(
        rain_rate=np.stack([band(3), band(4)]),
        reference_time=np.datetime64("2026-06-01T12:00", "ns"),
        lead_minutes=np.array([5.0, 10.0]),
        grid=GRID,
        attributes={},
    )
    write_netcdf(forecast, tmp_path / "f.nc")
    job = Job(kind="feed", model="auto", steps=2, inputs=[], feed="north")
    assert context.feed_ledger.submit(job, context.feed_ledger.find_frame("north"), model="auto")
    claimed = context.ledger.claim(job.id, 60)
    context.store.put(result_key(job.id), tmp_path / "f.nc")
    context.ledger.succeed(claimed, result_key=result_key(job.id), input_key=None)
    with served(app) as client:
        yield client


@pytest.fixture
def opened(browser_context, gateway, pages):
    """Opens a page of the other server with the maps of the feed; the test fails where the page does."""
    page, failures = browser_context.new_page(), []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("requestfailed", lambda request: failures.append(request.url))

    def open_page(name):
        maps = f"{str(gateway.base_url).rstrip('/')}/v1/feeds/north/weather-maps.json"
        page.goto(f"{pages}/{name}?maps={maps}&lat={LAT}&lon={LON}&z=9")
        expect(page.locator("#time")).to_have_text("12:00 UTC, observed")
        return page

    yield open_page
    page.close()
    assert failures == []


def test_a_page_of_another_origin_plays_past_and_forecast(opened):
    page = opened("map.html")
    page.evaluate(RECORD_TIMES)
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("() => window.seen.length >= 6")
    assert page.evaluate("() => window.seen")[:6] == [
        "12:05 UTC, forecast",
        "12:10 UTC, forecast",
        "11:50 UTC, observed",
        "11:55 UTC, observed",
        "12:00 UTC, observed",
        "12:05 UTC, forecast",
    ]


def test_rain_is_on_the_page_where_it_is_on_the_map_and_moves(opened):
    page = opened("readable.html")
    pixel = 0.02 / 360 * (256 << 9)  # of the map, whose middle is that of the grid
    page.evaluate(RECORD_TIMES)
    for step, time in ((2, "12:00 UTC, observed"), (4, "12:10 UTC, forecast")):
        if step == 4:
            page.get_by_role("button", name="Play").click()
            page.wait_for_function(f"() => window.seen.at(-1) === '{time}'", polling=20)
        first, last = page.evaluate(COLUMNS_WITH_RAIN)  # smoothed: up to a pixel more on either side
        assert 0 <= 384 + (8 * step - 32) * pixel - first <= pixel
        assert 0 <= last - (384 + (8 * step - 24) * pixel) <= pixel
