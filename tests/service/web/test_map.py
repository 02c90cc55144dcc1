"""The map of a feed in a real browser: what it opens with, the time bar, and that nothing unknown looks dry."""

import re

import pytest

from tests.service.web.live_feed import LAT, LON, PIXEL
from tests.service.web.map_pixels import colour_at

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

NOON_VIEW = "map=9/52.1/5.2"


def colour(page, column):
    """Colour of the map in the middle of a column of the grid of `north`."""
    return colour_at(page, LAT, LON + (column - 31.5) * PIXEL)


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


def test_a_service_without_feeds_says_so(browser_context, stack):
    page = browser_context.new_page()
    page.goto(stack.url)
    expect(page.get_by_role("heading", name="This service has no live radar")).to_be_visible()
    page.get_by_role("link", name="Upload radar frames").click()
    expect(page.get_by_role("button", name="Try the bundled sample")).to_be_visible()
    page.close()
