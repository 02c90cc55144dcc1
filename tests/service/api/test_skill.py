"""Live skill over HTTP: scores of counts that are known, on common cases, and plain words where there are too few."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from click.testing import CliRunner

from service.cli import cli
from service.feeds.alerts.tables import Alert, AlertEvent
from service.feeds.alerts.transition import Change
from service.feeds.ledger import DecodedFrame
from service.feeds.skill.counts import columns, pack, part
from service.feeds.skill.tables import FrameScore, PlaceObservation, place_of
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


def test_warnings_are_verified_by_what_was_observed_at_their_place(gateway, context, settings, feed):
    settings.feeds_path.write_text(
        '[[feed]]\nname = "north"\nfolder = "/radar"\n'
        '[[feed.alert]]\nname = "town"\nlon = 0\nlat = 52.1\nrain_rate = 2\nwithin = 60\n'
    )
    rates = [0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 4, None, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    times = [NOON + timedelta(minutes=10 * number) for number in range(len(rates))]
    place, radar = place_of(0, 52.1), context.skill_ledger
    rows = [
        PlaceObservation(feed="north", place=place, source="radar", valid_time=time, rain_rate=rate)
        for time, rate in zip(times, rates, strict=True)
    ]
    events = [
        AlertEvent(
            id=str(number),
            number=number,
            feed="north",
            rule="town",
            change=change,
            severity="moderate",
            reference_time=NOON + timedelta(minutes=raised),
            revision=0,
            title="",
            message="",
            evidence={"onset": (NOON + timedelta(minutes=raised + 20)).isoformat(), "lead_minutes": 20.0},
        )
        for number, (raised, change) in enumerate(((35, Change.RAISED), (85, Change.CLEARED), (155, Change.RAISED)), 1)
    ]
    alert = Alert(feed="north", rule="town", digest="d", severity="moderate", channels=[], taken_up=NOON - DAY)
    frame = DecodedFrame(valid_time=times[-1], key="k", digest="d", grid="g", pixels=4, size=1, coverage=1.0)
    context.feed_ledger.record_frames("north", ArrivedFile(name="f", size=1, modified_ns=1), [frame])
    with writing(radar.engine) as session:
        session.add_all([*rows, *events, alert])
    try:
        [rule] = gateway.get("/v1/feeds/north/skill/alerts").json()["rules"]
    finally:
        with writing(radar.engine) as session:
            for row in (*events, alert):
                session.delete(session.merge(row))
        context.feed_ledger.delete_frames("north", NOON + DAY)
    assert (rule["rule"], rule["truth"], rule["starts"]) == ("town", "radar", 2)
    assert (rule["hits"], rule["late"], rule["misses"]) == (1, 0, 1)  # the second start came before its warning
    assert (rule["warnings"], rule["false_alarms"], rule["open"]) == (1, 0, 1)  # what followed it is not known
    assert (rule["pod"], rule["onset_error_minutes"]) == (0.5, -5.0)
    assert (rule["enough"], rule["comment"]) == (False, "too few cases: 2 starts of rain, 10 are needed")
