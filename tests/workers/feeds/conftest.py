"""The feed of the tests: `north`, whose frames arrive in a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from service.feeds.config import Feed
from service.feeds.feeds_file import read_feeds
from service.settings import Settings


@pytest.fixture
def feed_keys() -> dict[str, object]:
    """What the feed has beside its name, folder and model; files of tests have their own."""
    return {}


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


@pytest.fixture
def configure(tmp_path: Path, settings: Settings, feed_keys: dict[str, object]) -> Callable[..., Feed]:
    """Write the file of feeds: the feed `north`, with `feed_keys` and those that are given; None leaves a key out."""

    def do(**keys: object) -> Feed:
        folder = tmp_path / "frames"
        folder.mkdir(exist_ok=True)
        table = {"name": "north", "folder": str(folder), "model": "extrapolation", **feed_keys, **keys}
        lines = [f"{key} = {toml(value)}\n" for key, value in table.items() if value is not None]
        settings.data_dir.mkdir(exist_ok=True)
        settings.feeds_path.write_text("[[feed]]\n" + "".join(lines))
        [feed] = read_feeds(settings.feeds_path, check_folders=False).feeds
        return feed

    return do


@pytest.fixture
def folder(tmp_path: Path, configure: Callable[..., Feed]) -> Path:
    """The folder of the feed `north`, which is configured."""
    configure()
    return tmp_path / "frames"
