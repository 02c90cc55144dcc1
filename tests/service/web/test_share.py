"""Sharing the map: a link that shows the same, a picture and files, the widget, the printed page."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from service.api.app import create_app
from service.settings import Settings
from tests.service.api.conftest import NO_REDIS, served
from tests.service.web.live_feed import LAT, LON, PIXEL

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

AHEAD = f"place={LAT},{LON - 5 * PIXEL:.4f},Utrecht"
"""A place that the band of rain reaches in the first lead step."""
KEEP_PRINTED = """() => {
  window.print = () => {
    const printed = document.getElementById("report").cloneNode(true);
    printed.id = "printed";
    document.body.append(printed);
  };
}"""


@pytest.fixture
def shared(live, north):
    """The dialog of the map of `north`, with a place."""
    live.goto(f"{north.url}/?map=9/{LAT}/{LON}&{AHEAD}")
    expect(live.locator("#map")).to_have_attribute("aria-busy", "false")
    live.get_by_role("button", name="Share").click()
    return live.get_by_role("dialog", name="Share")


def download(page, dialog, name):
    with page.expect_download() as started:
        dialog.get_by_role("button", name=name).click()
    found = started.value
    return found.suggested_filename, found.path().read_bytes()


def test_the_link_shows_the_same_place_layer_and_time(live, north):
    live.goto(f"{north.url}/?map=9/{LAT}/{LON}&{AHEAD}&layer=probability-2&at=2026-06-01T12:05Z")
    expect(live.locator(".time-local")).to_have_text("14:05")
    live.get_by_role("button", name="Share").click()
    dialog = live.get_by_role("dialog", name="Share")
    link = dialog.get_by_label("Link")
    always_newest, this_time = re.compile(r"^((?!at=).)*$"), re.compile("at=2026-06-01T12:05Z")
    expect(link).to_have_value(this_time)
    dialog.get_by_label("Show this time (14:05)").uncheck()
    expect(link).to_have_value(always_newest)
    dialog.get_by_label("Show this time (14:05)").check()
    address = link.input_value()
    assert all(part in address for part in ("feed=north", "layer=probability-2", "Utrecht", "map=9/"))
    live.goto("about:blank")
    live.goto(address)
    expect(live.locator(".time-local")).to_have_text("14:05")
    expect(live.locator(".legend-title")).to_contain_text("Probability of at least 2 mm/h")


def test_picture_and_files_are_those_of_what_is_shown(live, shared, north):
    name, content = download(live, shared, "Picture of the map (PNG)")
    assert name == "echocast_north_20260601T1200Z.png"
    picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    width = live.locator("#map").bounding_box()["width"]
    assert picture.shape[1] == 2 * width
    blue = (picture == (0x2E, 0x78, 0xD5)).all(axis=2)
    assert blue[: -2 * 112].sum() > 10_000  # on the map, besides the legend below it
    assert blue[-2 * 112 :].any()
    for style, most in (("clipPath = 'polygon(0px 0px, 1px 0px, 1px 1px)'", 99), ("visibility = 'hidden'", 0)):
        live.evaluate(f"document.querySelector('.leaflet-radar-pane').style.{style}")
        _, content = download(live, shared, "Picture of the map (PNG)")
        picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))[: -2 * 112]
        assert (picture == (0x2E, 0x78, 0xD5)).all(axis=2).sum() <= most
    name, content = download(live, shared, "Forecast (netCDF)")
    assert (name, content[1:4]) == ("nowcast_20260601T1200Z.nc", b"HDF")
    _, content = download(live, shared, "Numbers of the place (CSV)")
    assert b"12:05" in content
    assert content[:200].startswith(b"valid_time") or b"rain_rate" in content[:200]


def test_the_printed_page_says_what_and_when_and_whence(live, shared):
    live.evaluate(KEEP_PRINTED)
    shared.get_by_role("button", name="Print").click()
    report = live.locator("#printed")
    expect(report).to_have_count(1)
    expect(live.locator("#report")).to_have_count(0)
    shared.get_by_role("button", name="Close").click()
    live.emulate_media(media="print")
    expect(report.get_by_role("heading")).to_have_text("Precipitation: Utrecht")
    expect(report).to_contain_text(re.compile(r"14:00 CEST \(12:00 UTC\).*Observed"))
    expect(report.locator(".report-sentence")).to_contain_text("within 5 min")
    expect(report.get_by_role("row")).to_have_count(3)
    expect(report.get_by_role("row").nth(1)).to_have_text(re.compile(r"14:05.*12:05.*5"))
    expect(report.locator(".report-source").first).to_contain_text("nowcast of 14:00, rain-ms-predrnn 2")
    expect(live.locator("#map")).to_be_hidden()
    live.emulate_media(media="screen")


def test_the_snippet_shows_the_answer_and_a_small_map(live, shared, north):
    [address] = re.findall(r'src="([^"]+)"', shared.get_by_label(re.compile("HTML to copy")).input_value())
    live.goto(address.replace("&amp;", "&"))
    expect(live.get_by_role("heading", name="Utrecht")).to_be_visible()
    expect(live.locator("#embed-sentence")).to_contain_text("within 5 min")
    expect(live.get_by_role("img", name="At most 5 mm/h, at 14:05")).to_be_visible()
    expect(live.locator("#map")).to_be_visible()
    expect(live.get_by_role("link", name="Open the map")).to_have_attribute("href", re.compile("place=.*Utrecht"))
    live.goto(f"{address.replace('&amp;', '&')}&show=place")
    expect(live.locator("#embed-sentence")).to_contain_text("within 5 min")
    expect(live.locator("#map")).to_be_hidden()
    live.goto(f"{north.url}/embed?feed=north&place=10,10,Nowhere&show=place")
    expect(live.locator("#embed-sentence")).to_have_text("This place is outside of the radar's area")


def test_the_widget_of_a_service_that_is_gone_takes_its_answer_back(live, north):
    live.clock.install()
    live.goto(f"{north.url}/embed?feed=north&{AHEAD}&show=place")
    expect(live.locator("#embed-sentence")).to_contain_text("within 5 min")
    live.route("**/v1/**", lambda route: route.abort())
    live.clock.fast_forward("03:00")
    expect(live.locator("#embed-problem")).to_contain_text("No contact with the service for 3 min")
    live.clock.fast_forward("03:00")
    expect(live.locator("#embed-age")).to_have_class("chip bad")
    expect(live.locator("#embed-sentence")).to_be_empty()
    expect(live.locator("#embed-bars")).to_be_empty()


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ([0, 0, 0], "No precipitation in this forecast"),
        ([None, None, 0], "No precipitation where there is data; for a part of this forecast there is none"),
        ([None, 3, 0], re.compile("^At most 3 mm/h, at .*, where there is data; for a part of this forecast there is")),
        ([None, None, None], "No data: whether precipitation will fall is not known"),
    ],
    ids=["dry", "dry-where-known", "rain-where-known", "unknown"],
)
def test_bars_that_lack_data_do_not_say_that_it_stays_dry(live, north, rates, words):
    live.goto(f"{north.url}/embed?feed=north&{AHEAD}&show=place")
    expect(live.locator("#embed-sentence")).to_contain_text("within 5 min")
    live.evaluate(
        """async (rates) => {
          const { drawBars } = await import("./static/share/bars.js");
          const values = rates.map((rain_rate, index) => ({ rain_rate, valid_time: new Date(index * 300000) }));
          const legend = { classes: [{ lower: 0.1, colour: "blue" }], no_data: { colours: ["grey", "white"] } };
          drawBars(document.getElementById("embed-bars"), values, legend);
        }""",
        rates,
    )
    expect(live.locator(".embed-bars")).to_have_attribute("aria-label", words)


def test_only_pages_that_the_operator_names_may_show_the_widget(north, tmp_path):
    def policy(client, path):
        return client.get(path, headers={"Accept": "text/html"}).headers["content-security-policy"]

    own = "frame-ancestors 'self'"
    settings = Settings(data_dir=tmp_path, broker_url=NO_REDIS, embed_origins="https://town.example, https://b.example")
    with served(create_app(settings)) as client:
        assert policy(client, "/embed").endswith(f"{own} https://town.example https://b.example")
        assert policy(client, "/").endswith(own)
    with pytest.raises(ValueError, match="not an origin"):
        Settings(data_dir=tmp_path, embed_origins="*")
