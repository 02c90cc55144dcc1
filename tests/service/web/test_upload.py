"""The page of uploads in a real browser: the form, progress, problems, and the map at the end."""

import json
import re

import pytest

from tests.patience import wait_until

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

RECORD_PROGRESS = """() => {
  window.seen = [];
  const text = document.getElementById("progress-text");
  new MutationObserver(() => window.seen.push(text.textContent)).observe(text, {childList: true});
}"""


def try_sample(page, steps=3):
    """The sample, by the model that needs no time."""
    page.get_by_role("combobox", name="Model").select_option("extrapolation@1")
    page.get_by_role("spinbutton", name="Lead steps").fill(str(steps))
    page.get_by_role("button", name="Try the bundled sample").click()


def test_from_the_sample_to_its_frames_on_the_map(page, stack):
    try_sample(page, steps=6)
    kind = page.locator(".time-kind")
    expect(kind).to_have_text("Observed, newest frame")
    assert re.search(r"/\?nowcast=[0-9a-f]{32}", page.url)
    expect(page.locator(".source-title")).to_have_text("Your nowcast")
    expect(page.locator(".source-facts")).to_contain_text("extrapolation 1")
    expect(page.locator(".time-ticks .forecast")).to_have_count(6)
    expect(page.locator("#map")).to_have_attribute("aria-busy", "false")
    page.keyboard.press("End")
    expect(kind).to_have_text("Forecast, lead +30 min")
    expect(page.locator(".time-ticks .ready")).to_have_count(page.locator(".time-ticks .tick").count())
    page.wait_for_url(re.compile("at="))
    page.reload()
    expect(kind).to_have_text("Forecast, lead +30 min")


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
    expect(page.get_by_role("heading", name="When does it start")).to_be_visible()
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
    expect(page.locator("#progress-expected")).to_have_text("2 before it, expected at 14:05")
    wait_until(lambda: page.wait_for_timeout(10) or bool(held), "the request for events")
    page.evaluate(RECORD_PROGRESS)
    held[0].fulfill(body=body, content_type="text/event-stream")
    expect(page.get_by_role("alert")).to_contain_text("This nowcast was cancelled")
    assert "Lead step 4 of 5 done" in page.evaluate("window.seen")
    assert next(statuses, None) is None


def test_without_events_the_page_polls(page):
    page.route("**/events", lambda route: route.abort())
    try_sample(page)
    expect(page.locator(".time-kind")).to_be_visible()


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
    expect(page.get_by_role("heading", name="When does it start")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


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
    expect(page.locator(".source-facts")).to_contain_text("extrapolation 1")
    nowcast = re.search("nowcast=([0-9a-f]{32})", page.url)[1]
    asked = page.request.get(f"{stack.url}/v1/nowcasts/{nowcast}").json()
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
