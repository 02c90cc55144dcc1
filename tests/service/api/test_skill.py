"""Live skill over HTTP: scores of counts that are known, on common cases, and plain words where there are too few."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from click.testing import CliRunner

from service.cli import cli
from service.feeds.alerts.tables import Alert, AlertEvent
from service.feeds.alerts.transition import Change
from service.feeds.arrivals import DecodedFrame
from service.feeds.feeds_file import read_feeds
from service.feeds.skill.counts import PROBABILITY_EDGES, PUBLISHED, bins_shape, columns, pack, part
from service.feeds.skill.observations import place_of_rule
from service.feeds.skill.tables import FrameScore, PlaceObservation, RuleForecast
from service.feeds.tables import ArrivedFile
from service.jobs.database import writing
from tests.packages import SHIPPED_REFERENCE, copied

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
NET, EXTRAPOLATION, PERSISTENCE = "north-net@1", "extrapolation@1", "persistence@1"
THRESHOLDS = [0.5, 5.0]
DAY = timedelta(days=1)


def of_frame(number, model, *, hits, misses, alarms, leads=(5.0, 10.0)):
    """Scores of a model by the frame of so many times 5 min after noon: 1000 pixels, events of 0.5 mm/h."""
    counts = np.zeros((len(leads), columns(2)))
    part(counts, "cases", 2)[...] = 1
    part(counts, "pixels", 2)[...] = 1000
    part(counts, "errors", 2)[...] = (-10, 50, 400)
    part(counts, "contingency", 2)[:, 0] = (hits, misses, alarms)
    part(counts, "brier", 2)[:, 0, 0] = (1000, 20)
    return FrameScore(
        feed="north",
        valid_time=NOON + timedelta(minutes=5 * number),
        model=model,
        thresholds_mm_h=THRESHOLDS,
        lead_minutes=list(leads),
        served_minutes=[lead - 4 for lead in leads],
        counts=pack(counts),
    )


@pytest.fixture
def feed(settings, context):
    """The feed `north`, without scores; returns what adds some, each made by `of_frame`."""
    settings.feeds_path.write_text('[[feed]]\nname = "north"\nfolder = "/radar"\n')

    def add(*scores):
        with writing(context.ledger.engine) as session:
            session.add_all(scores)

    yield add
    context.skill_ledger.delete_scores("north", NOON + timedelta(days=100))
    settings.feeds_path.unlink()


@pytest.fixture
def scored(feed):
    """Four hours, in which the network is better than extrapolation; persistence lacks one frame, with misses."""
    feed(
        *(of_frame(number, NET, hits=60 + number, misses=20, alarms=20) for number in range(48)),
        *(of_frame(number, EXTRAPOLATION, hits=50 + number, misses=30, alarms=20) for number in range(48)),
        *(of_frame(number, PERSISTENCE, hits=40 + number, misses=40, alarms=60) for number in range(48) if number != 7),
    )


def get(gateway, **params):
    response = gateway.get("/v1/feeds/north/skill", params=params)
    return response.status_code, response.json()


def test_a_feed_without_scores_says_so(gateway, feed):
    status, skill = get(gateway)
    assert (status, skill["enough"], skill["comment"]) == (200, False, "no forecast was scored yet")
    assert (skill["models"], skill["lead_minutes"]) == ([], [])


def test_models_are_compared_on_the_cases_that_all_have(gateway, scored):
    status, skill = get(gateway)
    assert (status, skill["enough"], skill["comment"]) == (200, True, "")
    assert [each["model"] for each in skill["models"]] == [NET, EXTRAPOLATION, PERSISTENCE]
    assert (skill["frames"], skill["cases"], skill["lead_minutes"]) == (47, [47, 47], [5.0, 10.0])
    assert (skill["blocks"], skill["block"]) == (4, "hour")
    numbers = [number for number in range(48) if number != 7]
    hits = {NET: 60, EXTRAPOLATION: 50, PERSISTENCE: 40}
    others = {NET: 40, EXTRAPOLATION: 50, PERSISTENCE: 100}
    for model in skill["models"]:
        total = sum(hits[model["model"]] + number for number in numbers)
        csi = model["events"][0]["csi"]
        assert csi["value"][0] == pytest.approx(total / (total + 47 * others[model["model"]]), abs=1e-4)
        assert csi["low"][0] < csi["value"][0] < csi["high"][0]
        assert (model["mae"]["value"][0], model["me"]["value"][0]) == (0.05, -0.01)
        assert model["events"][0]["brier"]["value"][0] == 0.02
        assert model["events"][1]["csi"]["value"] == [None, None]  # no rain that heavy: no score, and not a bad one
    beside = {each["other"]: each["csi"] for each in skill["differences"] if each["threshold_mm_h"] == 0.5}
    assert beside[EXTRAPOLATION]["low"][0] > 0
    assert beside[PERSISTENCE]["value"][0] > beside[EXTRAPOLATION]["value"][0]


def test_leads_from_publication_are_shorter_by_the_age_of_the_data(gateway, scored):
    _, skill = get(gateway, lead_from="publication")
    assert skill["lead_minutes"] == [0.0, 5.0]


def test_a_short_window_says_what_is_missing(gateway, scored):
    _, skill = get(gateway, window=1)
    assert (skill["enough"], skill["frames"]) == (False, 12)
    assert skill["comment"] == "too few cases: 12 frames in 1 hour, 24 frames in 3 hours are needed"
    assert skill["models"][0]["events"][0]["csi"]["low"] == [None, None]


def test_what_is_asked_for_is_chosen_and_what_is_not_there_is_told(gateway, scored):
    _, skill = get(gateway, model=[NET, EXTRAPOLATION], threshold=0.5, lead=10)
    assert (skill["frames"], skill["lead_minutes"]) == (48, [10.0])
    assert [event["threshold_mm_h"] for event in skill["models"][0]["events"]] == [0.5]
    for params in ({"threshold": 7}, {"lead": 60}, {"model": "other@1"}, {"window": 0}, {"lead_from": "now"}):
        status, problem = get(gateway, **params)
        assert (status, problem["type"]) == (422, "/problems/invalid-parameter"), params


def test_reliability_is_how_often_it_rained_where_a_probability_was_forecast(gateway, feed):
    for number in range(3):
        score = of_frame(number, NET, hits=60, misses=20, alarms=20)
        bins = np.zeros((2, *bins_shape(2)))
        wet = PROBABILITY_EDGES.index(0.8)
        bins[:, PUBLISHED, 0, 0] = (900, 9, 0.1, 0, 0)
        bins[:, PUBLISHED, 0, wet] = (100, 85, 72.5, 60, 51)
        bins[1, PUBLISHED, 0, wet] = (100, 85, 72.5, 20, 17)
        score.bins = pack(bins)
        feed(score)
    url = "/v1/feeds/north/skill/reliability"
    found = gateway.get(url, params={"lead": 5}).json()
    [curve] = found["curves"]
    assert (curve["model"], curve["threshold_mm_h"], curve["calibration"]) == (NET, 0.5, "published")
    assert curve["points"] == [
        {"forecast": 0.01, "observed": 0, "pixels": 2700},
        {"forecast": 0.85, "observed": 0.6, "pixels": 300},
    ]
    whole = gateway.get(url).json()
    assert (whole["frames"], whole["lead_minutes"]) == (3, [5.0, 10.0])
    assert whole["curves"][0]["points"][1] == {"forecast": 0.85, "observed": 0.4, "pixels": 600}
    assert gateway.get(url, params={"window": 200}).status_code == 422
    assert gateway.get(url, params={"threshold": 5}).json()["curves"] == []


def test_a_feed_without_scores_has_no_reliability(gateway, feed):
    assert gateway.get("/v1/feeds/north/skill/reliability").json()["curves"] == []


def test_a_challenger_is_promoted_by_its_live_skill_and_a_worse_one_is_refused(gateway, feed, tmp_path):
    def promoted(reference):
        words = ["models", "promote", reference, "--feed", "north", "--service", str(gateway.base_url), "--json"]
        result = CliRunner().invoke(cli, [*words, "--packages", str(tmp_path)])
        refusal = str(result.exception) if result.exception else ""
        return json.loads(result.stdout) if result.stdout else {}, refusal

    for name in ("better@1", "worse@1", "new@1"):
        copied(tmp_path, name)
    hits = {SHIPPED_REFERENCE: 50, EXTRAPOLATION: 40, "better@1": 60, "worse@1": 45}
    for model, base in hits.items():
        feed(*(of_frame(number, model, hits=base + number % 7, misses=40, alarms=20) for number in range(48)))
    _, refusal = promoted("new@1")
    assert "no forecast of 'new@1' was scored in this window" in refusal
    output, refusal = promoted("worse@1")
    assert not output["promoted"]
    assert "live CSI at 0.5 mm/h beside rain-ms-predrnn@2" in refusal
    output, refusal = promoted("better@1")
    assert refusal == ""
    assert (output["promoted"], output["compared_with"]) == (True, SHIPPED_REFERENCE)
    assert output["protocol"] == "live skill of the feed north"
    assert {gate["what"]: gate["passed"] for gate in output["gates"]} == {
        "live CSI at 0.5 mm/h beside rain-ms-predrnn@2": True,
        "live Brier score at 0.5 mm/h beside rain-ms-predrnn@2": True,
        "live CSI at 0.5 mm/h beside extrapolation": True,
    }


def test_warnings_are_verified_by_what_was_observed_where_they_look(gateway, context, settings, feed):
    settings.feeds_path.write_text(
        '[[feed]]\nname = "north"\nfolder = "/radar"\n'
        '[[feed.alert]]\nname = "town"\nlon = 0\nlat = 52.1\nrain_rate = 2\nwithin = 60\n'
        '[[feed.alert]]\nname = "catchment"\narea = "amstel.geojson"\nrain_rate = 2\nwithin = 60\n'
    )
    rates = [0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 4, None, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    times = [NOON + timedelta(minutes=10 * number) for number in range(len(rates))]
    rules = {rule.name: rule for rule in read_feeds(settings.feeds_path, check_folders=False).feeds[0].alert}
    rows = [
        PlaceObservation(feed="north", place=place_of_rule(rule), source="radar", valid_time=time, rain_rate=rate)
        for rule in rules.values()
        for time, rate in zip(times, rates, strict=True)
    ]
    changes = ((35, Change.RAISED), (85, Change.CLEARED), (155, Change.RAISED))
    events = [
        AlertEvent(
            id=f"{rule}{minutes}",
            number=3 * row + number,
            feed="north",
            rule=rule,
            change=change,
            severity="moderate",
            reference_time=NOON + timedelta(minutes=minutes),
            revision=0,
            title="",
            message="",
            evidence={"onset": (NOON + timedelta(minutes=minutes + 20)).isoformat(), "lead_minutes": 20.0},
        )
        for row, rule in enumerate(rules)
        for number, (minutes, change) in enumerate(changes, 1)
    ]
    alerts = [
        Alert(feed="north", rule=rule, digest="d", severity="moderate", channels=[], taken_up=NOON - DAY)
        for rule in rules
    ]
    with known(context, times[-1], *rows, *events, *alerts):
        found = gateway.get("/v1/feeds/north/skill/alerts").json()["rules"]
    assert [(rule["rule"], rule["watches"]) for rule in found] == [("town", "point"), ("catchment", "area")]
    for rule in found:
        assert (rule["truth"], rule["starts"], rule["suggested_probability"]) == ("radar", 2, None)
        assert (rule["hits"], rule["late"], rule["misses"]) == (1, 0, 1)  # the second start came before its warning
        assert (rule["warnings"], rule["false_alarms"], rule["open"]) == (1, 0, 1)  # what followed it is not known
        assert (rule["pod"], rule["onset_error_minutes"]) == (0.5, -5.0)
        assert (rule["enough"], rule["comment"]) == (False, "too few cases: 2 starts of rain, 10 are needed")


@contextmanager
def known(context, newest, *rows):
    """Rows of the ledger, and a frame of the feed at the time `newest`."""
    frame = DecodedFrame(valid_time=newest, key="k", digest="d", grid="g", pixels=4, size=1, coverage=1.0)
    context.feed_ledger.record_frames("north", ArrivedFile(name="f", size=1, modified_ns=1), [frame])
    with writing(context.ledger.engine) as session:
        session.add_all(rows)
    yield
    with writing(context.ledger.engine) as session:
        for row in rows:
            session.delete(session.merge(row))
    context.feed_ledger.delete_frames("north", NOON + timedelta(days=365))


def past_of(rule, days):
    """Days on which it rains three times, with a probability of 0.55 from an hour before on, and else of 0.1.

    Once a day it is 0.35 for 20 min, and no rain follows.
    """
    rows = []
    for day in range(days):
        for step in range(144):
            time = NOON + timedelta(days=day, minutes=10 * step)
            since_warning = (step - 20) % 40 if 20 <= step < 140 else 40
            chance = 0.55 if since_warning < 9 else 0.35 if step < 2 else 0.1
            shared = {"feed": "north", "watched": rule.watched(), "revision": 0, "certain": True}
            rows.append(RuleForecast(**shared, reference_time=time, judged=time, to_raise=chance, to_stay=chance))
            place = {"place": place_of_rule(rule), "source": "radar", "valid_time": time}
            rows.append(PlaceObservation(feed="north", **place, rain_rate=6.0 if 6 <= since_warning < 9 else 0.0))
    return rows


def suggested(gateway, context, settings, days, *, probability, more=""):
    settings.feeds_path.write_text(
        '[[feed]]\nname = "north"\nfolder = "/radar"\nprobabilities = [5]\n[[feed.alert]]\nname = "town"\nlon = 0\n'
        f"lat = 52.1\nthreshold = 5\nwithin = 60\nprobability = {probability}\n{more}"
    )
    [rule] = read_feeds(settings.feeds_path, check_folders=False).feeds[0].alert
    with known(context, NOON + timedelta(days=days), *past_of(rule, days)):
        [found] = gateway.get("/v1/feeds/north/skill/alerts").json()["rules"]
    return found["suggested_probability"]


def test_the_limit_that_would_have_been_best_is_suggested_with_its_scores(gateway, context, settings, feed):
    found = suggested(gateway, context, settings, 8, probability=0.2)
    assert found["probability"] == {"value": 0.45, "low": 0.45, "high": 0.45}  # the middle of 0.4 to 0.55
    assert (found["best_for"], found["comment"]) == ("csi", "")
    assert (found["starts"], found["days"]) == (24, 9)
    assert (found["hits"], found["misses"], found["false_alarms"]) == (24 * 6, 0, 0)
    assert found["suggested"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert found["present"]["value"] == 0.9  # two of its nowcasts are false alarms each day
    assert 0 < found["gain"]["low"] <= found["gain"]["value"] == 0.1
    found = suggested(gateway, context, settings, 8, probability=0.5)
    assert found["comment"] == "these cases do not tell whether it is better than the limit of the rule"
    assert (found["probability"]["value"], found["gain"]["value"]) == (0.45, 0)


def test_a_suggestion_changes_with_what_is_known_and_with_the_rule(gateway, context, settings, feed):
    found = suggested(gateway, context, settings, 1, probability=0.2)
    more = suggested(gateway, context, settings, 2, probability=0.2)
    assert (found["starts"], more["starts"]) == (3, 6)
    other = suggested(gateway, context, settings, 2, probability=0.2, more="cost_loss = 0.2\n")
    assert (more["best_for"], other["best_for"]) == ("csi", "value")
    [gone] = gateway.get("/v1/feeds/north/skill/alerts").json()["rules"]
    assert gone["suggested_probability"]["nowcasts"] == 0


def test_a_limit_may_be_best_for_a_ratio_of_cost_to_loss(gateway, context, settings, feed):
    found = suggested(gateway, context, settings, 8, probability=0.9, more="cost_loss = 0.2\n")
    assert (found["best_for"], found["probability"]["value"]) == ("value", 0.45)
    assert (found["suggested"]["value"], found["present"]["value"]) == (1, 0)  # 0.9 never warns


def test_no_limit_is_suggested_by_too_few_cases(gateway, context, settings, feed):
    found = suggested(gateway, context, settings, 4, probability=0.2)
    assert found["probability"] == found["gain"] == {"value": None, "low": None, "high": None}
    assert found["comment"] == (
        "too few cases: 12 starts of rain on 5 days while nowcasts were judged, 20 on 5 days are needed"
    )
    settings.feeds_path.write_text(settings.feeds_path.read_text().replace("within = 60", "within = 30"))
    [rule] = gateway.get("/v1/feeds/north/skill/alerts").json()["rules"]
    assert rule["suggested_probability"]["comment"].startswith("too few cases: 0 starts of rain on 0 days")
