"""The feeds' file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from model.core.forecast_output import ForecastOutput
from service.feeds.feeds_file import read_feeds

GOOD = '[[feed]]\nname = "north"\nfolder = "frames"\n'


@pytest.fixture
def feeds_file(tmp_path: Path) -> Path:
    (tmp_path / "frames").mkdir()
    (tmp_path / "out").mkdir()
    return tmp_path / "feeds.toml"


def test_the_line_is_named(feeds_file: Path) -> None:
    feeds_file.write_text(GOOD + "\n# the second one\n" + OTHER + "model = 'auto'\nsteps = 0\n")
    [problem] = read_feeds(feeds_file).problems
    assert problem["where"] == f"{feeds_file}:10: feed 'b', steps"
    table = "\n[feed.mqtt]\nurl = 'https://b'\ntopic = 't'\nhosts = ['h']\n"
    feeds_file.write_text(GOOD + "[[feed]]\nname = 'b'\n" + table)
    [problem] = read_feeds(feeds_file).problems
    assert problem["where"] == f"{feeds_file}:8: feed 'b', mqtt"


def test_without_a_file_there_are_no_feeds(feeds_file: Path) -> None:
    assert read_feeds(feeds_file).feeds == []
    assert read_feeds(feeds_file).problems == []


def test_folders_are_relative_to_the_file(feeds_file: Path) -> None:
    feeds_file.write_text(GOOD + 'out = "out"\npattern = "*.h5"\nsteps = 6\nframes = 4\nmodel = "persistence"\n')
    [feed] = read_feeds(feeds_file).feeds
    assert feed.folder == feeds_file.parent / "frames"
    assert feed.output("a.h5") == feeds_file.parent / "out" / "a.h5.nowcast.nc"
    assert (feed.pattern, feed.steps, feed.frames, feed.model) == ("*.h5", 6, 4, "persistence")


def test_nowcasts_are_in_the_store_only_by_default(feeds_file: Path) -> None:
    feeds_file.write_text(GOOD)
    assert read_feeds(feeds_file).feeds[0].output("a.h5") is None


NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
OTHER = "[[feed]]\nname = 'b'\nfolder = 'frames'\n"


def test_leads_count_from_now(feeds_file: Path) -> None:
    feeds_file.write_text(GOOD + "lead_time = 60\nmax_age = 30\n")
    [feed] = read_feeds(feeds_file).feeds
    now = datetime.now(UTC)
    assert feed.lead_steps(5, now - timedelta(minutes=6)) == 14
    assert feed.lead_steps(10, now - timedelta(minutes=6)) == 7
    assert feed.lead_steps(5, NOON) == 18, "an old frame counts as max_age old"
    feeds_file.write_text(GOOD + 'lead_time = 60\nclock = "frames"\n')
    [replayed] = read_feeds(feeds_file).feeds
    assert replayed.lead_steps(5, now - timedelta(minutes=6)) == 12
    feeds_file.write_text(GOOD)
    assert read_feeds(feeds_file).feeds[0].lead_steps(5, NOON) == 12


def test_feeds_publish_probabilities_by_default_and_members_where_asked(feeds_file: Path) -> None:
    feeds_file.write_text(GOOD)
    [feed] = read_feeds(feeds_file).feeds
    assert feed.forecast_output == ForecastOutput(thresholds_mm_h=(0.1, 0.5, 2.0, 5.0, 10.0))
    for text, thresholds in (("[1, 2.5]", (1.0, 2.5)), ("'1,2.5'", (1.0, 2.5)), ("[]", ())):
        feeds_file.write_text(GOOD + f"field = 'expected'\nmembers = 20\nprobabilities = {text}\n")
        [feed] = read_feeds(feeds_file).feeds
        assert feed.forecast_output == ForecastOutput(field="expected", thresholds_mm_h=thresholds, members=20)


@pytest.mark.parametrize(
    ("bad", "where", "what"),
    [
        ("[[feed]\n", "feeds.toml", "line 1"),
        ("[feed]\nname = 'x'\n", "feeds.toml", "[feed]"),
        ("feeds = 3\n" + GOOD, "feeds.toml", "'feeds'"),
        (GOOD + "[[feed]]\nname = 'b'\nfolder = 'frames'\ncolour = 3\n", "feed 'b', colour", "unknown key"),
        (OTHER + "steps = 3\nlead_time = 60\n", "feed 'b'", "two ways"),
        (OTHER + "push = true\n", "feed 'b'", "one source"),
        ("[[feed]]\nname = 'b'\n", "feed 'b'", "Give folder, url, push = true"),
        ("[[feed]]\nname = 'b'\nurl = 'ftp://radar'\n", "feed 'b', url", "s3://"),
        ("[[feed]]\nname = 'b'\nurl = 's3://radar/%Y/%M'\n", "feed 'b', url", "%Y, %m, %d, %j, %H"),
        ("[[feed]]\nname = 'b'\n[feed.mqtt]\nurl = 'mqtt://b'\ntopic = 't'\n", "feed 'b', mqtt", "missing"),
        (
            "[[feed]]\nname = 'b'\n[feed.mqtt]\nurl = 'https://b'\ntopic = 't'\nhosts = ['h']\n",
            "feed 'b', mqtt",
            "mqtt://, mqtts://",
        ),
        (OTHER + "crop = [26, 59, 24, 61]\n", "feed 'b', crop", "west, south, east, north"),
        (OTHER + "retention = 1\nmax_age = 1500\n", "feed 'b'", "shorter than max_age"),
        (OTHER + "clock = 'wall'\n", "feed 'b', clock", "'system'"),
        (GOOD + "[[feed]]\nname = 'b'\nfolder = 'nowhere'\n", "feed 'b', folder", "nowhere is not a folder"),
        (GOOD + "[[feed]]\nname = 'b'\nfolder = 'frames'\nout = 'no'\n", "feed 'b', out", "is not a folder"),
        (GOOD + "[[feed]]\nfolder = 'frames'\n", "feed 2, name", "missing"),
        (GOOD + "[[feed]]\nname = 'b'\nfolder = 'frames'\nsteps = 0\n", "feed 'b', steps", "greater than"),
        (GOOD + "[[feed]]\nname = 'b'\nfolder = 'frames'\nmax_age = -1\n", "feed 'b', max_age", "greater than"),
        (GOOD + "[[feed]]\nname = 'b'\nfolder = 'frames'\nmax_age = inf\n", "feed 'b', max_age", "finite"),
        (
            GOOD + OTHER + "field = 'mean'\n",
            "feed 'b', field",
            "expected, median, sharp",
        ),
        (
            GOOD + OTHER + "probabilities = 'often'\n",
            "feed 'b', probabilities",
            "0.5,2,5",
        ),
        (
            GOOD + OTHER + "probabilities = [2, 1]\n",
            "feed 'b', probabilities",
            "ascend",
        ),
        (GOOD + OTHER + "members = 99\n", "feed 'b', members", "2 to 50 members"),
        (GOOD + GOOD, "feed.name", "two feeds"),
        ("feed = 3\n", "feeds.toml", "[[feed]]"),
        ("feed = [3]\n", "feed 1", "dictionary"),
    ],
)
def test_a_bad_feed_is_named_and_does_not_stop_the_others(feeds_file: Path, bad: str, where: str, what: str) -> None:
    feeds_file.write_text(bad)
    found = read_feeds(feeds_file)
    [problem] = found.problems
    assert where in problem["where"]
    assert str(feeds_file) in problem["where"]
    assert what in problem["what"] + problem["hint"]
    assert problem["hint"]
    assert [feed.name for feed in found.feeds] == (["north"] if GOOD in bad else [])
