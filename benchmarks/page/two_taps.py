"""`python -m benchmarks.page.two_taps FRAMES... STRIP.png`: from a cold start to the answer for a town, on a phone.

`echocast serve` has a feed to which the frames are given, and makes its nowcast with members. A fresh browser of the
size of a phone opens the map, taps the search box, and taps the town that was typed. The pictures of the screen are
joined to a strip. `--page` is the same place on a wide screen. Needs `playwright` and `chromium`.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from benchmarks.command_line import argument_parser

FEED: Final = """[[feed]]
name = {name}
folder = {folder}
clock = "frames"
lead_time = 90
members = 20
model = {model}
"""
SCREEN: Final = {"width": 390, "height": 844}
WIDE: Final = {"width": 1280, "height": 800}
FRAMES_AHEAD: Final = 4
SCALE: Final = 2
MARGIN: Final = 24
READY_SECONDS: Final = 300.0
ARGUMENTS: Final = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


def main() -> None:
    """Take the pictures and write the strip."""
    parser = argument_parser(__doc__)
    parser.add_argument("frames", type=Path, nargs="+", help="Radar files of one feed, the newest last.")
    parser.add_argument("strip", type=Path)
    parser.add_argument("--page", type=Path, help="Where the page on a wide screen is written.")
    parser.add_argument("--town", default="Utrecht")
    parser.add_argument("--name", default="knmi", help="Of the feed.")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--time-zone", default="Europe/Amsterdam")
    parser.add_argument("--scheme", choices=("light", "dark"), default="light")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        _service(Path(folder), args.frames, args.name, args.model) as url,
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        context = browser.new_context(
            viewport=SCREEN,
            device_scale_factor=SCALE,
            has_touch=True,
            is_mobile=True,
            locale="en-GB",
            timezone_id=args.time_zone,
            color_scheme=args.scheme,
        )
        phone = context.new_page()
        pictures = _taps(phone, url, args.town)
        if args.page:
            wide = browser.new_page(viewport=WIDE, locale="en-GB", timezone_id=args.time_zone, color_scheme=args.scheme)
            args.page.write_bytes(_page(wide, phone.url))
        browser.close()
    _strip(pictures).save(args.strip, optimize=True)


def _taps(page: Page, url: str, town: str) -> list[bytes]:
    """Return the screen as it opens, after the first tap and what is typed, and after the second tap."""
    page.goto(url)
    page.wait_for_selector(".time-ticks .observed")
    page.wait_for_selector("#map[aria-busy=false]")
    pictures = [page.screenshot()]
    page.tap("#search-input")
    page.keyboard.type(town)
    page.wait_for_selector(f"#search-list [role=option]:has-text('{town}')")
    pictures.append(page.screenshot())
    page.tap(f"#search-list [role=option]:has-text('{town}')")
    page.wait_for_selector("#place:not([aria-busy])[data-coverage=ok]")
    page.wait_for_timeout(1000)  # the map moves to the town
    page.wait_for_selector("#map[aria-busy=false]")
    return [*pictures, page.screenshot()]


def _page(page: Page, url: str) -> bytes:
    """Return the screen a few frames ahead of the newest one."""
    page.goto(url)
    page.wait_for_selector("#place:not([aria-busy])[data-coverage=ok]")
    for _ in range(FRAMES_AHEAD):
        page.keyboard.press("ArrowRight")
    page.wait_for_selector("#map[aria-busy=false]")
    page.wait_for_timeout(1000)  # the strip of the time bar
    return page.screenshot()


def _strip(pictures: Sequence[bytes]) -> Image.Image:
    """Return the pictures side by side."""
    screens = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]
    width, height = screens[0].size
    strip = Image.new("RGB", (len(screens) * (width + MARGIN) + MARGIN, height + 2 * MARGIN), "#c3ccd4")
    for number, screen in enumerate(screens):
        strip.paste(screen, (MARGIN + number * (width + MARGIN), MARGIN))
    strip.thumbnail((1200, 1200))
    return strip


@contextmanager
def _service(folder: Path, frames: Sequence[Path], name: str, model: str) -> Iterator[str]:
    """Run `echocast serve` with the feed, and yield its address once the newest frame has its nowcast."""
    radar = folder / "radar"
    radar.mkdir()
    for number, frame in enumerate(frames):
        copy = radar / frame.name
        shutil.copy(frame, copy)
        os.utime(copy, (time.time() - 600 + number, time.time() - 600 + number))
    values = {"name": name, "folder": str(radar), "model": model}
    text = FEED.format(**{key: json.dumps(value) for key, value in values.items()})
    (folder / "feeds.toml").write_text(text, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    environment = os.environ | {
        "ECHOCAST_FEEDS_FILE": str(folder / "feeds.toml"),
        "ECHOCAST_FEED_SCAN_SECONDS": "1",
        "ECHOCAST_FEED_SETTLE_SECONDS": "0.1",
    }
    command = [
        sys.executable,
        "-m",
        "service.cli",
        "serve",
        "--port",
        url.rpartition(":")[2],
        "--data-dir",
        str(folder),
    ]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for_nowcast(f"{url}/v1/feeds/{name}/latest")
        yield url
    finally:
        process.terminate()
        process.wait()


def _wait_for_nowcast(url: str) -> dict[str, Any]:
    until = time.monotonic() + READY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url) as response:  # noqa: S310 - of the service that was started here
                found: dict[str, Any] = json.load(response)
                return found
        except (OSError, urllib.error.URLError):
            if time.monotonic() > until:
                raise
            time.sleep(1)


if __name__ == "__main__":
    main()
