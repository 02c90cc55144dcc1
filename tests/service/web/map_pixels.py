"""What the map shows at a place, as a user sees it."""

import math
import re

from tests.patience import wait_until

COLOUR = """([x, y, pane]) => {
  for (const canvas of document.querySelectorAll(`.leaflet-${pane}-pane canvas`)) {
    const box = canvas.getBoundingClientRect();
    if (x < box.left || y < box.top || x >= box.right || y >= box.bottom) continue;
    const [across, down] = [(x - box.left) / box.width, (y - box.top) / box.height];
    return [...canvas.getContext("2d").getImageData(across * canvas.width, down * canvas.height, 1, 1).data];
  }
  return null;
}"""


def colour_at(page, lat, lon, *, east=0.0, pane="radar"):
    """Colour of the drawn frame `east` degrees from a place: red, green, blue, opacity; None outside of its tiles."""
    wait_until(lambda: page.locator("#map[aria-busy=false]").count() and "map=" in page.url, "the frame on the map")
    zoom, north, west = (float(part) for part in re.search(r"map=([\d.]+)/([-\d.]+)/([-\d.]+)", page.url).groups())
    world = 256 * 2**zoom
    box = page.locator("#map").bounding_box()
    x = box["x"] + box["width"] / 2 + (lon + east - west) / 360 * world
    y = box["y"] + box["height"] / 2 + (_down(lat) - _down(north)) * world
    return page.evaluate(COLOUR, [x, y, pane])


def _down(lat):
    """Share of the way down the map."""
    return (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2


def legend_colour(page, text):
    """Colour of the class of the legend that begins at a value."""
    item = page.locator(".legend ol li").filter(has_text=re.compile(f"^{re.escape(text)}$")).locator("i")
    red_green_blue = item.evaluate("patch => getComputedStyle(patch).backgroundColor")
    return [int(part) for part in red_green_blue.strip("rgb()").split(",")]
