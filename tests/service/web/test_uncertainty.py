"""How sure are we: probabilities on the map and in words, and what lies beyond the scored lead times."""

import re

import pytest

from tests.packages import SHIPPED_REFERENCE

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect


@pytest.fixture
def opened(page, stack, uncertain):
    """The page of the nowcast `uncertain`, once the skill of its model is known."""
    page.goto(f"{stack.url}/upload?nowcast={uncertain}")
    expect(page.get_by_role("application", name="Rain map")).to_be_visible()
    expect(page.locator("#ticks .beyond")).to_have_count(12)
    return page


def colour_at(page, x, y):
    """Colour of the map's picture at fractions of its sides, as [red, green, blue, opacity]."""
    return page.locator("#picture").evaluate(
        """async (image, [x, y]) => {
            await image.decode();
            const canvas = document.createElement("canvas");
            Object.assign(canvas, { width: image.naturalWidth, height: image.naturalHeight });
            const drawing = canvas.getContext("2d");
            drawing.drawImage(image, 0, 0);
            return [...drawing.getImageData(x * canvas.width, y * canvas.height, 1, 1).data];
        }""",
        [x, y],
    )


def legend_colour(page, text):
    item = page.locator("#legend ol li").filter(has_text=text).first.locator("i")
    red_green_blue = item.evaluate("patch => getComputedStyle(patch).backgroundColor")
    return [int(part) for part in red_green_blue.strip("rgb()").split(",")]


def test_a_probability_is_chosen_as_the_layer_of_the_map(opened):
    page = opened
    expect(page.locator("#field")).to_have_text("sharp")
    expect(page.locator("#legend")).to_contain_text("Rain rate, mm/h")
    page.get_by_role("radio", name="Probability of at least 2 mm/h").check(force=True)
    expect(page.locator("#kind")).to_have_text("Forecast, +5 min")  # an observed frame has no probability
    expect(page.locator("#layer-note")).to_contain_text("the network's own distribution")
    page.get_by_role("slider", name="Frame").fill("6")
    expect(page.locator("#kind")).to_have_text("Forecast, +20 min")
    legend = page.locator("#legend")
    expect(legend).to_contain_text("Probability of at least 2 mm/h, %")
    expect(legend).to_contain_text("unlikely (below 2 %)")
    assert colour_at(page, 0.2, 0.5)[:3] == legend_colour(page, "30")
    page.get_by_role("radio", name="Probability of at least 0.1 mm/h").check(force=True)
    expect(page.locator("#picture")).to_have_attribute(
        "alt", "Probability of at least 0.1 mm/h, forecast, valid 2026-06-01 12:20 UTC"
    )
    assert colour_at(page, 0.2, 0.5)[:3] == legend_colour(page, "70")
    page.get_by_role("slider", name="Frame").fill("0")
    expect(page.locator("#legend")).to_contain_text("Rain rate, mm/h")  # what was observed is rain
    page.get_by_role("radio", name="Rain", exact=True).check(force=True)
    page.get_by_role("slider", name="Frame").fill("6")
    assert colour_at(page, 0.2, 0.5)[:3] == legend_colour(page, "2")


def test_layers_are_chosen_by_keyboard(opened):
    page = opened
    page.get_by_role("radio", name="Rain", exact=True).focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="Probability of at least 0.1 mm/h")).to_be_checked()
    expect(page.locator("#kind")).to_have_text("Forecast, +5 min")


def test_what_lies_beyond_the_scored_lead_times_is_faded_and_said(opened):
    page = opened
    slider, unscored = page.get_by_role("slider", name="Frame"), page.locator("#unscored")
    picture = page.locator("#picture")
    slider.fill("14")
    expect(page.locator("#kind")).to_have_text("Forecast, +60 min")
    expect(unscored).to_be_hidden()
    assert picture.evaluate("image => getComputedStyle(image).opacity") == "1"
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#kind")).to_have_text("Forecast, +65 min, not scored")
    expect(unscored).to_have_text("beyond 60 min: not scored")
    assert float(picture.evaluate("image => getComputedStyle(image).opacity")) < 0.7
    assert "not scored" in slider.get_attribute("aria-valuetext")


def test_the_answer_for_a_place_has_chance_and_ranges_in_words(opened):
    page = opened
    box = page.locator("#picture").bounding_box()
    page.mouse.click(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
    expect(page.locator("#point-summary")).to_have_text(
        "70 % chance of rain in the next hour. If it rains, it starts between 12:20 and 12:30 UTC, "
        "and ends between 13:05 and 13:15 UTC."
    )
    expect(page.locator("#point-summary")).to_have_attribute("aria-live", "polite")
    expect(page.locator("#point-details > div")).to_have_text(
        [
            "2 mm/h or more in the next hour70 %",
            "5 mm/h or more in the next hourless than 10 %",
            "10 mm/h or more in the next hourless than 10 %",
            "Total until 14:00 UTC0.0 to 2.3 mm (median 2.3)",
        ]
    )
    note = page.locator("#point-note")
    expect(note).to_contain_text("Of 10 members")
    expect(note).to_contain_text("Times later than 60 min ahead were not scored.")
    expect(note).to_contain_text("The sharp field: Rain starts at 12:20 UTC")
    expect(page.locator("#chart svg")).to_have_attribute("aria-label", re.compile("probability of rain"))
    page.get_by_text("Values", exact=True).click()
    rows = page.locator("#point-table tbody tr")
    expect(rows.filter(has_text="12:20")).to_have_text("12:20+20 minforecast70 %3.0")


def test_no_data_is_no_low_probability(opened):
    page = opened
    box = page.locator("#picture").bounding_box()
    page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + 0.5 * box["height"])
    expect(page.locator("#point-summary")).to_have_text("No data at this place: whether it rains is not known.")
    for number in range(4):
        expect(page.locator("#point-details dd").nth(number)).to_have_text("not known")
    page.get_by_text("Values", exact=True).click()
    expect(page.locator("#point-table tbody tr").filter(has_text="12:20")).to_contain_text("no datano data")


def test_where_no_member_has_rain_it_is_unlikely_and_not_impossible(opened):
    page = opened
    box = page.locator("#picture").bounding_box()
    page.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"])
    expect(page.locator("#point-summary")).to_have_text("Less than 10 % chance of rain until 14:00 UTC.")
    expect(page.locator("#point-details dd").last).to_have_text("none")


def test_a_nowcast_is_asked_with_what_the_model_can_give(page, stack):
    page.get_by_role("combobox", name="Model").select_option("persistence@1")
    members, probabilities = (page.get_by_role("checkbox", name=name) for name in ("20 members", "Probabilities"))
    expect(members).to_be_disabled()
    expect(members).not_to_be_checked()
    expect(page.locator("#members-hint")).to_have_text("persistence 1 makes none.")
    expect(probabilities).to_be_checked()
    page.get_by_role("combobox", name="Model").select_option("extrapolation@1")
    expect(members).to_be_enabled()
    expect(members).to_be_checked()
    page.get_by_role("spinbutton", name="Lead steps").fill("3")
    page.get_by_role("button", name="Try the bundled sample").click()
    expect(page.get_by_role("radio", name="Probability of at least 0.1 mm/h")).to_be_visible()
    expect(page.locator("#used")).to_have_text("extrapolation 1")
    asked = page.request.get(f"{stack.url}/v1/nowcasts/{page.url.partition('=')[2]}").json()
    assert (asked["probabilities"], asked["members"]) == ([0.1, 0.5, 2.0, 5.0, 10.0], 20)


def test_members_that_are_too_many_are_explained_and_left_out_of_the_next_attempt(page, stack):
    """The response is simulated: the sample is too small for it."""
    page.get_by_role("combobox", name="Model").select_option("extrapolation@1")
    problem = {
        "title": "Too large",
        "what": "20 members are too many pixels",
        "where": "members",
        "hint": "Ask for at most 7 members",
    }
    failed = {"status": "failed", "progress": {"done": 0, "total": 5}, "id": "abc", "links": [], "problem": problem}
    page.route("**/v1/nowcasts", lambda route: route.fulfill(json=failed | {"status": "accepted"}))
    page.route("**/v1/nowcasts/abc", lambda route: route.fulfill(json=failed))
    page.get_by_role("button", name="Try the bundled sample").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Ask for at most 7 members. The box of the members is no longer ticked")
    expect(page.get_by_role("checkbox", name="20 members")).not_to_be_checked()


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out_beside_the_probabilities(opened, width):
    page = opened
    page.set_viewport_size({"width": width, "height": 800})
    box = page.locator("#picture").bounding_box()
    page.mouse.click(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
    expect(page.locator("#point-details")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def test_scores_of_probabilities_are_explained_and_the_lowest_is_the_best(page, stack, uncertain):
    """The scores are simulated, so that the words can be known."""
    of = {"protocol": "nowcast-60-prob@1", "data": "bom", "lead_minutes": None}
    names = {SHIPPED_REFERENCE: 0.0512, "extrapolation@1": 0.0587, "pysteps@1": 0.0536}
    scores = [
        {"metric": f"{metric} of {name}, mean over leads", "threshold_mm_h": threshold, "value": value, **of}
        for metric, threshold in (("Brier score", 2.0), ("CRPS (mm/h)", None))
        for name, value in names.items()
    ]

    def with_scores(route):
        response = route.fetch()
        route.fulfill(response=response, json=response.json() | {"scores": scores})

    page.route("**/v1/models/*/versions/*", with_scores)
    page.goto(f"{stack.url}/upload?nowcast={uncertain}")
    page.get_by_text("How good is this model?").click()
    text = page.locator("#skill-text")
    for words in ("The Brier score is the mean squared error", "CRPS, the continuous", "lead times up to 60 minutes"):
        expect(text).to_contain_text(words)
    sentences = page.locator("#skill-tables p")
    expect(sentences.first).to_have_text(
        "On Brisbane (2020-10-31, hail) the Brier score of this model, mean over leads, is 0.0512 for rain of 2 mm/h "
        "and more; the best model compared with it, pysteps (Lucas-Kanade extrapolation), has 0.0536."
    )
    expect(page.locator("#skill-tables table").nth(1)).to_contain_text("0.051")
