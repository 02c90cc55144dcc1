"""Draw the icons of the installed page from `static/icon.svg`, with the machine's own Chromium: `make icons`."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, sync_playwright

STATIC: Final = Path(__file__).with_name("static")
ICONS: Final = STATIC / "icons"
SIZES: Final = (192, 512)
SAFE: Final = 0.72
"""Share of a maskable icon's side that its picture takes: systems cut off what lies beyond 0.8 (W3C manifest)."""


def main() -> None:
    """Write the icons as PNG."""
    icon = (STATIC / "icon.svg").read_text()
    background = re.search(r'<rect[^>]*fill="(#\w+)"', icon)
    assert background is not None  # noqa: S101 - the file is ours
    picture = re.sub(r"<rect[^>]*/>", "", icon)
    badge = re.sub(r'(stroke|fill)="#\w+"', r'\1="#fff"', picture)
    ICONS.mkdir(exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        for size in SIZES:
            _draw(page, icon, size, ICONS / f"icon-{size}.png")
            _draw(page, picture, size, ICONS / f"maskable-{size}.png", share=SAFE, background=background[1])
        _draw(page, badge, 96, ICONS / "badge-96.png")
        browser.close()


def _draw(page: Page, svg: str, size: int, path: Path, *, share: float = 1.0, background: str = "transparent") -> None:
    """Write a picture of `size` pixels a side, of which the drawing takes a share."""
    side = round(size * share)
    page.set_viewport_size({"width": size, "height": size})
    page.set_content(
        f"<style>body{{margin:0;height:100vh;display:grid;place-items:center;background:{background}}}"
        f"svg{{width:{side}px;height:{side}px}}</style>{svg}"
    )
    page.screenshot(path=path, omit_background=True)


if __name__ == "__main__":
    main()
