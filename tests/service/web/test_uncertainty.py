"""The map of a nowcast with probabilities: layers, their colours, and what lies beyond the scored lead times."""

import re

import pytest

from tests.service.web.map_pixels import colour_at, legend_colour

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

WEST = -0.12  # degrees from the middle of the nowcast `uncertain`: there it rains, and in the far east no data is known
EAST = 0.26


@pytest.fixture
def opened(page, stack, uncertain):
    """The map of the nowcast `uncertain`."""
    page.goto(f"{stack.url}/?nowcast={uncertain}")
    expect(page.locator(".time-kind")).to_have_text("Observed, newest frame")
    expect(page.locator(".time-ticks .beyond")).to_have_count(12)
    return page


def choose(page, name):
    """Choose a layer of the map."""
    if page.locator(".layers-panel").is_hidden():
        page.locator(".layers-open").click()
    page.get_by_role("radio", name=name, exact=True).check()


def test_the_sentence_of_an_upload_tells_when_by_the_clock(page, stack, uncertain):
    page.goto(f"{stack.url}/?nowcast={uncertain}&place=50.03,5.43")
    expect(page.locator("#place-sentence")).to_have_text(
        "Moderate precipitation starting between 14:15 and 14:30, heaviest around 14:20, likely over by 15:15; "
        "70 % sure"
    )
    expect(page.locator("#place-about")).to_have_text("Seen from 14:00 (12:00 UTC), the newest frame.")


def test_a_probability_is_chosen_as_the_layer_of_the_map(opened, middle):
    page, legend, kind = opened, opened.locator(".legend"), opened.locator(".time-kind")
    expect(legend).to_contain_text("Precipitation rate, mm/h")
    expect(legend).to_contain_text("moderate")
    choose(page, "Probability of at least 2 mm/h")
    expect(kind).to_have_text("Forecast, lead +5 min")  # an observed frame has no probability
    page.keyboard.press("Escape")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(kind).to_have_text("Forecast, lead +20 min")
    expect(legend).to_contain_text("Probability of at least 2 mm/h, %")
    assert colour_at(page, *middle, east=WEST)[:3] == legend_colour(page, "30")
    choose(page, "Probability of at least 0.1 mm/h")
    page.keyboard.press("Escape")
    assert colour_at(page, *middle, east=WEST)[:3] == legend_colour(page, "70")
    red, green, blue, opacity = colour_at(page, *middle, east=EAST)
    assert max(red, green, blue) - min(red, green, blue) < 20  # grey: no data is no low probability
    assert opacity > 0
    page.keyboard.press("Home")
    expect(legend).to_contain_text("Precipitation rate, mm/h")  # what was observed is precipitation


def test_what_lies_beyond_the_scored_lead_times_is_faded_and_said(opened):
    page, kind, mark = opened, opened.locator(".time-kind"), opened.locator("#map-mark")
    page.keyboard.press("End")
    expect(kind).to_have_text("Forecast, lead +120 min: longer than was ever scored")
    expect(mark).to_have_text("beyond 60 min: never scored")
    expect(page.locator("#map")).to_have_class(re.compile(r"\bbeyond\b"))
    slider = page.get_by_role("slider", name="Time of the frame")
    assert "longer than was ever scored" in slider.get_attribute("aria-valuetext")
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
    expect(kind).to_have_text("Forecast, lead +60 min")
    expect(mark).to_be_hidden()
