"""How good is it: the page of skill, of a feed whose scores are known."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from service.feeds.alerts.tables import Alert, AlertEvent
from service.feeds.alerts.transition import Change
from service.feeds.arrivals import DecodedFrame
from service.feeds.feeds_file import read_feeds
from service.feeds.skill.counts import PROBABILITY_EDGES, PUBLISHED, bins_shape, columns, pack, part
from service.feeds.skill.observations import place_of_rule
from service.feeds.skill.tables import FrameScore, PlaceObservation, RuleForecast
from service.feeds.tables import ArrivedFile
from service.jobs.database import writing
from tests.packages import SHIPPED_REFERENCE

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

NEWEST = datetime(2026, 6, 1, 12, tzinfo=UTC)
THRESHOLDS = [0.5, 5.0, 10.0]
LEADS = [float(minutes) for minutes in range(5, 65, 5)]
SHARES = {"north-net@1": 0.9, "extrapolation@1": 0.85, "persistence@1": 0.75}
"""Share of the places with rain that a model has at first; each lead step takes a thirtieth of it away."""

FEEDS = """
[[feed]]
name = "scored"
push = true
interval = 5
probabilities = [0.5, 5, 10]
[[feed.alert]]
name = "underpass"
lon = 5
lat = 52
probability = 0.2
threshold = 5
within = 50
[[feed.alert]]
name = "catchment"
area = "amstel.geojson"
rain_rate = 5
within = 50

[[feed]]
name = "fresh"
push = true
interval = 5
"""


def frame_score(number: int, model: str) -> FrameScore:
    """Scores by the frame of so many times 5 min before the newest: 1000 places with rain of 0.5, 100 of 5 mm/h."""
    counts, bins = np.zeros((len(LEADS), columns(3))), np.zeros((len(LEADS), *bins_shape(3)))
    part(counts, "cases", 3)[...] = 1
    part(counts, "pixels", 3)[...] = 10_000
    for lead in range(len(LEADS)):
        for row, places in enumerate((1000, 100)):
            hits = round(places * SHARES[model] * (1 - lead / 30)) + number % 5
            part(counts, "contingency", 3)[lead, row] = (hits, places - hits, places // 10)
            part(counts, "fss", 3)[lead, :, row] = [[places - hits], [2 * places]]
    for bin_, (pixels, share) in {0: (9000, 0.0), 8: (600, 0.25), 12: (400, 0.6)}.items():
        forecast = PROBABILITY_EDGES[bin_] + 0.02
        bins[:, PUBLISHED, 0, bin_] = (
            pixels,
            pixels * forecast,
            pixels * forecast**2,
            pixels * share,
            pixels * share * forecast,
        )
    return FrameScore(
        feed="scored",
        valid_time=NEWEST - timedelta(minutes=5 * number),
        model=model,
        thresholds_mm_h=THRESHOLDS,
        lead_minutes=LEADS,
        served_minutes=[lead - 5 for lead in LEADS],
        counts=pack(counts),
        bins=pack(bins) if model == "north-net@1" else None,
    )


def alert_rows(rules):
    """Rain of 6 mm/h three times a day for 8 days, of which all but the first were warned of 50 min ahead.

    The probability is 0.55 then, once a day 0.35 without rain, and else 0.1.
    """
    rows = []
    for step in range(8 * 144):
        time, of_day = NEWEST - timedelta(days=8) + timedelta(minutes=10 * step), step % 144
        ahead = (of_day - 20) % 40 if 20 <= of_day < 140 else 40
        chance = 0.55 if ahead < 9 else 0.35 if of_day < 2 else 0.1
        underpass = rules[0].watched()
        rows.append(
            RuleForecast(
                feed="scored",
                watched=underpass,
                reference_time=time,
                revision=0,
                judged=time,
                to_raise=chance,
                to_stay=chance,
                certain=True,
            )
        )
        for rule in rules:
            place = {"place": place_of_rule(rule), "source": "radar", "valid_time": time}
            rows.append(PlaceObservation(feed="scored", **place, rain_rate=6.0 if 5 <= ahead < 9 else 0.0))
        change = {0: Change.RAISED, 9: Change.CLEARED}.get(ahead)
        if change and step > 40:
            onset = (time + timedelta(minutes=40)).isoformat()
            event = {
                "rule": "underpass",
                "change": change,
                "severity": "moderate",
                "revision": 0,
                "title": "",
                "message": "",
            }
            evidence = {"onset": onset, "lead_minutes": 40.0} if change is Change.RAISED else {}
            rows.append(
                AlertEvent(
                    id=f"skill{step}",
                    number=10_000 + step,
                    feed="scored",
                    reference_time=time,
                    evidence=evidence,
                    **event,
                )
            )
    known = {"severity": "moderate", "channels": [], "taken_up": NEWEST - timedelta(days=90)}
    rows.append(Alert(feed="scored", rule="underpass", digest=rules[0].digest(), **known))
    return rows


@pytest.fixture(scope="module")
def scored(north):
    """The gateway with the feeds `scored` and `fresh`, too."""
    context = north.context
    context.served_feeds.fresh_seconds = 0.0
    feeds_file = context.settings.feeds_path
    feeds_file.write_text(feeds_file.read_text() + FEEDS)
    rules = read_feeds(feeds_file, check_folders=False).find("scored").alert
    frame = DecodedFrame(valid_time=NEWEST, key="k", digest="d", grid="g", pixels=4, size=1, coverage=1.0)
    context.feed_ledger.record_frames("scored", ArrivedFile(name="f", size=1, modified_ns=1), [frame])
    scores = [frame_score(number, model) for number in range(72) for model in SHARES]
    with writing(context.ledger.engine) as session:
        session.add_all([*scores, *alert_rows(rules)])
    return north


@pytest.fixture
def opened(live, scored):
    """The page of the feed `scored`, once its scores are there."""
    live.goto(f"{scored.url}/skill?feed=scored")
    expect(live.locator("#lead-chart svg")).to_be_visible()
    return live


def chosen(page):
    """What the address says."""
    return {name: values[-1] for name, values in parse_qs(urlsplit(page.url).query).items()}


def test_the_first_sentence_says_what_the_forecasts_were_worth(opened):
    page = opened
    expect(page.locator("#sentence")).to_have_text(
        "In the last 24 hours, of 100 places where north-net forecast precipitation of 0.5 mm/h or more 30 min ahead, "
        "or where it then fell, 68 had both."
    )
    expect(page.locator("#more p")).to_have_text(
        [
            "For comparison: extrapolation 65, persistence 57.",
            "Of 100 places where it fell, 75 had been forecast.",
            "Of 100 places where it was forecast, 12 stayed below 0.5 mm/h.",
        ]
    )
    expect(page.locator("#conclusions li.better")).to_have_text(
        [re.compile(r"^Better than extrapolation, by 3\.8 of 100"), re.compile(r"^Better than persistence, by 11\.\d")]
    )
    expect(page.locator("#basis")).to_have_text(
        "72 forecasts, compared with the radar frames that followed, in 7 hours. "
        "Newest frame: 1 Jun 2026, 14:00 (12:00 UTC)."
    )


def test_a_choice_stands_in_the_address_and_is_found_there(opened):
    page = opened
    page.get_by_role("radio", name="5", exact=True).check(force=True)
    expect(page.locator("#sentence")).to_contain_text("precipitation of 5 mm/h or more 30 min ahead")
    page.get_by_role("combobox", name="Minutes ahead").select_option("60")
    expect(page.locator("#sentence")).to_contain_text("5 mm/h or more 60 min ahead")
    page.get_by_role("radio", name="detected (POD)").check(force=True)
    expect(page.locator("#score-means")).to_contain_text("had been forecast (POD")
    page.get_by_role("checkbox", name="persistence").uncheck(force=True)
    expect(page.locator("#more")).not_to_contain_text("persistence")
    expect(page.locator("#lead-chart .name")).to_have_count(2)
    sentence = page.locator("#sentence").inner_text()
    assert chosen(page) == {
        "feed": "scored",
        "threshold": "5",
        "lead": "60",
        "score": "pod",
        "with": "extrapolation@1",
    }
    page.reload()
    expect(page.locator("#sentence")).to_have_text(sentence)
    expect(page.get_by_role("radio", name="detected (POD)")).to_be_checked()
    page.locator("#lead-chart .target").nth(1).click()
    expect(page.locator("#sentence")).to_contain_text("10 min ahead")
    page.get_by_role("combobox", name="Minutes count from").select_option("publication")
    expect(page.locator("#lead option")).to_have_count(11)  # the first lead step is over when users have it
    assert chosen(page)["from"] == "publication"


def test_all_is_chosen_by_keyboard(opened):
    page = opened
    page.get_by_role("radio", name="0.5", exact=True).focus()
    for threshold in ("5", "10"):
        page.keyboard.press("ArrowRight")
        expect(page.locator("#sentence")).to_contain_text(f"{threshold} mm/h or more")
        expect(page.get_by_role("radio", name=threshold, exact=True)).to_be_focused()
    expect(page.locator("#sentence")).to_have_text(
        "In the last 24 hours there was no precipitation of 10 mm/h or more, "
        "neither forecast 30 min ahead nor measured."
    )


def test_each_chart_has_its_values_in_a_table_and_what_never_fell_is_no_bad_score(opened):
    page = opened
    for name in ("lead", "threshold", "reliability"):
        svg = page.locator(f"#{name}-chart svg")
        expect(svg).to_have_attribute("role", "img")
        assert len(svg.get_attribute("aria-label")) > 20
    expect(page.locator("#lead-chart .name")).to_have_text(["north-net", "extrapolation", "persistence"])
    expect(page.locator("#lead-chart .value")).to_have_text(["68", "65", "57"])
    page.get_by_text("Values as a table").first.click()
    rows = page.locator("#lead-table tbody tr")
    expect(rows).to_have_count(12)
    expect(rows.nth(5)).to_have_text(re.compile(r"^30 min68 \(68 to 68\)65 \(\d\d to \d\d\)57"))
    expect(page.locator("#threshold-note")).to_have_text("Not scored, as none was forecast or fell: 10 mm/h.")
    page.get_by_text("Values as a table").nth(1).click()
    expect(page.locator("#threshold-table tbody tr").nth(2)).to_have_text("10 mm/h–––")
    expect(page.locator("#reliability-table table").first.locator("tbody tr")).to_have_text(
        ["20648,000", "422543,200", "826028,800"]  # forecast, of 100 places, pixels
    )


def test_warnings_are_a_table_with_the_limit_that_would_have_been_best(opened):
    page = opened
    page.get_by_role("radio", name="31 days").check(force=True)
    rows = page.locator("#warnings tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("underpass")
    expect(rows.first.locator("td")).to_have_text(
        ["24", "23 of 24", "0 of 24", "1 of 24", "0 of 23", "10 min too early (off by 10 min)"]
    )
    expect(rows.nth(1).locator("td")).to_have_text(["24", "0 of 24", "0 of 24", "24 of 24", "–", "–"])
    expect(page.locator("#warnings .limit")).to_have_text(
        "underpass: a limit of 45% (45%) would have been best: of 100 nowcasts that warned or should have, "
        "100 were right, with the rule's limit 88 (24 starts of precipitation on 9 days). "
        "It is better than the rule's limit."
    )


def test_a_feed_without_scores_says_when_the_first_ones_come(live, scored):
    page = live
    page.goto(f"{scored.url}/skill?feed=fresh")
    expect(page.locator("#sentence")).to_have_text("No forecast of this feed has been compared with the radar yet.")
    expect(page.locator("#more")).to_contain_text(
        "First scores appear after the first nowcast, when the next radar frame"
    )
    expect(page.locator("#charts")).to_be_hidden()
    expect(page.locator("#warnings")).to_have_text("This feed has no rule of an alert on a place or an area.")
    page.get_by_role("combobox", name="Feed or model").select_option("scored")
    expect(page.locator("#charts")).to_be_visible()
    assert chosen(page) == {"feed": "scored"}


def test_what_could_not_be_loaded_is_tried_again(live, scored):
    page = live
    page.clock.install()
    page.route("**/v1/feeds", lambda route: route.abort())
    page.goto(f"{scored.url}/skill?feed=scored")
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("The service does not respond")
    page.unroute_all()
    page.clock.fast_forward(60_000)
    expect(page.locator("#lead-chart svg")).to_be_visible()
    expect(problem).to_be_hidden()
    page.route("**/v1/feeds/scored/skill?*", lambda route: None)
    with page.expect_request("**/v1/feeds/scored/skill?*"):
        page.clock.fast_forward(60_000)
    page.clock.fast_forward(30_000)
    expect(problem).to_contain_text("The service does not respond")
    page.unroute_all()
    page.clock.fast_forward(60_000)
    expect(problem).to_be_hidden()


def test_the_map_links_to_what_its_nowcasts_were_worth(live, scored):
    live.goto(f"{scored.url}/?feed=north")
    live.get_by_role("link", name="nowcast of 14:00").click()
    expect(live.locator("#sentence")).to_have_text("No forecast of this feed has been compared with the radar yet.")
    expect(live.get_by_role("combobox", name="Feed or model")).to_have_value("feed=north")


def test_too_few_cases_are_said_before_the_figures(live, scored):
    page = live
    page.goto(f"{scored.url}/skill?feed=scored&window=24")
    page.route(
        "**/v1/feeds/scored/skill?*",
        lambda route: route.continue_(url=route.request.url.replace("window=24", "window=1")),
    )
    page.reload()
    expect(page.locator("#more .few")).to_have_text(
        "There are too few cases for a conclusion yet: the figures may change much."
    )
    expect(page.locator("#conclusions li").first).to_have_text(
        "Too few cases to tell whether it is better than extrapolation."
    )


@pytest.mark.parametrize("language", ["en", "de"])
def test_on_a_phone_nothing_sticks_out(opened, scored, language):
    page = opened
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{scored.url}/skill?feed=scored&language={language}")
    expect(page.locator("#reliability-chart svg")).to_be_visible()
    expect(page.locator("#warnings tbody tr").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    if language == "de":
        expect(page.locator("#sentence")).to_contain_text("In den letzten 24 Stunden: Von 100 Orten")


@pytest.mark.parametrize(("scheme", "width"), [("dark", 390), ("light", 1280)])
def test_charts_and_tables_are_accessible(opened, scheme, width):
    page = opened
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 844})
    expect(page.locator("#warnings tbody tr").first).to_be_visible()
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    violations = axe.Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in violations] == []


def test_scores_of_a_model_are_explained_and_the_lowest_is_the_best(live, north):
    """The scores are simulated, so that the words can be known."""
    page = live
    of = {"protocol": "nowcast-60-prob@1", "data": "bom", "lead_minutes": None}
    names = {SHIPPED_REFERENCE: 0.0512, "extrapolation@1": 0.0587, "pysteps@1": 0.0536}
    scores = [
        {"metric": f"{metric} of {name}, mean over leads", "threshold_mm_h": threshold, "value": value, **of}
        for metric, threshold in (("Brier score", 2.0), ("CRPS (mm/h)", None))
        for name, value in names.items()
    ]

    def with_scores(route):
        response = route.fetch()
        route.fulfill(response=response, json=response.json() | {"scores": scores})

    page.route("**/v1/models/*/versions/*", with_scores)
    page.goto(f"{north.url}/skill?model={SHIPPED_REFERENCE}")
    expect(page.locator("#sentence")).to_have_text(
        "Brisbane (2020-10-31, hail): the Brier score of this model for precipitation of 2 mm/h or more, "
        "mean over lead times, is 0.0512. "
        "The best model compared with it, pysteps (Lucas-Kanade extrapolation), has 0.0536."
    )
    for words in ("The Brier score is the mean squared error", "CRPS, the continuous", "lead times up to 60 minutes"):
        expect(page.locator("#card details")).to_contain_text(words)
    expect(page.locator("#card table").nth(1)).to_contain_text("0.051")
    expect(page.locator("#scores")).to_be_hidden()
