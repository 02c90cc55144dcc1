"""The page in a real browser: what a flood-duty officer sees and does."""

import json
import re

import pytest

from tests.packages import SHIPPED_REFERENCE
from tests.patience import wait_until

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

RECORD_PROGRESS = """() => {
  window.seen = [];
  const text = document.getElementById("progress-text");
  new MutationObserver(() => window.seen.push(text.textContent)).observe(text, {childList: true});
}"""
BRISBANE = "Brisbane (2020-10-31, hail)"


def try_sample(page, steps=3):
    """The sample, by the model that needs no time."""
    page.get_by_role("combobox", name="Model").select_option("extrapolation@1")
    page.get_by_role("spinbutton", name="Lead steps").fill(str(steps))
    page.get_by_role("button", name="Try the bundled sample").click()


def test_scores_of_different_data_sets_are_kept_apart(page):
    page.get_by_role("combobox", name="Model").select_option(SHIPPED_REFERENCE)
    page.get_by_role("spinbutton", name="Lead steps").fill("1")
    page.get_by_role("button", name="Try the bundled sample").click()
    expect(page.locator("#used")).to_have_text(SHIPPED_REFERENCE.replace("@", " "), timeout=60_000)
    page.get_by_text("How good is this model?").click()
    captions = page.locator("#skill-tables caption")
    metrics = ("CSI, mean over leads (nowcast-60@1)", "Brier score, mean over leads", "CRPS (mm/h), mean over leads")
    for metric in metrics:
        for name in (BRISBANE, "Europe (2018-08-24)"):
            expect(captions.filter(has_text=f"{name}: {metric}")).to_have_count(1)
    expect(captions).to_have_count(6)
    for words in ("compare within a table", "longer ones were not scored", "areas of heavy rain are too small"):
        expect(page.locator("#skill-text")).to_contain_text(words)
    expect(page.locator("#skill-tables p").first).to_have_text(
        f"On {BRISBANE} the CSI of this model, mean over leads, is 0.621 for rain of 0.5 mm/h and more; "
        "the best model compared with it, pysteps (Lucas-Kanade extrapolation), has 0.595."
    )
    expect(page.locator("#skill-tables table").first.locator("tr").nth(1)).to_have_text(
        "rain-ms-predrnn 20.6210.5360.4510.352"
    )


def test_from_the_sample_to_the_rain_in_a_town(page, stack):
    try_sample(page, steps=6)
    viewer = page.get_by_role("region", name="Nowcast", exact=True)
    expect(viewer).to_be_visible()
    assert re.search(r"\?nowcast=[0-9a-f]{32}$", page.url)

    kind, valid = page.locator("#kind"), page.locator("#valid")
    expect(kind).to_have_text("Observed, newest frame")
    reference = page.locator("#reference").inner_text()
    expect(valid).to_have_text(reference)
    expect(page.locator("#valid-local")).to_contain_text("CEST")
    page.keyboard.press("ArrowRight")
    expect(kind).to_have_text("Forecast, +5 min")
    slider = page.get_by_role("slider", name="Frame")
    slider.focus()
    page.keyboard.press("End")
    expect(kind).to_have_text("Forecast, +30 min")
    assert "forecast" in slider.get_attribute("aria-valuetext")
    picture = page.locator("#picture")
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0

    play = page.get_by_role("button", name="Play", exact=True)
    play.click()
    expect(kind).to_contain_text("Observed")
    page.get_by_role("button", name="Pause").click()
    expect(play).to_be_visible()
    slider.focus()
    page.keyboard.press("End")  # wherever it was when it paused
    expect(kind).to_have_text("Forecast, +30 min")

    legend = page.locator("#legend")
    for words in ("Rain rate, mm/h", "0.1", "100", "dry (below 0.1)", "no data: not known, not dry"):
        expect(legend).to_contain_text(words)

    slider.press("End")  # wherever it was paused, a step back is left to take
    box = picture.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    summary = page.locator("#point-summary")
    expect(summary).to_contain_text(re.compile("rain|dry|no data", re.IGNORECASE))
    expect(page.locator("#chart svg")).to_be_visible()
    page.keyboard.press("ArrowLeft")  # after a click on the map, too, the arrow keys step through time
    expect(kind).to_have_text("Forecast, +25 min")
    page.get_by_text("Values", exact=True).click()
    expect(page.locator("#point-table tbody tr")).to_have_count(page.locator("#ticks span").count())
    page.get_by_label("Longitude").fill("0")
    page.get_by_role("button", name="Show").click()
    expect(summary).to_contain_text("not on the grid")

    expect(page.locator("#used")).to_have_text("extrapolation 1")
    page.get_by_text("How good is this model?").click()
    expect(page.locator("#skill-text")).to_contain_text("optical flow")

    with page.expect_download() as started:
        page.get_by_role("link", name="Forecast, CF-netCDF").click()
    assert re.fullmatch(r"nowcast_\d{8}T\d{4}Z\.nc", started.value.suggested_filename)

    page.reload()
    expect(viewer).to_be_visible()
    expect(page.locator("#reference")).to_have_text(reference)


def test_the_map_works_with_the_keyboard(page):
    try_sample(page)
    stage = page.get_by_role("application", name="Rain map")
    expect(stage).to_be_visible()
    stage.focus()
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Enter")
    expect(page.locator("#chart svg")).to_be_visible()
    expect(page.locator("#kind")).to_have_text("Observed, newest frame")


def test_a_wrong_file_is_explained(page):
    page.set_input_files("#files", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hello"})
    expect(page.locator("#chosen")).to_contain_text("notes.txt")
    page.get_by_role("button", name="Make the nowcast").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Not a radar file")
    expect(alert).to_contain_text("notes.txt")
    expect(alert).to_contain_text("What to do")


def test_no_file_and_too_many_steps_are_reported_at_once(page):
    alert = page.get_by_role("alert")
    page.get_by_role("button", name="Make the nowcast").click()
    expect(alert).to_contain_text("No radar files yet")
    page.get_by_role("spinbutton", name="Lead steps").fill("999")
    page.get_by_role("button", name="Try the bundled sample").click()
    expect(alert).to_contain_text("Too many or too few lead steps")


def test_a_nowcast_that_is_not_there_is_explained(page, stack):
    page.goto(f"{stack.url}/upload?nowcast=0123")
    expect(page.get_by_role("alert")).to_contain_text("There is no such nowcast")
    page.get_by_role("link", name="Upload").click()
    expect(page.get_by_role("heading", name="When will it rain")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_progress_is_shown_and_can_be_cancelled(page, stack):
    """Responses are simulated: a real forecast would be finished before a click."""
    state = {"status": "running", "progress": {"done": 2, "total": 5}, "id": "abc", "links": []}

    def respond(route):
        if route.request.method == "DELETE":
            state["status"] = "dismissed"
        route.fulfill(json=state)

    page.route("**/v1/nowcasts/abc", respond)
    page.goto(f"{stack.url}/upload?nowcast=abc")
    meter = page.get_by_role("progressbar")
    expect(meter).to_have_attribute("aria-valuenow", "2")
    expect(page.locator("#progress-text")).to_have_text("Lead step 2 of 5 done")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("alert")).to_contain_text("This nowcast was cancelled")


def test_progress_comes_by_events(page, stack):
    """The status is simulated, with the events that it has: the page asks for it once before and once after them."""
    running = {"status": "running", "progress": {"done": 1, "total": 5}, "id": "abc", "links": []}
    waiting = {"status": "accepted", "queue_position": 3, "estimated_completion": "2026-06-01T12:05:00Z"}
    statuses = iter([running | waiting, running | {"status": "dismissed"}])
    sent = [running | {"progress": {"done": 4, "total": 5}}, running | {"status": "dismissed"}]
    body = "retry: 2000\n\n" + "".join(f"event: status\ndata: {json.dumps(event)}\n\n" for event in sent)
    page.route("**/v1/nowcasts/abc", lambda route: route.fulfill(json=next(statuses)))
    held = []
    page.route("**/v1/nowcasts/abc/events", lambda route: held.append(route))
    page.goto(f"{stack.url}/upload?nowcast=abc")
    expect(page.locator("#progress-expected")).to_have_text("2 before it, expected at 14:05 CEST")
    wait_until(lambda: page.wait_for_timeout(10) or bool(held), "the request for events")
    page.evaluate(RECORD_PROGRESS)
    held[0].fulfill(body=body, content_type="text/event-stream")
    expect(page.get_by_role("alert")).to_contain_text("This nowcast was cancelled")
    assert "Lead step 4 of 5 done" in page.evaluate("window.seen")
    assert next(statuses, None) is None


def test_without_events_the_page_polls(page):
    page.route("**/events", lambda route: route.abort())
    try_sample(page)
    expect(page.get_by_role("region", name="Nowcast", exact=True)).to_be_visible()


def test_a_service_that_stops_responding_is_reported_and_tried_again(page, stack):
    running = {"status": "running", "progress": {"done": 1, "total": 5}, "id": "abc", "links": []}
    page.route("**/v1/nowcasts/abc", lambda route: route.abort())
    page.goto(f"{stack.url}/upload?nowcast=abc")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The service does not respond")
    page.route("**/v1/nowcasts/abc", lambda route: route.fulfill(json=running))
    expect(page.locator("#progress-text")).to_have_text("Lead step 1 of 5 done")
    expect(alert).to_be_hidden()


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_sticks_out_on_any_screen(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    try_sample(page)
    expect(page.get_by_role("application", name="Rain map")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
