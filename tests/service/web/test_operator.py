"""The operator's page: is everything all right, and if not, what; promote and roll back; keys. Read only where open."""

import re
import shutil

import pytest

from service.jobs.job import Job
from tests.packages import SHIPPED_REFERENCE, copied
from tests.service.operated import EXTRAPOLATION, operated_service

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect


@pytest.fixture(scope="module")
def operated(stack, tmp_path_factory):
    """A service with a feed that delivers, a good and a bad candidate, and their live skill."""
    with operated_service(stack, tmp_path_factory.mktemp("operated")) as made:
        for name, hits in (("good", 70), ("bad", 40)):
            copied(made.packages, f"{name}@1")
            made.score(f"{name}@1", hits)
        made.score(SHIPPED_REFERENCE, 60)
        made.score(EXTRAPOLATION, 50)
        for minutes in range(-60, 0, 5):
            made.arrive(minutes)
        made.run(0)
        yield made
    shutil.rmtree(made.packages)


@pytest.fixture
def operator(browser_context, operated):
    """The page, with the operator's key."""
    page = browser_context.new_page()
    failures = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("request", lambda sent: None if sent.url.startswith(operated.url) else failures.append(sent.url))
    page.goto(f"{operated.url}/operator")
    enter(page, operated.admin)
    expect(page.get_by_role("status").first).to_contain_text("As of")
    yield page
    page.close()
    assert failures == []


def enter(page, key):
    page.get_by_role("textbox", name="API key").fill(key)
    page.get_by_role("button", name="Use this key").click()


def row(page, room, name):
    return page.locator(f"#{room}").get_by_role("row").filter(has_text=name).first


def test_a_key_without_the_scope_is_not_enough(browser_context, operated):
    page = browser_context.new_page()
    page.goto(f"{operated.url}/operator")
    expect(page.get_by_role("heading", name="This service needs an API key")).to_be_visible()
    enter(page, operated.reader)
    expect(page.get_by_role("alert")).to_contain_text("admin")
    expect(page.locator("#rooms")).to_be_hidden()
    enter(page, operated.admin)
    expect(page.locator("#rooms")).to_be_visible()
    page.close()


def test_one_line_tells_whether_all_is_right_and_changes_by_itself(operator, operated):
    expect(operator.locator("#verdict")).to_contain_text("Everything is all right")
    expect(row(operator, "feeds", "north")).to_contain_text("delivers")
    operated.refuse("x.h5", "it is truncated, after 50 bytes")
    operated.arrive(5, coverage=0.4)
    expect(operator.locator("#verdict")).to_contain_text("1 thing is wrong")
    expect(operator.locator("#verdict li")).to_contain_text("north: incomplete the newest frame has data on 40%")
    expect(operator).to_have_title(re.compile(r"^\(1\) "))
    expect(row(operator, "feeds", "north")).to_contain_text("1 file gave no frame")
    operator.get_by_text("What went wrong").click()
    expect(operator.locator("#feeds details")).to_contain_text("unreadable: x.h5 it is truncated, after 50 bytes")
    operated.arrive(5, content="b")
    expect(operator.locator("#verdict")).to_contain_text("Everything is all right")
    expect(operator.locator("#feeds details")).to_have_attribute("open", "")


def test_the_worst_feed_is_first(operator, operated):
    path = operated.context.settings.feeds_path
    before = path.read_text()
    path.write_text('[[feed]]\nname = "zulu"\nfolder = "/radar"\n' + before)
    expect(operator.locator("#feeds tbody tr").first).to_contain_text("zulu")
    expect(operator.locator("#verdict li")).to_contain_text("zulu: unavailable it was not scanned yet")
    path.write_text(before)
    expect(operator.locator("#verdict")).to_contain_text("Everything is all right")


def test_a_model_is_promoted_by_its_gates_and_rolled_back(operator, operated):
    expect(operator.locator("#models")).to_contain_text(f"There is no champion: auto runs {SHIPPED_REFERENCE}")
    shipped = row(operator, "models", SHIPPED_REFERENCE)
    expect(shipped).to_contain_text(re.compile(r"CSI 0\.\d\d at 2 mm/h, extrapolation 0\.\d\d"))
    expect(shipped.get_by_role("link")).to_have_attribute("href", "skill?model=rain-ms-predrnn%402")
    operator.get_by_role("button", name="Promote good@1").click()
    dialog = operator.get_by_role("dialog", name="Promote good@1")
    dialog.get_by_role("button", name="Check the gates").click()
    expect(dialog.get_by_role("row").filter(has_text=f"live CSI at 2 mm/h beside {SHIPPED_REFERENCE}")).to_contain_text(
        "passes"
    )
    expect(dialog).to_contain_text("All gates let it pass.")
    assert operated.ask("GET", "/v1/champion")[1]["champion"] is None, "looking changes nothing"
    dialog.get_by_label("Reason").fill("the summer's data")
    dialog.get_by_role("button", name="Promote good@1").click()
    expect(operator.locator("#models")).to_contain_text("good@1 is the champion: auto runs it")
    expect(operator.get_by_role("dialog")).to_have_count(0)
    operator.locator("summary", has_text="Who changed the champion").click()
    expect(row(operator, "models", "the summer's data")).to_contain_text("Promoted: none → good@1")
    operator.get_by_role("button", name="Roll back").click()
    dialog = operator.get_by_role("dialog", name="Roll good@1 back")
    expect(dialog).to_contain_text("There will be no champion")
    operator.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert operated.ask("GET", "/v1/champion")[1]["champion"] == "good@1"
    operator.get_by_role("button", name="Roll back").press("Enter")
    dialog.get_by_role("button", name="Roll back").click()
    expect(operator.locator("#models")).to_contain_text("There is no champion")


def test_against_the_gates_it_needs_a_reason(operator, operated):
    operator.get_by_role("button", name="Promote bad@1").click()
    dialog = operator.get_by_role("dialog")
    dialog.get_by_role("button", name="Check the gates").click()
    expect(dialog).to_contain_text("not promoted, 2 of the gates' comparisons refuse it: live CSI at 2 mm/h")
    expect(dialog.get_by_role("row").filter(has_text="beside extrapolation")).to_contain_text("fails")
    dialog.get_by_role("button", name="Promote bad@1 against the gates").click()
    expect(dialog.get_by_role("alert")).to_contain_text("it needs a reason")
    dialog.get_by_role("button", name="Leave it as it is").click()
    assert operated.ask("GET", "/v1/champion")[1]["champion"] is None


def test_a_new_key_is_shown_once_and_can_be_revoked(operator, operated):
    operator.get_by_role("button", name="New key").click()
    dialog = operator.get_by_role("dialog", name="New key")
    dialog.get_by_label("Client").fill("flood-duty")
    dialog.get_by_role("button", name="Create the key").click()
    secret = dialog.get_by_label("API key").input_value()
    assert operated.ask("GET", "/v1/feeds", who=secret)[0] == 200
    dialog.get_by_role("button", name="Close").click()
    expect(row(operator, "keys", "flood-duty")).to_contain_text("valid")
    assert secret not in operator.content()
    row(operator, "keys", "flood-duty").get_by_role("button", name=re.compile("^Revoke key")).click()
    operator.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(row(operator, "keys", "flood-duty")).to_contain_text("revoked")
    assert operated.ask("GET", "/v1/feeds", who=secret)[0] == 401
    expect(row(operator, "keys", "ops")).to_contain_text("your key")


def test_nowcasts_tell_whose_they_are_why_they_failed_and_can_be_cancelled(operator, operated):
    job = operated.context.ledger.create(Job(model="auto", steps=4, inputs=[], client="town"))
    operated.run(10, {"code": "time-limit", "what": "it took too long", "where": "worker", "hint": "Ask for less"})
    operator.reload()
    expect(operator.locator("#jobs")).to_contain_text("it took too long. Ask for less")
    operator.get_by_role("button", name=f"Cancel nowcast {job.id[:8]}").click()
    operator.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(row(operator, "jobs", "town")).to_contain_text("cancelled")
    assert operated.ask("GET", f"/v1/nowcasts/{job.id}")[1]["status"] == "dismissed"
    operator.get_by_label("Show").select_option("failed")
    expect(row(operator, "jobs", "feed north")).to_contain_text("failed")
    expect(row(operator, "jobs", "town")).to_have_count(0)
    operator.locator("#feeds summary").click()
    operator.get_by_role("button", name="Run feed north from 2026-06-01T12:10:00Z again").click()
    expect(operator.locator("#feeds details")).to_contain_text("Asked for")


def look_again(page):
    """As when its tab comes to the front: the page does not wait for its next refresh."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_a_service_that_does_not_answer_leaves_nothing_green(operator):
    verdict = operator.locator("#verdict")
    operator.route("**/v1/**", lambda route: route.abort())
    look_again(operator)
    expect(verdict.locator("li").first).to_have_text(re.compile(r"^No contact with the service since \d\d:\d\d$"))
    expect(verdict).to_have_class("verdict card bad")
    expect(verdict).not_to_contain_text("Everything is all right")
    expect(operator).to_have_title(re.compile(r"^\(\d\) "))
    mark = "getComputedStyle(document.querySelector('#feeds .state'), '::before').backgroundColor"
    grey = operator.evaluate(mark)
    operator.unroute_all()
    look_again(operator)
    expect(verdict).not_to_contain_text("No contact")
    assert operator.evaluate(mark) != grey


def test_a_request_that_hangs_is_given_up(operator):
    operator.clock.install()
    operator.reload()
    expect(operator.locator("#jobs tbody tr").first).to_be_visible()
    operator.route("**/v1/overview", lambda route: None)
    with operator.expect_request("**/v1/overview"):
        look_again(operator)
        operator.clock.fast_forward(1000)
    operator.clock.fast_forward(30_000)
    expect(operator.locator("#verdict")).to_contain_text("No contact with the service since")


def test_the_focus_stays_with_its_nowcast_when_another_one_comes_above(operator, operated):
    first, second = (Job(model="auto", steps=4, inputs=[], client="village") for _ in range(2))
    for job in (first, second):
        operated.context.ledger.create(job)
        look_again(operator)
        cancel = operator.get_by_role("button", name=f"Cancel nowcast {job.id[:8]}")
        expect(cancel).to_be_visible()
        if job is first:
            cancel.focus()
    expect(operator.get_by_role("button", name=f"Cancel nowcast {first.id[:8]}")).to_be_focused()
    operated.ask("DELETE", f"/v1/nowcasts/{first.id}")
    operated.ask("DELETE", f"/v1/nowcasts/{second.id}")
    look_again(operator)
    expect(operator.get_by_role("button", name="Cancel nowcast")).to_have_count(0)
    expect(operator.locator("#jobs tr:focus")).to_contain_text("cancelled")


def test_an_open_service_shows_everything_and_changes_nothing(browser_context, stack):
    page = browser_context.new_page()
    page.goto(f"{stack.url}/operator")
    expect(page.locator("#read-only")).to_contain_text("echocast keys create NAME --scope admin")
    expect(page.locator("#models")).to_contain_text(SHIPPED_REFERENCE)
    expect(page.locator("#keys")).to_contain_text("There are no keys")
    for name in ("Promote", "New key", "Roll back", "Scan"):
        expect(page.get_by_role("button", name=re.compile(f"^{name}"))).to_have_count(0)
    page.close()


def test_on_a_phone_nothing_is_cut_off(operator):
    operator.set_viewport_size({"width": 390, "height": 844})
    assert operator.evaluate("document.documentElement.scrollWidth") <= 390
    expect(row(operator, "feeds", "north").get_by_role("button", name="Scan feed north now")).to_be_in_viewport()
