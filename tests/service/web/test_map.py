"""The map of a feed in a real browser: what it opens with, the time bar, and that nothing unknown looks dry."""

import re
from datetime import timedelta

import numpy as np
import pytest
from pyproj import CRS

from model.core.forecast_file import Forecast
from model.core.grid import Grid
from service.jobs.job import Job
from service.store import result_key
from tests.patience import wait_until
from tests.service.web.conftest import NOON
from tests.service.web.live_feed import LAT, LON, PIXEL, band
from tests.service.web.map_pixels import colour_at

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

MARS = "ESRI:104905"
NOON_VIEW = "map=9/52.1/5.2"
RECORD_TIMES = """() => {
  const time = document.querySelector(".time-local");
  window.seen = [];
  new MutationObserver(() => window.seen.push(time.dateTime)).observe(time, {attributeFilter: ["datetime"]});
}"""


def colour(page, column, pane="radar"):
    """Colour of the map in the middle of a column of the grid of `north`."""
    return colour_at(page, LAT, LON + (column - 31.5) * PIXEL, pane=pane)


@pytest.fixture
def opened(live, north):
    """The map of `north`, once its newest frame is drawn."""
    live.goto(f"{north.url}/?{NOON_VIEW}")
    expect(live.locator(".time-kind")).to_have_text("Observed, newest frame")
    expect(live.locator("#map")).to_have_attribute("aria-busy", "false")
    return live


def test_the_newest_nowcast_opens_with_its_age_and_model(opened):
    expect(opened.locator(".source-title")).to_have_text("north")
    expect(opened.locator(".chip.good")).to_have_text("radar 0 min old")
    expect(opened.locator(".source-facts")).to_contain_text("nowcast of 14:00, rain-ms-predrnn 2")
    expect(opened).to_have_title(re.compile("Echocast"))
    opened.wait_for_url(re.compile("feed=north"))
    assert colour(opened, 20)[3] == 255
    assert colour(opened, 40)[3] == 0


def test_one_bar_has_past_and_forecast_and_says_where_one_is(opened):
    ticks = opened.locator(".time-ticks")
    expect(ticks.locator(".observed")).to_have_count(3)
    expect(ticks.locator(".forecast")).to_have_count(2)
    shown = opened.locator(".time-shown")
    expect(shown).to_contain_text(re.compile(r"14:00.*(12:00 UTC)"))
    opened.keyboard.press("ArrowRight")
    expect(shown).to_contain_text(re.compile(r"14:05.*12:05 UTC.*in 5 min.*Forecast, lead \+5 min"))
    slider = opened.get_by_role("slider", name="Time of the frame")
    slider.focus()
    opened.keyboard.press("End")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"Forecast, lead \+10 min, 14:10 CEST"))
    expect(opened.locator("#time [aria-live]")).to_have_text(re.compile(r"Forecast, lead \+10 min, 14:10 CEST"))
    expect(opened.locator("#map")).to_have_attribute("aria-busy", "false")
    assert colour(opened, 36)[3] == 255
    opened.keyboard.press("Home")
    expect(shown).to_contain_text(re.compile("13:50.*Observed"))
    opened.wait_for_url(re.compile("at=2026-06-01T11:50Z"))
    opened.reload()
    expect(shown).to_contain_text("13:50")
    opened.get_by_role("button", name="Newest").click()
    expect(opened.locator(".time-kind")).to_have_text("Observed, newest frame")


def test_the_frames_play_and_can_be_paused(opened):
    opened.evaluate(RECORD_TIMES)
    opened.get_by_role("combobox", name="Speed").select_option("10 frames/s")
    opened.get_by_role("button", name="Play").click()
    opened.wait_for_function("() => window.seen.length >= 6")
    opened.keyboard.press("Home")  # a step pauses
    expect(opened.get_by_role("button", name="Play")).to_be_visible()
    order = [f"2026-06-01T{time}:00Z" for time in ("12:05", "12:10", "11:50", "11:55", "12:00", "12:05")]
    assert opened.evaluate("() => window.seen")[:6] == order


def test_a_frame_that_is_not_complete_is_not_shown_as_such(opened, north):
    """One tile of the forecast for 12:05 is held back, then refused: hatched, as it is not known to be dry."""
    page, held, refuses = opened, [], False

    def hold(route):
        if refuses:
            route.abort()
        else:
            held.append(route)

    page.route(re.compile("T120500Z"), hold)
    page.goto(f"{north.url}/?{NOON_VIEW}")
    expect(page.locator(".time-kind")).to_have_text("Observed, newest frame")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".time-ahead")).to_have_text("in 5 min")
    expect(page.locator("#map-mark")).to_have_text("Loading the picture…")
    expect(page.locator("#map")).to_have_attribute("aria-busy", "true")
    wait_until(lambda: page.wait_for_timeout(20) or bool(held), "the request for a tile")
    refuses = True
    for route in held:
        route.abort()
    expect(page.locator("#map-mark")).to_have_text("Parts of the picture could not be loaded: hatched, not dry")
    red, green, blue, opacity = colour(page, 50)
    assert opacity > 0
    assert max(red, green, blue) - min(red, green, blue) < 20


def test_a_time_that_is_no_longer_kept_is_said_and_pins_nothing(live, north):
    live.goto(f"{north.url}/?{NOON_VIEW}&at=2026-05-31T12:00Z")
    expect(live.locator(".notice")).to_contain_text("Frames of Sun 31 May 14:00 are no longer kept here")
    expect(live.locator(".time-kind")).to_have_text("Observed, newest frame")
    live.wait_for_url(lambda url: "at=" not in url)


def test_a_probability_follows_the_feed(opened):
    page = opened
    page.locator(".layers-open").click()
    choice = page.get_by_role("radio", name="Probability of at least 0.5 mm/h")
    choice.check()
    expect(choice).to_be_focused()
    expect(page.locator(".time-kind")).to_contain_text("Forecast")
    page.wait_for_url(re.compile("layer=probability"))
    assert "at=" not in page.url
    page.keyboard.press("ArrowUp")  # the layer before it
    expect(page.get_by_role("radio", name="Precipitation rate")).to_be_focused()
    expect(page.locator(".time-kind")).to_have_text("Observed, newest frame")


def test_the_page_comes_back_by_itself(live, north):
    """A proxy whose answers are no JSON is simulated."""
    live.clock.install()
    live.route("**/v1/feeds", lambda route: route.fulfill(body="<p>Please wait", content_type="text/html"))
    live.goto(north.url)
    expect(live.get_by_role("heading", name="The service responded with status 200")).to_be_visible()
    live.unroute("**/v1/feeds")
    live.clock.fast_forward(31000)
    expect(live.locator(".time-kind")).to_have_text("Observed, newest frame")


def test_an_accumulation_has_the_time_that_it_is_of(live, north):
    """The layer is simulated, as the nowcast of `north` is shorter."""

    def with_accumulation(route):
        tiles = route.fetch().json()
        rain = tiles["layers"][0]
        more = {"id": "accumulation-60", "title": "layer.accumulation", "values": {"minutes": 60}, "kinds": []}
        of = {"start": "2026-06-01T12:00:00Z", "end": "2026-06-01T13:00:00Z"}
        route.fulfill(json=tiles | {"layers": [rain, rain | more | of]})

    live.route("**/tiles.json", with_accumulation)
    live.goto(f"{north.url}/?{NOON_VIEW}&layer=accumulation-60")
    expect(live.locator(".time-local")).to_have_text("14:00–15:00")
    expect(live.locator(".time-kind")).to_have_text("Accumulation over the next 60 min")
    expect(live.locator(".legend-title")).to_contain_text("14:00–15:00")
    expect(live.get_by_role("button", name="Play")).to_be_disabled()
    live.keyboard.press("Home")
    expect(live.locator(".time-local")).to_have_text("14:00–15:00")
    live.locator(".layers-open").click()
    live.get_by_role("radio", name="Precipitation rate").check()
    expect(live.locator(".time-local")).to_have_text("13:50")
    expect(live.get_by_role("button", name="Play")).to_be_enabled()


def test_another_model_stands_at_the_right_of_a_bar(opened, north):
    page = opened
    north.challenge([band(5), band(6)])
    page.reload()
    page.locator(".layers-open").click()
    page.get_by_role("combobox", name="Compare with").select_option("extrapolation 1")
    page.keyboard.press("Escape")
    page.wait_for_url(re.compile("compare=extrapolation@1"))
    expect(page.locator(".swipe-right")).to_have_text("extrapolation 1")
    page.locator("#map-room").evaluate("room => room.ownerDocument.activeElement.blur()")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#map")).to_have_attribute("aria-busy", "false")
    assert colour(page, 28)[3] == 255
    assert colour(page, 44, pane="compare")[3] == 255
    bar = page.get_by_role("slider", name="Border between the two models")
    box = page.locator("#map").bounding_box()
    clips = page.evaluate(
        "['radar', 'compare'].map((name) => getComputedStyle(document.querySelector(`.leaflet-${name}-pane`)).clipPath)"
    )
    assert all(clip.startswith("polygon") for clip in clips)
    bar.fill("80")
    left = page.locator(".swipe-left").bounding_box()
    assert left["x"] + left["width"] == pytest.approx(box["x"] + 0.8 * box["width"] - 8, abs=2)


def test_arrows_tell_where_precipitation_is_moving(opened, north):
    """The motion is simulated: towards the east from the middle."""
    arrow = {"lon": LON, "lat": LAT, "to_lon": LON + 0.2, "to_lat": LAT, "speed_kmh": 55, "direction_deg": 90}
    opened.route("**/motion.json", lambda route: route.fulfill(json={"arrows": [arrow], "minutes": 15}))
    opened.locator(".layers-open").click()
    opened.get_by_role("checkbox", name="Motion in 15 min, as arrows").check()
    canvas = opened.locator(".leaflet-motion-pane canvas")
    drawn = "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"
    wait_until(lambda: canvas.count() and canvas.evaluate(drawn), "an arrow")
    opened.get_by_role("checkbox", name="Motion in 15 min, as arrows").uncheck()
    wait_until(lambda: not canvas.evaluate(drawn), "the end of the arrows")


def test_a_new_frame_and_its_nowcast_come_by_themselves(opened, north):
    page = opened
    page.wait_for_timeout(300)  # the first event tells what is known
    north.observe(NOON + timedelta(minutes=5), band(3))
    expect(page.locator(".time-local")).to_have_text("14:05")
    expect(page.locator(".time-kind")).to_have_text("Observed, newest frame")
    north.forecast([band(4), band(5)])
    expect(page.locator(".source-facts")).to_contain_text("nowcast of 14:05")
    expect(page.locator(".time-ticks .forecast")).to_have_count(2)
    expect(page.locator("#map")).to_have_attribute("aria-busy", "false")
    assert colour(page, 28)[3] == 255


@pytest.mark.parametrize(
    ("answer", "level", "words"),
    [
        (
            {"status": "delayed", "age_minutes": 14.0},
            "warn",
            "The newest radar frame is 14 min old; one is due every 5",
        ),
        ({"status": "partial", "reason": "2 of 13 frames are missing"}, "warn", "incomplete: 2 of 13 frames"),
        ({"status": "unavailable", "reason": "the newest frame is 90 min old"}, "bad", "Do not rely on this map: the"),
        ({"reference_time": None}, "good", "There is no nowcast yet: the map shows what was observed."),
    ],
)
def test_what_is_wrong_with_the_feed_is_said(live, north, answer, level, words):
    """The state of the feed is simulated."""
    live.route("**/tiles.json", lambda route: route.fulfill(json=route.fetch().json() | answer))
    live.goto(north.url)
    expect(live.locator(f".chip.{level}")).to_be_visible()
    expect(live.locator(".notice")).to_contain_text(words)


def test_a_nowcast_that_lies_nowhere_on_the_earth_is_shown_as_an_animation(live, north):
    grid = Grid.regular(CRS.from_user_input(MARS), shape=(40, 40), pixel_size=0.1, centre=(5.0, 50.0))
    forecast = Forecast(
        rain_rate=np.full((2, 40, 40), 5.0, np.float32),
        reference_time=np.datetime64("2026-06-01T12:00", "ns"),
        lead_minutes=np.array([5.0, 10.0]),
        grid=grid,
        attributes={},
    )
    ledger = north.context.ledger
    job = ledger.claim(ledger.create(Job(model="auto", steps=2, inputs=[])).id, 60)
    north.store(forecast, result_key(job.id))
    ledger.succeed(job, result_key=result_key(job.id), input_key=None)
    live.goto(f"{north.url}/?nowcast={job.id}")
    expect(live.get_by_role("heading", name="These frames have no place on the map")).to_be_visible()
    picture = live.get_by_role("img", name="Animation of the observed and forecast frames")
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0


def test_on_a_phone_map_and_time_bar_are_on_one_screen(live, north):
    live.set_viewport_size({"width": 390, "height": 844})
    live.goto(north.url)
    expect(live.locator(".time-kind")).to_have_text("Observed, newest frame")
    map_box, bar = live.locator("#map").bounding_box(), live.locator("#time").bounding_box()
    assert map_box["height"] > 300
    assert bar["y"] + bar["height"] <= 844
    root = "document.documentElement"
    assert live.evaluate(f"[{root}.scrollWidth - {root}.clientWidth, {root}.scrollHeight - {root}.clientHeight]") == [
        0,
        0,
    ]


def test_a_service_without_feeds_says_so(browser_context, stack):
    page = browser_context.new_page()
    page.goto(stack.url)
    expect(page.get_by_role("heading", name="This service has no live radar")).to_be_visible()
    page.get_by_role("link", name="Upload radar frames").click()
    expect(page.get_by_role("button", name="Try the bundled sample")).to_be_visible()
    page.close()
