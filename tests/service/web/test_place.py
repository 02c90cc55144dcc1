"""The answer for a place in a real browser: two taps on a phone, with its range, and never dry for want of data."""

from __future__ import annotations

import re
from datetime import timedelta

import numpy as np
import pytest

from service.api.app import create_app
from service.settings import Settings
from tests.service.api.conftest import NO_REDIS, served
from tests.service.web.conftest import FEEDS, NOON
from tests.service.web.live_feed import GRID, LAT, LON, PIXEL, LiveFeed

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

LEADS = 24
UTRECHT = {"latitude": 52.09, "longitude": 5.12}
NO_DATA_PLACE = f"{LAT},{LON + 27 * PIXEL:.3f}"
ANSWER = "Moderate precipitation in 10 to 20 min, heaviest around 14:20, likely over by 14:35; 80 % sure"


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """A gateway with the feed "north": rain of 3 to 8 mm/h comes to the west half, in eight of ten members.

    It starts at +15 min in five of them and at +20 min in three, and lasts 15 min. In the east there is no data.
    """
    folder = tmp_path_factory.mktemp("town")
    settings = Settings(data_dir=folder, broker_url=NO_REDIS)
    settings.feeds_path.write_text(FEEDS + FEEDS.replace("north", "chances"))
    app = create_app(settings)
    feed = LiveFeed(app, folder)
    for minutes in (10, 5, 0):
        feed.observe(NOON - timedelta(minutes=minutes), np.zeros(GRID.shape, np.float32))
    rain = np.zeros((LEADS, *GRID.shape), np.float32)
    rain[2:5, :, :32] = np.array([3, 8, 3], np.float32)[:, None, None]
    members = np.stack([*[rain] * 5, *[np.roll(rain, 1, axis=0)] * 3, *[0 * rain] * 2])
    share = (members >= 0.1).mean(axis=0)
    probability = np.stack([share, share * 0.5]).astype(np.float32)
    for array in (rain, members, probability):
        array[..., 56:] = np.nan
    feed.forecast(rain, probability=probability, members=members, thresholds_mm_h=(0.1, 2.0))
    LiveFeed(app, folder, "chances").history(NOON)
    with served(app) as client:
        feed.url = str(client.base_url).rstrip("/")
        yield feed


@pytest.fixture
def north(town):
    """The gateway whose pages the tab `live` opens."""
    return town


@pytest.fixture
def phone(live, north):
    """The page as it opens on a phone for the first time."""
    live.set_viewport_size({"width": 390, "height": 844})
    live.goto(north.url)
    live.evaluate("localStorage.clear()")
    live.goto(north.url)
    expect(live.locator("#map")).to_have_attribute("aria-busy", "false")
    return live


def sentence(page):
    return page.locator("#place-sentence")


def at(page, north, place, **more):
    query = "&".join(f"{name}={value}" for name, value in {"place": place, "map": "9/52.1/5.2", **more}.items())
    page.goto(f"{north.url}/?{query}")
    return page


def test_when_it_starts_at_my_town_and_how_sure_we_are_takes_two_taps(phone):
    phone.get_by_role("combobox", name="Search a town").click()
    phone.keyboard.type("Utrecht")
    phone.get_by_role("option", name="Utrecht").first.click()
    expect(sentence(phone)).to_have_text(ANSWER)
    expect(phone.locator("#place-title")).to_have_text("Utrecht")
    for part in ("#map", ".time-local", ".time-slider", "#place-sentence"):
        box = phone.locator(part).bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 844, part
    assert phone.locator("#map").bounding_box()["height"] > 300
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_where_the_device_is_takes_one_tap_and_is_asked_for_then_only(phone, browser_context, north):
    browser_context.grant_permissions(["geolocation"], origin=north.url)
    browser_context.set_geolocation(UTRECHT)
    expect(phone.locator("#place-title")).to_have_text("When does it start?")
    phone.get_by_role("button", name="My location").click()
    expect(sentence(phone)).to_have_text(ANSWER)
    phone.wait_for_url(re.compile(r"place=52\.09,5\.12(&|$)"))
    expect(phone.locator("#place-title")).to_have_text("Utrecht")
    browser_context.clear_permissions()


def test_the_sheet_is_pulled_up_for_the_numbers(phone, north):
    at(phone, north, "52.09,5.12,Utrecht")
    expect(phone.locator("#place-more")).to_be_hidden()
    phone.get_by_role("button", name="Show more").click()
    facts = phone.locator("#place-facts")
    expect(facts).to_contain_text("Starts14:10 to 14:20 (12:20 UTC)")
    expect(facts).to_contain_text("Overby 14:35 (12:35 UTC)")
    expect(facts).to_contain_text("2 mm/h within 60 min80 %")
    expect(facts).to_contain_text("10 mm/h within 60 minless than 10 %")
    expect(phone.locator(".meteogram .range").first).to_be_visible()
    phone.get_by_role("button", name="Show less").click()
    expect(phone.locator("#place-more")).to_be_hidden()


def test_a_tap_on_the_map_is_answered_and_read_aloud_once(live, north):
    page = at(live, north, "52.09,5.12")
    expect(sentence(page)).to_have_text(ANSWER)
    expect(sentence(page)).to_have_attribute("aria-live", "polite")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(sentence(page)).to_have_attribute("aria-live", "off")
    box = page.locator("#map").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2 + 60, box["y"] + box["height"] / 2)
    expect(sentence(page)).to_have_text(re.compile("^No precipitation until 16:00; more than 90.% sure"))
    expect(sentence(page)).to_have_attribute("aria-live", "polite")


def test_missing_data_and_the_outside_are_said_plainly(live, north):
    page = at(live, north, NO_DATA_PLACE)
    expect(sentence(page)).to_have_text("No data at this place: whether there will be precipitation is not known")
    expect(page.locator(".meteogram .missing").first).to_be_visible()
    page.get_by_text("Values", exact=True).click()
    expect(page.locator("#place-values tbody tr").last).to_contain_text("no data")
    page = at(live, north, "10,-30")
    expect(sentence(page)).to_have_text("Outside of the radar's area: nothing is known of this place.")
    expect(page.locator(".meteogram")).to_have_count(0)


def test_an_answer_that_does_not_come_takes_the_old_one_away(live, north):
    live.clock.install()
    page = at(live, north, "52.09,5.12")
    expect(sentence(page)).to_have_text(ANSWER)
    page.route("**/point?*", lambda route: None)  # it is swallowed
    with page.expect_request("**/point?*"):
        page.clock.fast_forward("01:01")
    page.clock.fast_forward("00:31")
    expect(sentence(page)).to_have_text(re.compile("^The service does not respond"))
    page.unroute("**/point?*")
    page.clock.fast_forward("00:31")
    expect(sentence(page)).to_have_text(ANSWER)
    page.route("**/tiles.json", lambda route: None)
    page.locator(".source-feed").select_option("chances")
    expect(sentence(page)).to_have_text("Reading the forecast…")


def test_frames_of_a_radar_that_is_late_are_hatched(live, north):
    page = at(live, north, "52.09,5.12")
    expect(sentence(page)).to_have_text(ANSWER)
    hatched = page.evaluate(
        """async () => {
          const { meteogram } = await import("./static/place/meteogram.js");
          const at = (minutes, kind) => ({
            kind, valid_time: new Date(60000 * minutes).toISOString(), rain_rate: 0, probability_of_rain: null,
          });
          const past = [0, 5, 10].map((minutes) => at(minutes, "observed"));
          const legend = { classes: [], dry: { below: 0.1 }, no_data: { colours: ["grey", "white"] } };
          return [20, 50].map((now) => {
            const forecast = [5, 10, 15].map((minutes) => at(now + minutes, "forecast"));
            const answer = { past, forecast, now: new Date(60000 * now).toISOString(), thresholds_mm_h: [], unit: "" };
            return meteogram(answer, { legend, scored: null }).node.querySelectorAll(".gap").length;
          });
        }"""
    )
    assert hatched == [0, 1]


def test_the_meteogram_moves_with_the_time_bar_and_moves_it(live, north):
    page = at(live, north, "52.09,5.12")
    cursor = page.locator(".meteogram .cursor")
    expect(cursor).to_be_visible()
    before = cursor.bounding_box()["x"]
    page.keyboard.press("ArrowRight")
    expect(page.locator(".time-local")).to_have_text("14:05")
    assert cursor.bounding_box()["x"] > before
    page.locator(".meteogram .target").nth(5).dispatch_event("click")
    expect(page.locator(".time-local")).to_have_text("14:15")
    expect(page.locator(".meteogram .beyond").first).to_be_attached()
    expect(page.locator(".meteogram")).to_contain_text("not scored")
    rows = page.locator("#place-values tbody tr")
    expect(rows.filter(has_text="14:20")).to_have_text(re.compile("14:2012:20forecast80 to 880 %"))


def test_without_members_and_a_threshold_of_any_rain_the_lowest_threshold_is_told(live, north):
    page = at(live, north, f"{LAT},{LON - 4 * PIXEL:.3f}", feed="chances")
    expect(sentence(page)).to_have_text(
        "Moderate precipitation within 5 min, over by 14:10; 0.5 mm/h or more: at most 80 % chance at any one time",
        use_inner_text=True,
    )
    expect(page.locator(".meteogram .range")).to_have_count(1)
    expect(page.locator("#place-facts")).to_contain_text("2 mm/h, at any one timeup to 30 %")


def test_own_places_stay_on_the_device_and_in_the_address_in_their_order(live, north):
    page = at(live, north, "52.09,5.12,Utrecht")
    page.get_by_role("button", name="Keep this place").click()
    page.get_by_role("combobox", name="Search a town").fill("51.92, 4.98")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Keep this place").click()
    chips = page.locator(".own-chip")
    expect(chips).to_have_count(2)
    expect(chips.first).to_have_text("Utrecht")
    page.locator("#place-own summary").click()
    page.get_by_role("button", name="Move Utrecht down").click()
    expect(page.get_by_role("button", name="Move Utrecht up")).to_be_focused()
    expect(chips.last).to_have_text("Utrecht")
    page.wait_for_url(re.compile(r"places=51\.92,4\.98.*Utrecht"))
    page.goto(north.url)
    expect(chips.last).to_have_text("Utrecht")
    expect(sentence(page)).to_have_text(ANSWER)
    chips.last.click()
    expect(chips.last).to_be_focused()
    page.get_by_role("button", name="Remove this place").click()
    expect(chips).to_have_count(1)
    page.get_by_role("button", name="Close this place").press("Enter")
    expect(page.locator("#place-title")).to_be_focused()
    page.evaluate("localStorage.clear()")


def test_the_keyboard_alone_finds_a_place(live, north):
    page = live
    page.goto(north.url)
    page.get_by_role("combobox", name="Search a town").focus()
    page.keyboard.type("Utrecht")
    expect(page.locator("#search-list [role=option]", has_text="Utrecht").first).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("combobox", name="Search a town")).to_have_attribute(
        "aria-activedescendant", "search-option-0"
    )
    page.keyboard.press("Enter")
    expect(sentence(page)).to_have_text(ANSWER)


def test_in_german(live, north):
    page = at(live, north, "52.09,5.12", language="de")
    expect(sentence(page)).to_have_text(
        "Mäßiger Niederschlag in 10 bis 20 min, am stärksten gegen 14:20 Uhr, wahrscheinlich vorbei bis 14:35 Uhr; "
        "zu 80 % sicher"
    )
    expect(page.locator("#place-about")).to_contain_text("Radar von 14:00")
