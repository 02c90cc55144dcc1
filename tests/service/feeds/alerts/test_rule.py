"""Rules of alerts in the feeds' file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.feeds.feeds_file import read_feeds

FEED = '[[feed]]\nname = "north"\nfolder = "frames"\nlead_time = 60\n'
RULE = '\n[[feed.alert]]\nname = "town"\n'
PLACE = RULE + "lon = 5\nlat = 52\nwithin = 60\n"
HEALTH = RULE + "max_data_age = 20\n"


@pytest.fixture
def feeds_file(tmp_path: Path) -> Path:
    (tmp_path / "frames").mkdir()
    return tmp_path / "feeds.toml"


def test_rules_belong_to_the_feed_above_them(feeds_file: Path) -> None:
    other = FEED.replace("north", "south")
    feeds_file.write_text(FEED + PLACE + "rain_rate = 10\n" + HEALTH.replace("town", "data") + other + HEALTH)
    found = read_feeds(feeds_file)
    assert found.problems == []
    assert [[rule.name for rule in feed.alert] for feed in found.feeds] == [["town", "data"], ["town"]]
    assert [rule.watches for rule in found.feeds[0].alert] == ["point", "feed"]


@pytest.mark.parametrize(
    ("keys", "where", "what"),
    [
        (PLACE, "feeds.toml:6: feed 'north', alert 'town', rain_rate", "no condition"),
        (RULE + "rain_rate = 1\nwithin = 60\n", "alert 'town'", "watches nothing"),
        (RULE + "lon = 5\nwithin = 60\nrain_rate = 1\n", "feeds.toml:6: feed 'north', alert 'town', lat", "missing"),
        (PLACE + "rain_rate = 1\nstatus = ['delayed']\n", "alert 'town'", "several things"),
        (PLACE + "rain_rate = -1\n", "feeds.toml:11: feed 'north', alert 'town', rain_rate", "greater than 0"),
        (PLACE + "rain_rate = 1\ncolour = 3\n", "feeds.toml:12: feed 'north', alert 'town', colour", "unknown key"),
        (PLACE + "probability = 0.4\n", "alert 'town', threshold", "missing"),
        (PLACE + "probability = 0.4\nthreshold = 3\n", "alert 'town', threshold", "0.1, 0.5, 2, 5, 10"),
        (PLACE + "rain_rate = 5\nclear_rain_rate = 6\n", "alert 'town', clear_rain_rate", "not below"),
        (PLACE.replace("60", "61") + "rain_rate = 5\n", "feeds.toml:10: feed 'north', alert 'town', within", "60 min"),
        (HEALTH + "within = 5\n", "alert 'town', within", "rules on places and areas"),
        (HEALTH + "status = ['ill']\n", "alert 'town', status", "'delayed'"),
        (HEALTH + "channels = ['duty']\n", "alert 'town', channels", "no address"),
        (HEALTH + "quiet_hours = '22-6'\n", "alert 'town', quiet_hours", "22:00-06:00"),
        (HEALTH + "time_zone = 'Mars/Base'\n", "alert 'town', time_zone", "Europe/Amsterdam"),
        (PLACE + "rain_rate = 1\nstatistic = 'mean'\n", "alert 'town', statistic", "rules on areas"),
        (
            RULE + "area = 'a.json'\nrain_rate = 1\nwithin = 9\nstatistic = 'sum'\n",
            "alert 'town', statistic",
            "'highest'",
        ),
        (PLACE + "rain_rate = 1\ncost_loss = 0.2\n", "alert 'town', cost_loss", "no probability"),
        (HEALTH + HEALTH, "feed 'north', alert 'town'", "two rules"),
        ("\n[[feed.alert]]\nmax_data_age = 5\n", "feed 'north', alert 1, name", "missing"),
    ],
)
def test_a_wrong_rule_is_named_with_its_line_and_a_hint(feeds_file: Path, keys: str, where: str, what: str) -> None:
    feeds_file.write_text(FEED + keys)
    found = read_feeds(feeds_file)
    [problem] = found.problems
    assert where in problem["where"]
    assert what in problem["what"] + problem["hint"]
    assert problem["hint"]
    assert found.feeds == []


def test_the_address_of_a_channel_is_in_no_problem(feeds_file: Path) -> None:
    for channels in ("['smtp:secret']", "'mailtos://me:secret@example.org'", "[{url = 'secret'}]"):
        feeds_file.write_text(FEED + HEALTH + f"channels = {channels}\n")
        [problem] = read_feeds(feeds_file).problems
        assert "secret" not in str(problem)


def quiet(feeds_file: Path, hours: str, zone: str):
    feeds_file.write_text(FEED + HEALTH + f"quiet_hours = '{hours}'\ntime_zone = '{zone}'\n")
    [feed] = read_feeds(feeds_file).feeds
    return feed.alert[0].quiet


def utc(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 10, day, hour, minute, tzinfo=UTC)


def test_quiet_hours_are_those_of_the_time_zone_over_midnight(feeds_file: Path) -> None:
    hours = quiet(feeds_file, "22:00-06:00", "Europe/Amsterdam")
    assert hours.end_after(utc(1, 19, 59)) is None
    assert hours.end_after(utc(1, 20)) == utc(2, 4)
    assert hours.end_after(utc(2, 3, 59)) == utc(2, 4)
    assert hours.end_after(utc(2, 4)) is None
    assert hours.end_after(utc(24, 21)) == utc(25, 5), "clocks are set back in this night"


def test_quiet_hours_within_a_day(feeds_file: Path) -> None:
    hours = quiet(feeds_file, "12:00-13:30", "UTC")
    assert [hours.end_after(utc(1, hour)) for hour in (11, 12, 14)] == [None, utc(1, 13, 30), None]
