"""Alerts of a feed, from its frames to the receivers of its messages."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pyproj import CRS
from sqlalchemy import text, update

from model.core.errors import InputError
from model.core.forecast_file import write_netcdf
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from service.feeds.alerts.ledger import AlertLedger
from service.feeds.alerts.tables import Alert, AlertEvent
from service.feeds.alerts.transition import Change
from service.feeds.feeds_file import read_feeds
from service.feeds.skill.rule_forecasts import RuleForecasts
from service.feeds.tables import RegisteredFeed
from service.jobs.database import writing
from service.jobs.job import JobStatus
from service.settings import Settings
from tests.receiver import Receiver, receiver, verified
from workers.alert_sender import AlertSender
from workers.batch import run
from workers.context import WorkerContext
from workers.feeds.alerts import check_alerts
from workers.feeds.cli import feeds
from workers.feeds.published import follow_up
from workers.feeds.scan import scan
from workers.sweep import REMOVED_FEED_KEPT, sweep_feeds

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise imports it

SECRET = "0123456789abcdef0123456789abcdef"
GRID = Grid.regular(CRS.from_epsg(3035), shape=(32, 48), pixel_size=1000.0, centre=(4_000_000.0, 3_000_000.0))
RAIN_LON, RAIN_LAT = (float(value) for value in GRID.lon_lat(GRID.x[10], GRID.y[16]))
DRY_LON, DRY_LAT = (float(value) for value in GRID.lon_lat(GRID.x[30], GRID.y[16]))
"""Places: one that it can rain at, and one that stays dry."""


def place(lon: float, lat: float, name: str = "town", more: str = "") -> str:
    return f'[[feed.alert]]\nname = "{name}"\nlon = {lon}\nlat = {lat}\nrain_rate = 5\nwithin = 15\n{more}'


TOWN = place(RAIN_LON, RAIN_LAT)


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as opened:
        yield opened


@pytest.fixture
def settings(settings: Settings, server: Receiver) -> Settings:
    hosts = f"127.0.0.1:{server.port}"
    return Settings(**{**settings.model_dump(), "webhook_secret": SECRET, "webhook_private_hosts": hosts})


class Radar:
    """A feed whose frames arrive as the test says, and what its alerts say after each."""

    def __init__(self, context: WorkerContext, folder: Path, jobs: Callable[[], list]) -> None:
        self.context, self.folder, self.jobs = context, folder, jobs
        self.alerts = AlertLedger(context.ledger)
        folder.mkdir()

    def configure(self, rules: str) -> None:
        self.context.settings.data_dir.mkdir(exist_ok=True)
        self.context.settings.feeds_path.write_text(
            f'[[feed]]\nname = "north"\nfolder = "{self.folder}"\nmodel = "persistence"\nsteps = 4\n'
            f'clock = "frames"\ninterval = 5\n{rules}'
        )

    def frame(self, minutes: int, rain: float, *, missing: bool = False) -> list[str]:
        """A frame arrives, with rain in the west, and perhaps no data in the east; return the changes of alerts."""
        rates = np.zeros((1, *GRID.shape), np.float32)
        rates[:, :, :20] = rain
        if missing:
            rates[:, :, 20:] = np.nan
        times = np.array([np.datetime64("2026-06-01T12:00", "ns") + np.timedelta64(minutes, "m")])
        part = self.folder.with_name("part.nc")
        write_netcdf(FrameSequence(rain_rate=rates, times=times, grid=GRID), part)
        part.rename(self.folder / f"{minutes}-{rain}.nc")
        before = self.alerts.newest_number()
        scan(self.context)
        for job in reversed(self.jobs()):
            run(job.id, self.context)
            follow_up("north", self.context)
        return self.since(before)

    def check(self) -> list[str]:
        """What the schedule does; return the changes of alerts."""
        before = self.alerts.newest_number()
        check_alerts(self.context)
        return self.since(before)

    def since(self, number: int) -> list[str]:
        return [f"{event.rule} {event.change}" for event in self.alerts.events_after(number, None, 100)]

    def state(self, rule: str = "town") -> Alert:
        return next(alert for alert in self.alerts.alerts("north") if alert.rule == rule)

    def newest_event(self) -> AlertEvent:
        return self.alerts.events("north", 1)[0]


@pytest.fixture
def radar(context: WorkerContext, tmp_path: Path, lab, monkeypatch: pytest.MonkeyPatch) -> Radar:
    monkeypatch.setattr(context.queue, "enqueue", lambda job_id, **_: False)
    return Radar(context, tmp_path / "frames", lambda: lab.jobs(context.ledger, JobStatus.ACCEPTED))


def test_rain_at_a_place_raises_and_clears_with_the_nowcasts(radar: Radar) -> None:
    radar.configure(TOWN + place(DRY_LON, DRY_LAT, "dry-town"))
    assert radar.frame(0, 2) == []
    assert radar.frame(5, 8) == ["town raised"]
    event = radar.newest_event()
    assert (f"{event.reference_time:%H:%M}", event.evidence["rain_rate"]) == ("12:05", pytest.approx(8, rel=0.02))
    assert (event.evidence["onset"][11:16], event.evidence["lead_minutes"]) == ("12:10", 5)
    assert radar.frame(10, 9) == []
    assert radar.frame(15, 1) == ["town cleared"]
    assert radar.state("dry-town").state == "cleared"
    assert radar.check() == []


def test_a_frame_that_is_issued_again_corrects_what_it_raised(radar: Radar) -> None:
    radar.configure(TOWN)
    radar.frame(0, 1)
    assert radar.frame(5, 8) == ["town raised"]
    assert radar.frame(5, 2) == ["town cleared"]
    assert (radar.newest_event().revision, "issued again" in radar.newest_event().message) == (1, True)


def test_probabilities_of_the_feed_count(radar: Radar) -> None:
    rule = place(RAIN_LON, RAIN_LAT).replace("rain_rate = 5", "probability = 0.6\nthreshold = 2")
    radar.configure(rule)
    radar.frame(-5, 0)
    assert radar.frame(0, 8) == ["town raised"]
    reached = radar.newest_event().evidence["probability"]
    assert reached >= 0.6
    # What it said is kept for the comparison of limits, whatever the limit is.
    radar.configure(rule.replace("0.6", "0.3"))
    radar.check()
    assert radar.frame(5, 0) == ["town cleared"]
    [town] = read_feeds(radar.context.settings.feeds_path).feeds[0].alert
    said = RuleForecasts(radar.context.ledger).of("north", town.watched())
    assert [f"{each.reference_time:%H:%M}" for each in said] == ["12:00", "12:05"]
    assert [each.to_raise for each in said] == [pytest.approx(reached, abs=1e-3), 0]
    assert [each.certain for each in said] == [True, True]


def test_no_alert_waits_for_what_is_kept_for_statistics(radar: Radar, caplog: pytest.LogCaptureFixture) -> None:
    rule = place(RAIN_LON, RAIN_LAT).replace("rain_rate = 5", "probability = 0.6\nthreshold = 2")
    radar.configure(rule + rule.replace("town", "village"))
    radar.frame(-5, 0)
    with writing(radar.context.ledger.engine) as session:
        session.execute(text("ALTER TABLE feed_rule_forecasts RENAME TO elsewhere"))
    assert radar.frame(0, 8) == ["town raised", "village raised"]
    assert "feed north: what a nowcast said of its rules is not kept" in caplog.text


def test_missing_data_is_unknown_and_a_place_outside_too(radar: Radar) -> None:
    radar.configure(place(DRY_LON, DRY_LAT) + place(-70, 10, "far", "unknown_after = 0\n"))
    radar.frame(-5, 0, missing=True)
    assert radar.frame(0, 8, missing=True) == ["far unknown"]
    assert (radar.state().state, radar.state().reason) == ("unknown", "3 of 3 lead steps within 15 min lack data")
    assert "outside of the grid" in radar.state("far").reason
    radar.frame(5, 8)
    assert radar.state().state == "cleared"


def area_file(folder: Path, first: int, last: int) -> str:
    """A rule on the mean over the columns from `first` to `last`, all of their pixels whole, and its file."""
    half = 500.0
    west, east = GRID.x[first] - half, GRID.x[last] + half
    south, north = GRID.y.min() + 10 * half, GRID.y.min() + 20 * half
    corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    ring = [[float(value) for value in GRID.lon_lat(x, y)] for x, y in corners]
    (folder / "area.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    return '[[feed.alert]]\nname = "town"\narea = "area.geojson"\nrain_rate = 3.9\nwithin = 15\n'


def test_the_mean_over_an_area_counts_and_the_highest_pixel_where_asked(radar: Radar, settings: Settings) -> None:
    rule = area_file(settings.data_dir, 10, 29)
    radar.configure(rule + rule.replace("town", "highest") + 'statistic = "highest"\n')
    radar.frame(0, 1)
    assert radar.frame(5, 7) == ["highest raised"], "half of the area is dry: its mean is 3.5"
    assert radar.state().evidence["rain_rate"] == pytest.approx(3.5, abs=0.05)
    assert radar.frame(10, 8) == ["town raised"]


def test_an_area_with_too_little_data_is_never_dry_and_may_be_wet(radar: Radar, settings: Settings) -> None:
    radar.configure(area_file(settings.data_dir, 10, 29))
    radar.frame(0, 1, missing=True)
    assert radar.frame(5, 7, missing=True) == []
    assert (radar.state().state, radar.state().reason) == ("unknown", "3 of 3 lead steps within 15 min lack data")
    assert radar.frame(10, 8, missing=True) == ["town raised"], "the mean is at least 4, whatever falls elsewhere"
    assert radar.frame(15, 0, missing=True) == []
    radar.configure(area_file(settings.data_dir, 10, 29) + "min_coverage = 0.4\n")
    assert radar.check() == ["town cleared"]
    (settings.data_dir / "area.geojson").write_text("{}")
    radar.frame(20, 0)
    assert (radar.state().state, "not an area" in radar.state().reason) == ("unknown", True)


def test_a_feed_without_frames_is_judged_by_the_schedule(radar: Radar) -> None:
    rule = '[[feed.alert]]\nname = "data"\nmax_data_age = 20\n'
    radar.configure(rule)
    assert radar.check() == ["data raised"], "no frame has arrived, ever"
    assert "no frame has arrived" in radar.newest_event().message
    radar.frame(0, 1)
    assert radar.check() == ["data cleared"]
    radar.configure(rule.replace("data", "old", 1))
    text = radar.context.settings.feeds_path.read_text().replace('clock = "frames"\n', "")
    radar.context.settings.feeds_path.write_text(text)
    assert radar.check() == ["old raised"], "frames of 2026 are old"


def test_without_a_new_nowcast_rain_becomes_unknown_and_stays_raised(radar: Radar) -> None:
    radar.configure(TOWN + place(DRY_LON, DRY_LAT, "dry-town", "unknown_after = 0\n"))
    radar.frame(-5, 0)
    assert radar.frame(0, 8) == ["town raised"]
    text = radar.context.settings.feeds_path.read_text().replace('clock = "frames"\n', "")
    radar.context.settings.feeds_path.write_text(text)
    assert radar.check() == ["dry-town unknown"]
    assert radar.state().state == "raised"
    assert radar.state().unknown_since is not None
    assert radar.state("dry-town").state == "unknown"
    assert radar.check() == []


def test_the_schedule_judges_what_was_missed(radar: Radar, monkeypatch: pytest.MonkeyPatch) -> None:
    radar.configure(TOWN)
    radar.frame(0, 1)

    def broken(*_: object) -> None:
        raise RuntimeError("of whatever kind")

    with monkeypatch.context() as patch:
        patch.setattr("workers.feeds.alerts.judge_condition", broken)
        assert radar.frame(5, 8) == []
        assert radar.context.feed_ledger.find_run("north", "persistence").published, "the nowcast is there nevertheless"
    assert radar.check() == ["town raised"]
    radar.configure(TOWN.replace("rain_rate = 5", "rain_rate = 50"))
    assert radar.check() == ["town cleared"], "a rule that has changed is judged at once"


def test_what_is_removed_hangs_nowhere_and_a_broken_file_removes_nothing(radar: Radar) -> None:
    radar.configure(TOWN)
    radar.frame(-5, 0)
    radar.frame(0, 8)
    good = radar.context.settings.feeds_path.read_text()
    for broken in (good.replace("steps = 4", "steps = -4"), "[[feed"):
        radar.context.settings.feeds_path.write_text(broken)
        assert radar.check() == []
    radar.configure("")
    assert radar.check() == ["town cleared"]
    assert radar.alerts.alerts() == []


def test_events_of_a_feed_that_left_the_file_are_kept_as_long_as_its_frames(radar: Radar) -> None:
    radar.configure(TOWN)
    radar.frame(-5, 0)
    radar.frame(0, 8)
    radar.context.settings.feeds_path.write_text("")
    assert radar.check() == ["town cleared"]
    sweep_feeds(radar.context)
    assert len(radar.alerts.events("north", 10)) == 2
    long_ago = datetime.now(UTC) - 2 * REMOVED_FEED_KEPT
    with radar.context.ledger.engine.begin() as connection:
        connection.execute(update(RegisteredFeed).values(last_scan=long_ago))
    sweep_feeds(radar.context)
    assert [event.change for event in radar.alerts.events("north", 10)] == [Change.CLEARED], "the newest counts on"


def channels(server: Receiver) -> str:
    address = f"127.0.0.1:{server.port}"
    return f'channels = ["http://{address}/hook?word=hidden", "json://me:hidden@{address}/notify"]\n'


def test_each_event_is_delivered_once_to_each_channel(radar: Radar, server: Receiver, settings, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    radar.configure(place(RAIN_LON, RAIN_LAT, more=channels(server)))
    radar.frame(-5, 0)
    radar.frame(0, 8)
    sender = AlertSender(settings, radar.context.ledger)
    assert sender.send_due() == 2
    assert sender.send_due() == 0
    calls = {call.path.partition("?")[0]: call for call in server.calls}
    assert sorted(calls) == ["/hook", "/notify"]
    hook, event = calls["/hook"], radar.newest_event()
    assert verified(SECRET, hook.headers, hook.body)
    assert hook.headers["Echocast-Id"] == event.id
    told = json.loads(hook.body)
    assert (told["change"], told["rule"], told["onset"]) == ("raised", "town", "2026-06-01T12:05:00Z")
    notified = json.loads(calls["/notify"].body)
    assert (notified["title"], notified["type"]) == ("town raised (moderate), feed north", "warning")
    assert event.id in notified["message"]
    assert "hidden" not in caplog.text


def test_a_message_that_fails_is_tried_again_with_the_same_id_and_no_secret_is_kept(
    radar: Radar, server: Receiver, settings, caplog
) -> None:
    radar.configure(place(RAIN_LON, RAIN_LAT, more=channels(server)))
    radar.frame(-5, 0)
    radar.frame(0, 8)
    server.statuses = [503, 503]
    sender = AlertSender(settings.model_copy(update={"webhook_attempts": 2}), radar.context.ledger)
    assert sender.send_due() == 2
    failed = radar.alerts.deliveries([radar.newest_event().id])
    assert [bool(each.error) for each in failed] == [True, True]
    assert "hidden" not in caplog.text + "".join(each.error for each in failed)
    assert all(each.due is not None and each.delivered is None for each in failed)


def echocast(settings: Settings, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(feeds, [*arguments, "--data-dir", str(settings.data_dir)])
    if isinstance(result.exception, InputError):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHOCAST_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("ECHOCAST_WEBHOOK_PRIVATE_HOSTS", settings.webhook_private_hosts)


@pytest.mark.usefixtures("environment")
def test_a_rule_is_tested_through_its_channels(radar: Radar, server: Receiver, settings, monkeypatch) -> None:
    radar.configure(place(RAIN_LON, RAIN_LAT, more=channels(server).replace("me:hidden", "me:${WORD}")))
    code, output = echocast(settings, "alerts", "test", "town")
    assert (code, output.splitlines()[0]) == (2, "ok   http: delivered")
    assert "WORD is not set" in output
    monkeypatch.setenv("WORD", "hidden")
    code, output = echocast(settings, "alerts", "test", "north/town", "--json")
    assert (code, [each["ok"] for each in json.loads(output)["channels"]]) == (0, [True, True])
    assert json.loads(server.calls[0].body)["test"] is True
    assert "hidden" not in output
    assert radar.alerts.newest_number() == 0
    with pytest.raises(InputError, match="Rules: north/town"):
        echocast(settings, "alerts", "test", "village")


@pytest.mark.usefixtures("environment")
def test_channels_are_checked_before_they_are_used(radar: Radar, settings: Settings, server: Receiver) -> None:
    more = 'channels = ["https://elsewhere.example.org/x", "nosuchservice://a", "json://me:${NO_WORD}@b"]\n'
    radar.configure(place(RAIN_LON, RAIN_LAT, more=more) + place(-70, 10, "far", channels(server)))
    radar.frame(0, 8)
    code, output = echocast(settings, "check", "--json")
    checked = {each["feed"]: each for each in json.loads(output)["feeds"]}
    bad = [each["what"] for each in json.loads(output)["feeds"] if "town" in each["feed"]]
    assert code == 2
    assert ["elsewhere" in bad[0], "no such address" in bad[1], "NO_WORD" in bad[2]] == [True] * 3
    assert "outside of the grid" in checked["north, alert 'far', lon, lat"]["what"]
