"""The page as an app: it can be installed, shows no old forecast, tells of a new version, and of rain at a place."""

import json

import pytest

from service.api.app import create_app
from service.api.page import installed_app
from service.settings import Settings
from tests.patience import wait_until
from tests.service.api.conftest import NO_REDIS, served
from tests.service.web.conftest import FEEDS, NOON, chromium
from tests.service.web.live_feed import LiveFeed
from tests.web_push import Browser, write_vapid_key

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

FCM = "https://fcm.googleapis.com/fcm/send/browser-1"
PLACE = "feed=north&place=52.1,5.2,Utrecht"
SUBSCRIBE = """(subscription) => {
  // Chromium asks a server of its maker, which no test may.
  const own = { endpoint: subscription.endpoint, toJSON: () => subscription, unsubscribe: async () => true };
  PushManager.prototype.subscribe = async () => own;
  PushManager.prototype.getSubscription = async () => own;
}"""


@pytest.fixture(scope="module")
def north(tmp_path_factory):
    """A gateway with the feed "north" and web push, and its `url`."""
    folder = tmp_path_factory.mktemp("north")
    key = write_vapid_key(folder / "vapid.pem")
    settings = Settings(
        data_dir=folder, broker_url=NO_REDIS, push_vapid_key=key, push_contact="mailto:radar@example.org"
    )
    settings.feeds_path.write_text(FEEDS)
    app = create_app(settings)
    feed = LiveFeed(app, folder)
    feed.history(NOON, leads=8)
    with served(app) as client:
        feed.url = str(client.base_url).rstrip("/")
        yield feed


@pytest.fixture(scope="module")
def browser_context(tmp_path_factory, north):
    """A browser in which service workers run, and which permits notifications."""
    with chromium(tmp_path_factory.mktemp("profile"), service_workers="allow") as context:
        context.grant_permissions(["notifications"], origin=north.url)
        context.add_init_script(f"({SUBSCRIBE})({json.dumps(Browser(FCM).subscription)})")
        yield context


@pytest.fixture
def app(live, north):
    """The page of a place, once its service worker runs."""
    live.goto(f"{north.url}/?{PLACE}")
    live.evaluate("navigator.serviceWorker.ready.then(() => true)")
    live.evaluate("caches.keys().then((names) => names.length)")
    return live


def bell(page):
    return page.locator(".bell")


def test_the_page_can_be_installed(app, browser_context):
    session = browser_context.new_cdp_session(app)
    found = session.send("Page.getAppManifest")
    assert found["errors"] == []
    assert json.loads(found["data"])["icons"]
    errors = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert errors == []
    for icon in json.loads(found["data"])["icons"]:
        assert app.request.get(f"{found['url'].rpartition('/')[0]}/{icon['src']}").ok


def test_without_a_connection_no_forecast_is_shown(app, browser_context, north):
    kept = app.evaluate(
        """async () => {
          const names = await caches.keys();
          const lists = await Promise.all(names.map(async (name) => (await (await caches.open(name)).keys())));
          return lists.flat().map(({ url }) => new URL(url).pathname);
        }"""
    )
    assert "/offline" in kept
    assert [path for path in kept if not path.startswith(("/offline", "/static/"))] == []
    browser_context.set_offline(True)
    try:
        expect(app.locator(".app-line")).to_contain_text("No connection since")
        assert app.evaluate("fetch('/v1/feeds').then(() => 'answered', () => 'refused')") == "refused"
        app.goto(f"{north.url}/?{PLACE}")
        expect(app.get_by_role("heading", name="No connection")).to_be_visible()
        expect(app.locator("main")).to_contain_text("No forecast is shown")
        expect(app.locator("#map")).to_have_count(0)
    finally:
        browser_context.set_offline(False)
    app.evaluate("window.dispatchEvent(new Event('online'))")
    expect(app.locator("#map")).to_be_visible()


def test_an_open_page_tells_of_a_new_version(app, north, monkeypatch):
    newer = installed_app.page_file(b"self.SHELL = null;\n" + installed_app._service_worker().content, "worker.js")
    monkeypatch.setattr(installed_app, "_service_worker", lambda: newer)
    app.evaluate("navigator.serviceWorker.ready.then((registration) => registration.update())")
    line = app.locator("#new-version")
    expect(line).to_contain_text("There is a new version of this page")
    line.get_by_role("button", name="Load it").click()
    expect(line).to_have_count(0)


def test_the_bell_of_a_place_is_rung_and_removed(app, north):
    subscriptions = lambda: north.context.push.of_feed("north")  # noqa: E731
    expect(bell(app)).to_have_text("Alert me before precipitation here")
    expect(bell(app)).to_have_attribute("aria-pressed", "false")
    assert subscriptions() == []
    bell(app).click()
    expect(bell(app)).to_have_attribute("aria-pressed", "true")
    note = app.locator(".push .hint")
    expect(note).to_contain_text("When 0.5 mm/h or more within 30 min is at least 50% likely.")
    expect(note).to_contain_text("Silence is no promise of dry weather")
    [kept] = subscriptions()
    assert (kept.name, kept.lat, kept.lon, kept.endpoint, kept.language) == ("Utrecht", 52.1, 5.2, FCM, "en")
    app.goto(f"{north.url}/?feed=north&place=52.2,5.1")
    expect(bell(app)).to_have_attribute("aria-pressed", "false")
    app.goto(f"{north.url}/?{PLACE}")
    expect(bell(app)).to_have_attribute("aria-pressed", "true")
    app.goto(f"{north.url}/?feed=north&place=52.2,5.1")
    others = app.locator(".bells")
    expect(others).to_contain_text("1 other place with a bell")
    others.locator("summary").click()
    app.get_by_role("button", name="Remove the bell of Utrecht").click()
    expect(others).to_be_hidden()
    wait_until(lambda: subscriptions() == [], "the removal")


def test_a_message_is_shown_in_the_language_and_time_of_the_browser(app, browser_context, north):
    message = {
        "id": "a" * 32,
        "name": "Utrecht",
        "language": "de",
        "address": "?feed=north&place=52.1,5.2",
        "limit": 0.5,
        "of_probability": True,
        "probability": 0.7,
        "onset": "2026-06-01T12:25:00+00:00",
        "reference_time": "2026-06-01T12:00:00+00:00",
    }
    session = browser_context.new_cdp_session(app)
    registrations = []
    session.on("ServiceWorker.workerRegistrationUpdated", lambda event: registrations.extend(event["registrations"]))
    session.send("ServiceWorker.enable")
    wait_until(lambda: app.wait_for_timeout(20) or bool(registrations), "the registration")
    session.send(
        "ServiceWorker.deliverPushMessage",
        {
            "origin": north.url,
            "registrationId": registrations[-1]["registrationId"],
            "data": json.dumps(message),
        },
    )
    shown = """async () => {
      const registration = await navigator.serviceWorker.ready;
      const found = await registration.getNotifications();
      return found.map(({ title, body, lang, data }) => ({ title, body, lang, data }));
    }"""
    wait_until(lambda: app.wait_for_timeout(50) or app.evaluate(shown) != [], "the notification")
    [notification] = app.evaluate(shown)
    assert notification["title"] == "Niederschlag erwartet: Utrecht"
    assert notification["body"] == (
        "Seit 14:25 Uhr: mindestens 0,5 mm/h mit bis zu 70 % Wahrscheinlichkeit. Vorhersage von 14:00 Uhr."
    ).replace("70 %", "70\xa0%")
    assert notification["data"] == message["address"]
