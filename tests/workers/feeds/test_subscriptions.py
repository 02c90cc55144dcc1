"""Places that browsers have subscribed to, from the frames of a feed to a push service that decrypts what it gets."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import http_ece
import jwt
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pyproj import CRS
from sqlalchemy import select, update

from model.core.forecast_file import write_netcdf
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.core.settings import BadSetting
from model.core.warning_condition import Judgement
from service.feeds.alerts.recording import Found
from service.jobs.database import load, writing
from service.jobs.job import JobStatus
from service.jobs.outbox import Outbox
from service.settings import Settings
from service.web_push.browser_keys import encrypted
from service.web_push.ledger import PushLedger
from service.web_push.tables import PushMessage, PushSubscription
from service.web_push.vapid_key import VapidKey
from tests.receiver import Receiver, receiver
from tests.web_push import Browser, from_base64url, private_key, write_vapid_key
from workers.batch import run
from workers.feeds.published import follow_up
from workers.feeds.scan import scan
from workers.push_sender import PushSender
from workers.sweep import sweep_feeds, sweep_subscriptions

GRID = Grid.regular(CRS.from_epsg(3035), shape=(32, 48), pixel_size=1000.0, centre=(4_000_000.0, 3_000_000.0))
RAIN = tuple(float(value) for value in GRID.lon_lat(GRID.x[10], GRID.y[16]))
EAST = tuple(float(value) for value in GRID.lon_lat(GRID.x[30], GRID.y[16]))
"""Places: one that it can rain at, and one that stays dry or has no data."""


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as opened:
        yield opened


@pytest.fixture
def browser(server: Receiver) -> Browser:
    return Browser(f"http://127.0.0.1:{server.port}/push/browser-1")


@pytest.fixture
def settings(settings: Settings, server: Receiver, tmp_path: Path) -> Settings:
    own = {
        "push_vapid_key": write_vapid_key(tmp_path / "vapid.pem"),
        "push_contact": "mailto:radar@example.org",
        "push_private_hosts": f"127.0.0.1:{server.port}",
    }
    return Settings(**{**settings.model_dump(), **own})


class Radar:
    """The feed `north`, and the messages that its frames lead to."""

    def __init__(self, context, folder: Path, jobs, server: Receiver, browser: Browser) -> None:
        self.context, self.folder, self.jobs, self.server, self.browser = context, folder, jobs, server, browser
        self.push = PushLedger(context.ledger)
        folder.mkdir()
        context.settings.data_dir.mkdir(exist_ok=True)
        context.settings.feeds_path.write_text(
            f'[[feed]]\nname = "north"\nfolder = "{folder}"\nmodel = "persistence"\nsteps = 8\n'
            'clock = "frames"\ninterval = 5\n'
        )
        key = VapidKey.of_settings(context.settings)
        assert key is not None
        self.sender = PushSender(context.settings, context.ledger, key)

    def subscribe(self, place: tuple[float, ...], name: str = "Town", **keys: object) -> PushSubscription:
        own = {"rain_rate": 5.0, "probability": None, **keys}
        wanted = PushSubscription(
            id=f"{len(self.push.of_feed('north')):032d}",
            client="c",
            endpoint=self.browser.endpoint,
            p256dh=self.browser.p256dh,
            auth=self.browser.auth,
            feed="north",
            lon=place[0],
            lat=place[1],
            name=name,
            within=30.0,
            language="de",
            **own,  # type: ignore[arg-type]
        )
        return self.push.subscribe(wanted, most=10, most_of_client=10)

    def frame(self, minutes: int, rain: float, *, missing: bool = False) -> list[str]:
        """A frame arrives with rain in the west, and perhaps no data in the east; return who is told."""
        rates = np.zeros((1, *GRID.shape), np.float32)
        rates[:, :, :20] = rain
        if missing:
            rates[:, :, 20:] = np.nan
        times = np.array([np.datetime64("2026-06-01T12:00", "ns") + np.timedelta64(minutes, "m")])
        part = self.folder.with_name("part.nc")
        write_netcdf(FrameSequence(rain_rate=rates, times=times, grid=GRID), part)
        part.rename(self.folder / f"{minutes}-{rain}.nc")
        scan(self.context)
        for job in reversed(self.jobs()):
            run(job.id, self.context)
            follow_up("north", self.context)
        before = len(self.server.calls)
        while self.sender.send_due():
            pass
        return [self.browser.read(call.body)["name"] for call in self.server.calls[before:]]


@pytest.fixture
def radar(context, tmp_path: Path, lab, monkeypatch: pytest.MonkeyPatch, server: Receiver, browser: Browser) -> Radar:
    monkeypatch.setattr(context.queue, "enqueue", lambda *_, **__: False)
    jobs = lambda: lab.jobs(context.ledger, JobStatus.ACCEPTED)  # noqa: E731
    return Radar(context, tmp_path / "frames", jobs, server, browser)


def test_a_browser_is_told_once_before_each_rain(radar: Radar) -> None:
    radar.subscribe(RAIN)
    radar.subscribe(EAST, "Dry town")
    assert radar.frame(0, 1) == []
    assert radar.frame(5, 8) == ["Town"]
    call = radar.server.calls[0]
    message = radar.browser.read(call.body)
    assert (call.path, message["language"], message["address"]) == (
        "/push/browser-1",
        "de",
        f"?feed=north&place={round(RAIN[1], 4)},{round(RAIN[0], 4)},Town",
    )
    assert (message["onset"][:16], message["lead_minutes"]) == ("2026-06-01T12:10", 5)
    assert message["rain_rate"] == pytest.approx(8, rel=0.02)
    assert (call.headers["Content-Encoding"], call.headers["Urgency"]) == ("aes128gcm", "high")
    assert 0 < int(call.headers["TTL"]) <= 600
    assert b"Town" not in call.body
    assert radar.frame(10, 9) == []  # it still rains


def test_rain_that_comes_and_goes_is_told_once(radar: Radar) -> None:
    subscription = radar.subscribe(RAIN)

    def told(number: int, rains: bool | None) -> int:
        time = datetime(2026, 6, 1, 12, tzinfo=UTC) + timedelta(minutes=5 * number)
        judgement = Judgement(holds=rains, onset=time if rains else None, lead_minutes=5.0 if rains else None)
        found = Found(reference_time=time, to_raise=judgement, to_stay=judgement)
        return radar.push.record({subscription.id: found})

    dry = [False, False, False]
    nowcasts = [True, True, False, False, True, False, None, *dry, True]  # None: not known
    assert [told(number, rains) for number, rains in enumerate(nowcasts)] == [1, *[0] * 9, 1]
    assert told(10, True) == 0  # the same nowcast, judged by another worker


def test_a_probability_of_the_feed_counts(radar: Radar) -> None:
    radar.subscribe(RAIN, rain_rate=0.5, probability=0.5)
    assert radar.frame(0, 0) == []
    assert radar.frame(5, 8) == ["Town"]
    assert radar.browser.read(radar.server.calls[0].body)["probability"] >= 0.5


def test_missing_data_tells_nothing_and_is_not_dry(radar: Radar) -> None:
    told, far = radar.subscribe(RAIN), radar.subscribe((-70.0, 10.0), "Far")
    blind = radar.subscribe(EAST, "Blind")
    radar.frame(0, 0, missing=True)
    assert radar.frame(5, 8, missing=True) == ["Town"]
    states = {each.id: each.state.value for each in radar.push.of_feed("north")}
    assert states == {told.id: "raised", far.id: "unknown", blind.id: "unknown"}


def test_a_browser_that_is_gone_is_deleted_with_all_its_places(radar: Radar) -> None:
    radar.subscribe(RAIN)
    radar.subscribe(EAST, "Other")
    radar.server.statuses = [410]
    radar.frame(0, 0)
    radar.frame(5, 8)
    assert radar.push.of_feed("north") == []
    assert load(radar.context.ledger.engine, PushMessage.__table__.select()) == []


def test_a_push_service_that_fails_is_tried_again_and_a_late_message_is_dropped(radar: Radar) -> None:
    radar.subscribe(RAIN)
    radar.server.statuses = [500]
    radar.frame(0, 0)
    radar.frame(5, 8)
    outbox, engine = Outbox(radar.context.ledger.engine, PushMessage), radar.context.ledger.engine
    now = datetime.now(UTC)
    with writing(engine) as session:
        session.execute(update(PushMessage).values(due=now))
        [message] = session.query(PushMessage)
    assert (message.attempts, message.response_status, "500" in message.error) == (1, 500, True)
    assert radar.sender.send_due() == 1
    sent = outbox.get(message.id)
    assert sent is not None
    assert sent.delivered is not None
    with writing(engine) as session:
        session.execute(update(PushMessage).values(due=now, delivered=None, expires=now - timedelta(seconds=1)))
    calls = len(radar.server.calls)
    radar.sender.send_due()
    assert (len(radar.server.calls), outbox.get(message.id)) == (calls, None)


def test_a_page_that_is_never_opened_again_is_forgotten_also_without_web_push(radar: Radar) -> None:
    subscription, renewed = radar.subscribe(RAIN), radar.subscribe(EAST)
    radar.frame(0, 0)
    radar.frame(5, 8)
    settings = radar.context.settings.model_copy(update={"push_vapid_key": None})
    without_push = replace(radar.context, settings=settings)
    sweep_subscriptions(without_push)
    engine, now = radar.context.ledger.engine, datetime.now(UTC)
    assert [each.id for each in radar.push.of_feed("north")] == [subscription.id, renewed.id]
    assert len(load(engine, select(PushMessage))) == 1
    long_ago = now - timedelta(days=radar.context.settings.push_retention_days + 1)
    with writing(engine) as session:
        session.execute(update(PushSubscription).where(PushSubscription.id == subscription.id).values(renewed=long_ago))
        session.execute(update(PushMessage).values(subscription_id=renewed.id, expires=now - timedelta(seconds=1)))
    sweep_subscriptions(without_push)
    assert [each.id for each in radar.push.of_feed("north")] == [renewed.id]
    assert load(engine, select(PushMessage)) == [], "it was told, and is over"


def test_nothing_is_kept_of_a_feed_that_is_gone(radar: Radar) -> None:
    radar.subscribe(RAIN)
    radar.frame(0, 0)
    feeds_file = radar.context.settings.feeds_path
    feeds_file.write_text(feeds_file.read_text().replace('"north"', '"south"'))
    sweep_feeds(radar.context)
    assert len(radar.push.of_feed("north")) == 1, "the feed may come back"
    radar.context.feed_ledger.forget("north")
    sweep_feeds(radar.context)
    assert radar.push.of_feed("north") == []


def test_push_services_can_verify_who_sends(radar: Radar) -> None:
    """RFC 8292: a token for the origin of the push service, of at most a day, by the key of the page."""
    radar.subscribe(RAIN)
    radar.frame(0, 0)
    radar.frame(5, 8)
    call = radar.server.calls[0]
    scheme, _, rest = call.headers["Authorization"].partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), from_base64url(parts["k"]))
    origin = f"http://{urlsplit(radar.browser.endpoint).netloc}"
    claims = jwt.decode(parts["t"], public, algorithms=["ES256"], audience=origin)
    assert (scheme, claims["sub"]) == ("vapid", "mailto:radar@example.org")
    assert time.time() < claims["exp"] <= time.time() + 86400
    assert VapidKey.of_settings(radar.context.settings).public == parts["k"]  # type: ignore[union-attr]


def test_messages_are_encrypted_as_rfc_8291_has_it() -> None:
    """The example of its section 5 is read, and what is written can be read by the same keys."""
    auth = "BTBZMqHH6r4Tts7J_aSIgg"
    p256dh = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
    example = (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_"
        "yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )
    key = private_key("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94")

    def read(body: bytes) -> bytes:
        text: bytes = http_ece.decrypt(body, private_key=key, auth_secret=from_base64url(auth), version="aes128gcm")
        return text

    assert read(from_base64url(example)) == b"When I grow up, I want to be a watermelon"
    content = json.dumps({"name": "Köln"}).encode()
    bodies = [encrypted(content, p256dh, auth) for _ in range(2)]
    assert [read(body) for body in bodies] == [content, content]
    assert bodies[0] != bodies[1]


@pytest.mark.parametrize(
    ("content", "contact", "what"),
    [
        ("", "mailto:a@example.org", "no private key"),
        (None, "mailto:a@example.org", "cannot be read"),
        ("good", None, "ECHOCAST_PUSH_CONTACT"),
    ],
    ids=["empty", "absent", "no-contact"],
)
def test_a_wrong_key_stops_the_start(tmp_path: Path, content: str | None, contact: str | None, what: str) -> None:
    path = tmp_path / "vapid.pem"
    if content == "good":
        write_vapid_key(path)
    elif content is not None:
        path.write_text(content)
    settings = Settings(data_dir=tmp_path, push_vapid_key=path, push_contact=contact)
    with pytest.raises(BadSetting, match=what):
        VapidKey.of_settings(settings)
