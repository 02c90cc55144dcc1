"""`python -m benchmarks.speed.map_page`: how soon the map is there, and how fast it plays, in Chromium without a GPU.

A gateway in a process of its own has a feed with 12 observed and 18 forecast frames. A fresh browser opens its page:
first paint, bytes before the radar's data, the newest frame on the map, and all frames ready. Then it plays, at 4 and
at 10 frames a second: frames drawn a second, and the longest time between two. Needs `playwright` and `chromium`.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Page, sync_playwright

from benchmarks.command_line import argument_parser
from benchmarks.page.markdown import table
from benchmarks.speed.map_tiles import GRIDS, write_feed
from benchmarks.speed.other_processes import OtherProcesses
from benchmarks.speed.views import gateway

OBSERVED, STEPS = 12, 18
SCREENS: Final = {"1280 x 800": (1280, 800, 1), "phone, 390 x 844 at 3": (390, 844, 3)}
SPEEDS: Final = (4, 10)
ARGUMENTS: Final = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
READY_MS: Final = 120_000

PAINT: Final = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
BYTES: Final = """() => [performance.getEntriesByType('navigation')[0], ...performance.getEntriesByType('resource')]
  .filter((entry) => !entry.name.includes('/tiles/'))
  .reduce((sum, entry) => sum + entry.transferSize, 0)"""
ALL_READY: Final = "count => document.querySelectorAll('.time-ticks .ready').length === count"
RECORD: Final = """() => {
  window.stop?.();
  window.drawn = [];
  window.refreshes = 0;
  let counts = true;
  const time = document.querySelector('.time-local');
  const observer = new MutationObserver(() => window.drawn.push(performance.now()));
  observer.observe(time, {attributeFilter: ['datetime']});
  const count = () => { window.refreshes += 1; if (counts) requestAnimationFrame(count); };
  window.stop = () => { counts = false; observer.disconnect(); };
  requestAnimationFrame(count);
}"""


def open_map(page: Page, url: str) -> dict[str, Any]:
    """Return milliseconds until the page and its frames are there, and the bytes before the radar's data."""
    started = time.perf_counter()
    page.goto(url)
    page.wait_for_selector("#map[aria-busy=false] .leaflet-radar-pane canvas", state="attached")
    first_frame = time.perf_counter() - started
    page.wait_for_function(ALL_READY, arg=OBSERVED + STEPS, timeout=READY_MS)
    return {
        "first_paint_ms": page.evaluate(PAINT),
        "kilobytes": page.evaluate(BYTES) / 1000,
        "newest_frame_ms": 1000 * first_frame,
        "all_frames_ms": 1000 * (time.perf_counter() - started),
    }


def play(page: Page, speed: int, seconds: float) -> dict[str, Any]:
    """Return the frames drawn a second, and the longest gap, at a speed; the end of a round is held longer."""
    page.select_option(".time-speed", str(speed))
    page.evaluate(RECORD)
    page.click(".time-play")
    page.wait_for_timeout(1000 * seconds)
    page.click(".time-play")
    drawn, refreshes = page.evaluate("() => [window.drawn, window.refreshes]")
    gaps = sorted(later - earlier for earlier, later in itertools.pairwise(drawn))
    within = [gap for gap in gaps if gap < 1300]  # without the end of a round
    return {
        "speed": speed,
        "frames_a_second": 1000 * len(within) / sum(within),
        "longest_gap_ms": within[-1],
        "refreshes_a_second": refreshes / seconds,
    }


def measure(url: str, screen: str, seconds: float) -> dict[str, Any]:
    """Return the figures of one screen, in a fresh browser."""
    width, height, scale = SCREENS[screen]
    chromium = os.environ.get("ECHOCAST_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    others = OtherProcesses()
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as driver:
        browser = driver.chromium.launch_persistent_context(
            profile,
            executable_path=chromium,
            args=list(ARGUMENTS),
            viewport={"width": width, "height": height},
            device_scale_factor=scale,
        )
        page = browser.new_page()
        opened = open_map(page, url)
        played = [play(page, speed, seconds) for speed in SPEEDS]
        browser.close()
    return {"screen": screen, **opened, "played": played, "busy_cores": others.cores()}


def main() -> None:
    """Measure and print the tables of docs/map.md."""
    parser = argument_parser(__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="How long to play at each speed.")
    parser.add_argument("--grid", default=next(iter(GRIDS)), choices=list(GRIDS), help="The grid of the radar.")
    args = parser.parse_args()
    opened, played = [], []
    with tempfile.TemporaryDirectory(prefix="echocast-") as folder:
        write_feed(Path(folder), GRIDS[args.grid], observed=OBSERVED, steps=STEPS)
        for screen in SCREENS:
            with gateway(Path(folder)) as port:
                figures = measure(f"http://127.0.0.1:{port}/", screen, args.seconds)
            print(json.dumps(figures), file=sys.stderr)
            opened.append(
                [screen, f"{figures['first_paint_ms']:.0f}", f"{figures['kilobytes']:.0f}"]
                + [f"{figures[key]:.0f}" for key in ("newest_frame_ms", "all_frames_ms")]
            )
            for row in figures["played"]:
                cells = [row["frames_a_second"], row["longest_gap_ms"], row["refreshes_a_second"]]
                played.append([f"{screen}, {row['speed']} frames/s"] + [f"{cell:.1f}" for cell in cells])
    head = ["screen", "first paint, ms", "kB before tiles", "newest frame, ms", "all 30 frames, ms"]
    print(table(head, opened))
    print(table(["screen and speed", "frames/s", "longest gap, ms", "refreshes/s"], played))


if __name__ == "__main__":
    main()
