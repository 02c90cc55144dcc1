"""The tutorial: its commands run in their order, and each does what the page says of it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from model.core.aliases import CHAMPION, AliasChange, change_alias
from model.core.catalog import open_catalog, pinned_version
from model.data.archive import Archive
from service.settings import load_settings
from workers import batch
from workers.context import WorkerContext, open_context
from workers.feeds import replay
from workers.feeds.scan import scan

NO_SERVICE = ["--service", "http://127.0.0.1:9"]
"""An address at which no service answers: nothing is promoted."""

Run = Callable[..., tuple[int, str, str]]


def blocks(page: str, language: str) -> list[str]:
    """The texts of the fenced blocks of a language, in their order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    return [text for of, text in found if of == language]


def promoted(packages: Path) -> None:
    """Make `mine@1` the champion, as if its live skill had been judged."""
    version = pinned_version(open_catalog(packages).find("mine@1"))
    now = datetime.now(UTC)
    change = AliasChange(alias=CHAMPION, action="promote", when=now, by="test", before=None, after=version)
    change_alias(packages, lambda _: change)


def next_model(context: WorkerContext, echocast: Run) -> str | None:
    """The model that makes the nowcast of the feed's next frame, as the service's worker does."""
    assert echocast(*shlex.split("feeds replay --synthetic 0.5 --into mine --speed 10000x"))[0] == 0
    run = context.feed_ledger.runs("mine", limit=1)[0]
    assert run.job_id is not None
    batch.run(run.job_id, context)
    return context.ledger.get(run.job_id).model_used


def test_every_command_of_the_tutorial_does_what_it_says(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, echocast: Run
) -> None:
    page = (project / "docs" / "tutorial-own-radar.md").read_text()
    feed, challengers = blocks(page, "toml")
    lines = [line for block in blocks(page, "") for line in block.splitlines()]
    assert lines[0] == "export ECHOCAST_DATA_DIR=./data"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECHOCAST_DATA_DIR", "./data")
    monkeypatch.setenv("ECHOCAST_FEED_SETTLE_SECONDS", "0")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "feeds.toml").write_text(feed)
    context = open_context(load_settings())
    monkeypatch.setattr(context.queue, "enqueue", lambda *_: False)
    put = replay.put

    def put_and_scan(arrival: replay.Arrival, folder: Path) -> None:
        put(arrival, folder)
        scan(context)

    monkeypatch.setattr(replay, "put", put_and_scan)  # in the place of the service, which scans by its schedule
    said: dict[str, str] = {}
    for line in lines[1:]:
        words = shlex.split(line.replace("--speed 600x", "--speed 10000x"))
        if words[:1] == ["mkdir"]:
            (tmp_path / words[-1]).mkdir()
        elif words[:2] == ["echocast", "serve"]:
            scan(context)
        else:
            assert words[0] == "echocast", line
            command = " ".join(words[1:3])
            if command == "models rollback":
                promoted(tmp_path / "data" / "packages")
                assert next_model(context, echocast) == "mine@1", "the champion makes the next nowcast"
            expected, more = (2, NO_SERVICE) if command == "models promote" else (0, [])
            code, out, err = echocast(*words[1:], *more)
            assert code == expected, (line, err)
            said[command] = out + err
    context.ledger.close()
    assert "48 frames written" in said["feeds archive"]
    assert Archive(tmp_path / "archives" / "mine").parts().keys() == {"train", "valid", "test"}
    assert "mine@1" in said["models show"]
    assert "http://127.0.0.1:9" in said["models promote"]
    assert "champion: none (was mine@1)" in said["models rollback"]
    (tmp_path / "data" / "feeds.toml").write_text(feed + challengers)
    assert echocast("feeds", "check")[0] == 0
