"""Subscriptions of browsers over HTTP: what is recorded, what is refused, and that they can be removed."""

import pytest

from service.settings import Settings
from tests.service.api.conftest import NO_REDIS
from tests.web_push import Browser, write_vapid_key

PATH = "/v1/push/subscriptions"
LON, LAT = 5.45, 50.0
FCM = "https://fcm.googleapis.com/fcm/send/abc"


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("push")
    key = write_vapid_key(folder / "vapid.pem")
    push = {"push_vapid_key": key, "push_contact": "https://example.org", "max_client_push_subscriptions": 3}
    return Settings(data_dir=folder, broker_url=NO_REDIS, **push)


@pytest.fixture
def request_of(feed, publish, uncertain, context):
    """A request for a place of the feed, which has a nowcast; keywords change it."""
    feed(probabilities=[0.1, 2.0])
    publish(uncertain)
    browser = Browser(FCM)

    def request(**changes):
        own = {"lon": LON, "lat": LAT, "within": 15, "name": "Town"}
        return {"subscription": browser.subscription, "feed": "north", **own, **changes}

    yield request
    for subscription in context.push.of_feed("north"):
        context.push.unsubscribe(subscription.id)


@pytest.fixture
def problem(gateway):
    """The problem of a request."""

    def of(body):
        response = gateway.post(PATH, json=body)
        return response.status_code, response.json()["type"].rpartition("/")[2], response.json()["where"]

    return of


def test_the_page_gets_the_key_of_the_service(gateway, context):
    info = gateway.get("/v1/push").json()
    assert info == {"public_key": context.push_key.public, "retention_days": 60.0, "max_subscriptions": 3}
    assert len(info["public_key"]) == 87


def test_a_place_is_subscribed_to_and_removed(gateway, request_of):
    response = gateway.post(PATH, json=request_of(language="de"))
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    found = response.json()
    assert {key: found[key] for key in ("feed", "name", "within", "rain_rate", "probability", "language", "state")} == {
        "feed": "north",
        "name": "Town",
        "within": 15.0,
        "rain_rate": 0.1,  # the threshold of the feed nearest to 0.5 mm/h
        "probability": 0.5,
        "language": "de",
        "state": "unknown",
    }
    assert gateway.get(f"{PATH}/{found['id']}").json() == found
    assert gateway.delete(f"{PATH}/{found['id']}").status_code == 204
    assert gateway.get(f"{PATH}/{found['id']}").json()["type"] == "/problems/no-such-subscription"
    assert gateway.delete(f"{PATH}/{found['id']}").status_code == 404


def test_the_same_place_is_renewed_and_no_second_one(gateway, request_of, context):
    first = gateway.post(PATH, json=request_of()).json()
    again = gateway.post(PATH, json=request_of(name="Home")).json()
    assert (again["id"], again["name"], again["expires"] > first["expires"]) == (first["id"], "Home", True)
    changed = gateway.post(PATH, json=request_of(rain_rate=2.0, probability=0.3)).json()
    assert (changed["id"], changed["probability"]) == (first["id"], 0.3)
    assert len(context.push.of_feed("north")) == 1


def test_what_is_stored_can_be_removed_when_there_is_no_web_push_any_more(gateway, request_of, context, monkeypatch):
    found = gateway.post(PATH, json=request_of()).json()
    monkeypatch.setattr(context, "push_key", None)
    assert gateway.post(PATH, json=request_of()).json()["type"] == "/problems/no-web-push"
    assert gateway.get(f"{PATH}/{found['id']}").json()["id"] == found["id"]
    assert gateway.delete(f"{PATH}/{found['id']}").status_code == 204


def test_a_client_has_so_many_places(gateway, request_of, problem):
    for number in range(3):
        assert gateway.post(PATH, json=request_of(lon=LON + number / 100)).status_code == 200
    assert problem(request_of(lon=LON + 0.03)) == (429, "too-many-subscriptions", "subscription")
    assert gateway.post(PATH, json=request_of()).status_code == 200  # a renewal


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://evil.example.org/push",
        "http://fcm.googleapis.com/fcm/send/abc",
        "https://fcm.googleapis.com:8443/x",
        "https://169.254.169.254/latest/meta-data",
        "https://user:word@fcm.googleapis.com/x",
        "https://fcm.googleapis.com.example.org/x",
    ],
)
def test_only_push_services_on_the_list_are_called(request_of, problem, endpoint):
    body = request_of(subscription={**Browser(endpoint).subscription})
    assert problem(body) == (422, "callback-refused", "subscription.endpoint")


def test_what_no_nowcast_can_tell_is_refused(gateway, request_of, problem, feed):
    keys = {**Browser(FCM).subscription, "keys": {"p256dh": "BAAA", "auth": "BTBZMqHH6r4Tts7J_aSIgg"}}
    assert problem(request_of(subscription=keys)) == (422, "invalid-parameter", "subscription.keys.p256dh")
    assert problem(request_of(lon=-70.0, lat=10.0)) == (422, "outside-grid", "lon, lat")
    assert problem(request_of(within=60)) == (422, "invalid-parameter", "subscription")
    assert problem(request_of(rain_rate=7.0, probability=0.5)) == (422, "invalid-parameter", "subscription")
    assert problem(request_of(feed="south")) == (404, "no-such-feed", "feed")
    assert problem(request_of(lat=None))[1] == "invalid-parameter"
    assert problem(request_of(name="a\0b"))[1] == "invalid-parameter", "PostgreSQL stores no NUL"
    assert problem(request_of(subscription={**Browser(FCM + "\0").subscription}))[1] == "invalid-parameter"
    assert gateway.get(f"{PATH}/a%00b").json()["type"] == "/problems/invalid-parameter"


def test_who_has_subscribed_is_not_stored(gateway, request_of, context):
    gateway.post(PATH, json=request_of())
    [stored] = context.push.of_feed("north")
    assert "127.0.0.1" not in repr(stored)
    assert stored.client == context.push_key.digest_of("anonymous@127.0.0.1")
