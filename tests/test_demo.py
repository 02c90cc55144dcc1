"""The demo of `make run`."""

from __future__ import annotations

import email
import os
import re
import signal
import subprocess
import sys
from email.policy import HTTP
from pathlib import Path

import httpx
import pytest

from model.core.catalog import DEFAULT_MODEL, Catalog
from service.demo import DemoFailed, demo_feed, file_list, nowcast
from service.settings import Settings
from tests.patience import WAIT_SECONDS


def environment(tmp_path: Path) -> dict[str, str]:
    """A data folder and a port of its own."""
    others = {k: v for k, v in os.environ.items() if not k.startswith("ECHOCAST_")}
    return others | {"ECHOCAST_DATA_DIR": str(tmp_path / "data"), "ECHOCAST_PORT": "0", "COLUMNS": "120"}


def demo(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m service.demo --once` with a data folder and a port of its own."""
    command = [sys.executable, "-m", "service.demo", "--once", *arguments]
    return subprocess.run(
        command, env=environment(tmp_path), capture_output=True, text=True, timeout=WAIT_SECONDS, check=False
    )


@pytest.fixture
def shipped() -> None:
    """Skip without the default model: the service is never ready without it."""
    if not any(info.name == DEFAULT_MODEL for info in Catalog().models()):
        pytest.skip(f"the package {DEFAULT_MODEL} is not part of this checkout")


@pytest.mark.usefixtures("shipped")
def test_the_sample_is_forecast_over_http_then_a_synthetic_feed_comes_and_all_ends_with_ctrl_c(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "service.demo"], env=environment(tmp_path), stdout=subprocess.PIPE, text=True
    )
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            if "52 N 5 E" in line:
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_SECONDS) == 0
    finally:
        process.kill()
        process.stdout.close()
    shown = "".join(lines)
    assert f"Nowcast by {DEFAULT_MODEL}" in shown
    assert "heaviest" in shown
    assert "/?nowcast=" in shown
    assert "The feed 'synthetic-storms' is synthetic" in shown
    assert re.search(rf"feed (ok|partial), nowcast of 1[23]:\d\d by {DEFAULT_MODEL}@\d+; 52 N 5 E: \w+", lines[-1])
    assert not (tmp_path / "data" / "feeds.toml").exists(), "a service that is started later would have the feed"


def test_feeds_of_the_user_take_the_place_of_the_demo_s(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert demo_feed(settings) is not None
    settings.feeds_path.write_text("")
    assert demo_feed(settings) is None


@pytest.mark.usefixtures("shipped")
def test_a_file_other_than_a_radar_file_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "holiday.h5"
    wrong.write_text("not radar")
    done = demo(tmp_path, str(wrong))
    assert done.returncode == 1
    assert "holiday.h5" in done.stderr.splitlines()[-1]


def test_an_upload_is_a_multipart_form_and_a_refusal_is_reported_with_its_detail(tmp_path: Path) -> None:
    file = tmp_path / 'one "odd" name.h5'
    file.write_bytes(b"\x89HDF\r\n\x1a\n\x00--")

    def respond(sent: httpx.Request) -> httpx.Response:
        header = f"Content-Type: {sent.headers['Content-Type']}\r\n\r\n"
        [upload] = email.message_from_bytes(header.encode() + sent.read(), policy=HTTP).iter_parts()
        assert upload.get_filename() == "one %22odd%22 name.h5"
        assert upload.get_payload(decode=True) == file.read_bytes()
        return httpx.Response(422, json={"detail": "too few frames"})

    client = httpx.Client(base_url="http://service", transport=httpx.MockTransport(respond))
    with client, pytest.raises(DemoFailed, match="too few frames"):
        nowcast(client, [file])


def test_many_files_are_listed_in_short() -> None:
    assert file_list(["a", "b"]) == "a, b"
    assert file_list(["a", "b", "c", "d"]) == "4 files, a to d"
