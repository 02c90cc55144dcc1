"""The page of a service that needs an API key: asks for it once, keeps it in the tab, and shows everything with it."""

import re
import time

import pytest
from pyproj import CRS

from model.core.grid import Grid
from service.api.access.authentication import OPEN_SECONDS
from service.api.app import create_app
from service.jobs.api_keys import ApiKeys, Scope
from service.jobs.job import Job
from service.jobs.ledger import Ledger
from service.settings import Settings
from tests.service.api.conftest import NO_REDIS, _finished, served

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    """A gateway with keys: its address, a client's key, and the id of this client's nowcast."""
    folder = tmp_path_factory.mktemp("closed")
    app = create_app(Settings(data_dir=folder, broker_url=NO_REDIS))
    context = app.state.context
    context.queue.enqueue = lambda job_id: False
    _, secret = ApiKeys(context.ledger.engine).create("flood-duty", [Scope.READ, Scope.NOWCAST])
    job = context.ledger.create(Job(model="auto", steps=4, inputs=[], client="flood-duty"))
    grid = Grid.regular(CRS.from_epsg(3035), shape=(20, 40), pixel_size=1000.0, centre=(4_000_000.0, 3_000_000.0))
    _finished(context, job, folder, grid, {})
    time.sleep(OPEN_SECONDS)
    with served(app) as client:
        yield str(client.base_url).rstrip("/"), secret, job.id


@pytest.fixture
def closed_page(browser_context, closed):
    page = browser_context.new_page()
    failures = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.goto(f"{closed[0]}/?nowcast={closed[2]}")
    yield page
    page.close()
    assert failures == []


def enter(page, key):
    page.get_by_role("textbox", name="API key").fill(key)
    page.get_by_role("button", name="Use this key").click()


def test_with_the_key_everything_is_shown(closed_page, closed):
    page, secret = closed_page, closed[1]
    expect(page.get_by_role("heading", name="This service needs an API key")).to_be_visible()
    enter(page, "echocast_…")  # no header has such a character
    expect(page.locator("#key-problem")).to_contain_text("copy it again")
    enter(page, "echocast_" + "0" * 48)
    expect(page.locator("#key-problem")).to_contain_text("this is no API key of this service")
    enter(page, secret)
    expect(page.locator("#key-card")).to_be_hidden()
    expect(page.locator(".time-kind")).to_have_text("Observed, newest frame")
    expect(page.locator(".time-ticks .ready")).to_have_count(page.locator(".time-ticks .tick").count())
    assert secret not in page.url
    page.reload()
    expect(page.locator(".time-kind")).to_have_text("Observed, newest frame")
    expect(page.locator("#map")).to_have_attribute("aria-busy", "false")
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 1, ""]
    page.get_by_role("button", name="Forget the key").click()
    expect(page.get_by_role("heading", name="This service needs an API key")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_the_sample_is_submitted_with_the_key(closed_page, closed):
    page, secret = closed_page, closed[1]
    page.goto(f"{closed[0]}/upload")
    enter(page, secret)
    expect(page.get_by_role("combobox", name="Model").locator("option").nth(1)).to_be_attached()
    page.get_by_role("button", name="Try the bundled sample").click()
    expect(page.locator("#progress-title")).to_have_text("Waiting for a worker")


def test_the_docs_need_no_key(browser_context, closed):
    page = browser_context.new_page()
    page.goto(f"{closed[0]}/docs")
    expect(page.get_by_role("heading", name=re.compile("^Echocast"))).to_be_visible()
    page.close()


def test_a_page_of_another_origin_can_neither_write_nor_read(browser_context, stack, all_jobs):
    """Of the open service of `stack`."""
    ledger = Ledger(Settings(data_dir=stack.data_dir).database)
    before = len(all_jobs(ledger))
    page = browser_context.new_page()
    page.goto("data:text/html,<p>a page of somebody else")
    write = """async (url) => {
        const body = new FormData();
        body.append("files", new File(["radar"], "a.h5"));
        return fetch(url, { method: "POST", mode: "no-cors", body }).then(() => "sent", () => "refused");
    }"""
    assert page.evaluate(write, f"{stack.url}/v1/nowcasts") == "refused"
    read = "(url) => fetch(url).then(() => 'read', () => 'refused')"
    assert page.evaluate(read, f"{stack.url}/v1/models") == "refused"
    page.close()
    assert len(all_jobs(ledger)) == before
    ledger.close()
