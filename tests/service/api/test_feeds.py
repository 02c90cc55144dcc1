"""Feeds over HTTP: their status, their runs, and rain at a place from now on. Missing data is never dry."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import netCDF4
import numpy as np
import pytest
from pyproj import CRS
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from model.core.grid import Grid
from service.feeds.tables import ArrivedFile, FileState, RunState
from service.jobs.api_keys import ApiKeys, Scope
from service.jobs.job import Job
from tests.patience import wait_until
from tests.service.api.conftest import NOON

WEST, EAST = {"lon": 5.378, "lat": 50.018}, {"lon": 5.727, "lat": 50.032}
"""Places on the grid of `finished`: with data, and where the east has none."""


def minutes(number):
    return timedelta(minutes=number)


def get(gateway, path, **params):
    response = gateway.get(path, params=params or None)
    if response.is_success and path.startswith("/v1/feeds"):
        assert response.headers["cache-control"] == "no-store"
    return response.status_code, response.json()


def test_without_feeds_the_list_is_empty(gateway):
    assert get(gateway, "/v1/feeds") == (200, {"feeds": []})


def test_a_feed_is_listed_before_anything_arrived_and_tells_no_path(gateway, feed):
    status, listed = get(gateway, "/v1/feeds")
    [info] = listed["feeds"]
    assert (status, info["name"], info["status"], info["reason"]) == (
        200,
        "north",
        "unavailable",
        "it was not scanned yet",
    )
    assert (info["newest_frame"], info["latest"]) == (None, None)
    assert "/radar/of/the/worker" not in gateway.get("/v1/feeds/north").text


@pytest.mark.parametrize("path", ["", "/latest", "/runs/2026-06-01T12:00:00Z", "/point?lon=1&lat=2"])
def test_an_unknown_feed_is_told(gateway, path):
    status, problem = get(gateway, f"/v1/feeds/atlantis{path}")
    assert (status, problem["type"]) == (404, "/problems/no-such-feed")


def test_before_the_first_nowcast_there_is_none(gateway, feed):
    for path in ("/latest", "/point?lon=1&lat=2"):
        status, problem = get(gateway, f"/v1/feeds/north{path}")
        assert (status, problem["type"]) == (404, "/problems/no-nowcast")


def test_the_newest_run_is_found_with_its_nowcast(gateway, published):
    status, run = get(gateway, "/v1/feeds/north/latest")
    assert (status, run["status"], run["reference_time"]) == (200, "successful", "2026-06-01T12:00:00Z")
    assert (run["model"], run["model_used"], run["note"]) == ("auto", "persistence@1", "one frame is missing")
    links = {link["rel"]: link["href"] for link in run["links"]}
    assert gateway.get(links["item"]).json()["id"] == published.id
    assert gateway.get(links["results"]).content[:4] == b"\x89HDF"
    assert get(gateway, links["self"]) == (200, run)
    assert get(gateway, "/v1/feeds/north")[1]["latest"] == run


def test_a_run_that_does_not_exist_and_a_time_that_is_none(gateway, published):
    assert get(gateway, "/v1/feeds/north/runs/2026-06-01T12:01:00Z")[1]["type"] == "/problems/no-such-run"
    assert get(gateway, "/v1/feeds/north/runs/noon")[1]["type"] == "/problems/invalid-parameter"


def test_a_nowcast_is_served_until_that_of_the_frame_issued_again_is_there(gateway, context, published, arrive):
    run = context.feed_ledger.find_run("north", "auto")
    again = Job(kind="feed", model="auto", steps=4, inputs=[], feed="north")
    assert context.feed_ledger.submit(again, arrive(0, content="b"), run, model="auto")
    latest = get(gateway, "/v1/feeds/north/latest")[1]
    assert (latest["status"], latest["revision"]) == ("accepted", 1)
    assert f"/v1/nowcasts/{published.id}" in {link["href"] for link in latest["links"]}
    assert get(gateway, "/v1/feeds/north/point", **WEST)[0] == 200


def test_a_feed_that_can_make_no_nowcasts_is_unavailable_and_says_why(gateway, context, published):
    context.feed_ledger.register("north", "/radar")
    problem = {"code": "bad-input", "what": "extrapolation has no field sharp", "where": "field", "hint": "h"}
    context.feed_ledger.record_scan("north", problem)
    info = get(gateway, "/v1/feeds/north")[1]
    context.feed_ledger.record_scan("north", None)
    assert info["status"] == "unavailable"
    assert info["reason"] == "no nowcasts are made: extrapolation has no field sharp"


def test_a_source_that_does_not_respond_counts_once_the_next_frame_is_overdue(gateway, context, feed, arrive):
    context.feed_ledger.register("north", "s3://radar")
    problem = {"code": "source-unavailable", "what": "the store does not respond", "where": "s3://radar", "hint": "h"}
    context.feed_ledger.record_scan("north", problem)
    for after in (0, 5, 10):
        arrive(after)
    status = gateway.get("/v1/feeds/north").json()["status"]
    feed(clock="system")
    info = gateway.get("/v1/feeds/north").json()
    context.feed_ledger.record_scan("north", None)
    assert (status, info["status"]) == ("ok", "unavailable")
    assert info["reason"].endswith("min old; the store does not respond")


def test_reasons_tell_no_path(gateway, context, feed):
    file = ArrivedFile(name="j.tif", size=1, modified_ns=1)
    context.feed_ledger.record_outcome("north", file, FileState.UNREADABLE, "RasterioIOError: '/home/secret/j.tif'")
    assert get(gateway, "/v1/feeds/north")[1]["files"][0]["reason"] == "RasterioIOError: 'j.tif'"


def test_a_gap_counts_as_missing_until_it_is_an_hour_old(gateway, feed, arrive):
    for after in (0, 5, 10, 60, 65):
        arrive(after)
    assert get(gateway, "/v1/feeds/north")[1]["reason"] == "9 of 13 frames of the last 60 min are missing"


def test_files_and_runs_tell_what_became_of_them(gateway, context, published, arrive):
    ledger = context.feed_ledger
    ledger.record_outcome("north", ArrivedFile(name="x.h5", size=1, modified_ns=1), FileState.UNREADABLE, "half a file")
    late = arrive(-120, written=2)
    ledger.skip(late, "auto", "too late")
    waits = Job(kind="feed", model="auto", steps=4, inputs=[], feed="north")
    ledger.submit(waits, arrive(5), model="auto")
    ledger.record_run(waits.id, RunState.WAITING, "waits for more frames")
    details = get(gateway, "/v1/feeds/north")[1]
    files = {file["name"]: (file["state"], file["reason"]) for file in details["files"]}
    assert files["x.h5"] == ("unreadable", "half a file")
    assert files["-120-a.h5"] == ("late", "")
    runs = {run["reference_time"][11:16]: (run["status"], run["note"]) for run in details["runs"]}
    assert runs == {
        "12:05": ("waiting", "waits for more frames"),
        "12:00": ("successful", "one frame is missing"),
        "10:00": ("skipped", "too late"),
    }
    assert details["latest"]["reference_time"] == "2026-06-01T12:00:00Z"


def test_a_run_outlives_its_nowcast(gateway, context, published):
    context.ledger.delete([published.id])
    assert get(gateway, "/v1/feeds/north/runs/2026-06-01T12:00:00Z")[1]["status"] == "expired"
    assert get(gateway, "/v1/feeds/north/latest")[1]["type"] == "/problems/no-nowcast"


def test_metrics_tell_status_watermark_age_and_newest_nowcast(gateway, published):
    lines = gateway.get("/metrics").text.splitlines()
    noon = f"{NOON.timestamp():.8e}"
    assert 'echocast_feed_status{feed="north",status="ok"} 1.0' in lines
    assert 'echocast_feed_status{feed="north",status="delayed"} 0.0' in lines
    assert 'echocast_feed_frame_age_seconds{feed="north"} 0.0' in lines
    values = dict(line.rsplit(" ", 1) for line in lines if line.startswith("echocast_feed_newest"))
    assert {f"{float(value):.8e}" for value in values.values()} == {noon}
    assert 'echocast_component_up{component="feeds"} 1.0' in lines
    assert any(line.startswith('echocast_feed_files_total{feed="north",state="accepted"}') for line in lines)
    assert any(line.startswith('echocast_feed_lag_seconds_count{feed="north"}') for line in lines)


def test_a_feed_that_delivers_is_ok(gateway, published):
    info = get(gateway, "/v1/feeds/north")[1]
    assert (info["status"], info["reason"], info["interval_minutes"], info["age_minutes"]) == ("ok", "", 5, 0)
    assert info["radar_product"] == "column maximum"


def test_missing_frames_and_areas_make_it_partial(gateway, feed, arrive):
    for after in (0, 5, 10, 20, 25):
        arrive(after)
    info = get(gateway, "/v1/feeds/north")[1]
    assert (info["status"], info["reason"]) == ("partial", "1 of 6 frames of the last 25 min are missing")
    arrive(30, coverage=0.5)
    assert (
        "the newest frame has data on 50% of its area, before on 100%" in get(gateway, "/v1/feeds/north")[1]["reason"]
    )


@pytest.mark.parametrize(("age", "status"), [(3, "ok"), (12, "delayed"), (40, "unavailable")])
def test_the_age_of_the_newest_frame_counts(gateway, feed, context, arrive, age, status):
    feed(clock="system", delay=4)
    now = datetime.now(UTC).replace(microsecond=0)
    for number in range(4):
        arrive((now - NOON) / minutes(1) - age - 5 * number)
    info = get(gateway, "/v1/feeds/north")[1]
    assert info["status"] == status
    assert info["age_minutes"] == pytest.approx(age, abs=0.5)
    assert (f"{age} min old" in info["reason"]) == (status != "ok")


def test_rain_at_a_place_counts_from_now(gateway, published):
    status, point = get(gateway, "/v1/feeds/north/point", **WEST)
    assert (status, point["coverage"], point["status"]) == (200, "ok", "ok")
    assert point["sentence"] == "moderate precipitation in 5 to 10 min, over in 20 min; how sure is not known"
    assert [value["valid_time"][11:16] for value in point["forecast"]] == ["12:05", "12:10", "12:15", "12:20"]
    assert [value["valid_time"][11:16] for value in point["past"]] == ["11:50", "11:55", "12:00"]
    assert point["summary"]["starts"] == "2026-06-01T12:10:00Z"


@pytest.mark.parametrize(
    ("passed", "sentence", "left"),
    [
        (6, "moderate precipitation within 4 min, over in 14 min; how sure is not known", 3),
        (11, "moderate precipitation now, over in 9 min", 2),
        (16, "moderate precipitation now, over in 4 min", 1),
        (30, "no forecast reaches beyond now", 0),
    ],
)
def test_leads_that_have_passed_are_left_out(gateway, published, context, passed, sentence, left, monkeypatch):
    monkeypatch.setattr("service.feeds.config.Feed.now", lambda feed, newest: NOON + minutes(passed))
    point = get(gateway, "/v1/feeds/north/point", **WEST)[1]
    assert len(point["forecast"]) == left
    assert point["sentence"] == sentence
    assert point["age_minutes"] == passed
    assert not {value["valid_time"] for value in point["past"]} & {value["valid_time"] for value in point["forecast"]}


def test_missing_data_is_never_dry(gateway, published):
    point = get(gateway, "/v1/feeds/north/point", **EAST)[1]
    assert point["coverage"] == "no_data"
    assert (point["summary"]["state"], point["sentence"]) == (
        "no-data",
        "no data at this place: whether there will be precipitation is not known",
    )
    outside = get(gateway, "/v1/feeds/north/point", lon=-30, lat=10)[1]
    assert (outside["coverage"], outside["summary"]) == ("no_coverage", None)
    assert "outside" in outside["sentence"]


def test_the_numbers_at_a_place_are_those_of_the_netcdf(gateway, context, publish, uncertain):
    publish(uncertain)
    with netCDF4.Dataset(context.store.folder / uncertain.result_key) as file:
        row, column = 9, 12
        grid = Grid(crs=CRS.from_epsg(3035), x=file["x"][:].data, y=file["y"][:].data)
        rain = file["rainfall_rate_sharp"][:, row, column].filled(np.nan)
        probability = file["probability_of_exceedance"][:, :, row, column].filled(np.nan)
        members = file["rainfall_rate"][:, :, row, column].filled(np.nan)
    lon, lat = (float(degrees) for degrees in grid.lon_lat(grid.x[column] + 300, grid.y[row] - 300))
    point = get(gateway, "/v1/feeds/north/point", lon=lon, lat=lat)[1]
    assert [value["rain_rate"] for value in point["forecast"]] == pytest.approx(rain.tolist())
    assert [value["probability"] for value in point["forecast"]] == [
        pytest.approx(each, abs=6e-4) for each in probability.T
    ]
    assert point["summary"]["total_mm"] == pytest.approx(rain.sum() * 5 / 60, abs=1e-3)
    assert (point["summary"]["peak"], point["summary"]["starts"]) == (pytest.approx(3), "2026-06-01T12:10:00Z")
    of_probability = point["probabilities"]
    assert of_probability["likely_from"] == "2026-06-01T12:10:00Z"
    assert of_probability["peak"] == {"p10": 0, "p50": 0.1, "p90": 2}
    assert point["members"]["peak"]["p90"] == pytest.approx(members.max())
    assert point["members"]["total_mm"]["p90"] == pytest.approx(members.sum(axis=1).max() * 5 / 60, abs=1e-3)
    assert point["members"]["start"]["p10"] is not None


@pytest.mark.parametrize("place_cache_mb", [0, 256])
def test_places_are_the_same_whether_they_are_in_memory_or_not(gateway, context, published, place_cache_mb):
    before = context.results.blocks.size
    context.results.blocks.max_bytes = place_cache_mb << 20
    try:
        assert get(gateway, "/v1/feeds/north/point", **WEST)[1]["summary"]["peak"] == pytest.approx(3)
        assert get(gateway, "/v1/feeds/north/point", **EAST)[1]["coverage"] == "no_data"
        assert (context.results.blocks.size > before) == bool(place_cache_mb)
    finally:
        context.results.blocks.max_bytes = 256 << 20


def test_for_a_second_places_are_answered_without_the_ledger(gateway, context, published, monkeypatch):
    context.served_feeds.fresh_seconds = 60.0
    assert get(gateway, "/v1/feeds/north/point", **WEST)[0] == 200
    with statements(context.ledger.engine) as sent:
        for _ in range(3):
            assert get(gateway, "/v1/feeds/north/point", **WEST)[0] == 200
    assert sent == []


def test_a_new_nowcast_is_served_soon(gateway, context, published, finished, arrive):
    assert get(gateway, "/v1/feeds/north/point", **WEST)[1]["reference_time"] == "2026-06-01T12:00:00Z"
    feeds = context.served_feeds
    feeds.fresh_seconds, feeds.latest_seconds = 0.0, 60.0
    job = Job(kind="feed", model="auto", steps=4, inputs=[], feed="north")
    context.feed_ledger.submit(job, arrive(5), model="auto")
    claimed = context.ledger.claim(job.id, 60)
    context.ledger.succeed(claimed, result_key=finished.result_key, input_key=finished.input_key)

    def is_served():
        point = get(gateway, "/v1/feeds/north/point", **WEST)[1]
        return point["links"][0]["href"] == f"/v1/nowcasts/{job.id}"

    wait_until(is_served, "the new nowcast")


def test_while_the_ledger_fails_what_is_known_is_served_for_a_while(gateway, context, published, monkeypatch):
    assert get(gateway, "/v1/feeds/north/point", **WEST)[0] == 200
    context.served_feeds.latest_seconds = 60.0

    def fails(*args):
        raise OperationalError("SELECT", {}, Exception("database is locked"))

    monkeypatch.setattr("service.api.feeds.served.feed_states", fails)
    assert get(gateway, "/v1/feeds/north/point", **WEST)[0] == 200
    context.served_feeds.latest_seconds = 0.0
    status, problem = get(gateway, "/v1/feeds/north/point", **WEST)
    assert (status, problem["type"]) == (503, "/problems/ledger-unavailable")


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("", "lon"),
        ("?lon=5", "lat"),
        ("?lon=5&lat=far", "lat"),
        ("?lon=5&lat=nan", "lat"),
        ("?lon=181&lat=5", "lon"),
        ("?lon=5&lat=inf", "lat"),
    ],
)
def test_a_place_that_is_none_is_told(gateway, published, query, where):
    status, problem = get(gateway, f"/v1/feeds/north/point{query}")
    assert (status, problem["type"], problem["where"]) == (422, "/problems/invalid-parameter", where)


@pytest.mark.parametrize(
    ("query", "header", "sentence"),
    [
        (
            "",
            "de-AT,en;q=0.5",
            "mäßiger Niederschlag in 5 bis 10 min, vorbei in 20 min; wie sicher das ist, ist nicht bekannt",
        ),
        (
            "&language=en&time_zone=Europe/Helsinki",
            "de",
            "moderate precipitation in 5 to 10 min, over by 15:20; how sure is not known",
        ),
        ("", "fr, *", "moderate precipitation in 5 to 10 min, over in 20 min; how sure is not known"),
    ],
)
def test_the_sentence_is_in_the_language_and_by_the_clock_that_is_asked_for(
    gateway, published, query, header, sentence
):
    path = f"/v1/feeds/north/point?lon={WEST['lon']}&lat={WEST['lat']}{query}"
    response = gateway.get(path, headers={"Accept-Language": header})
    assert response.json()["sentence"] == sentence
    assert response.headers["content-language"] == response.json()["language"] == ("de" if "de-" in header else "en")
    usual = gateway.get(f"{path}&colour=red", headers={"Accept-Language": header})
    assert usual.json() == response.json()


@pytest.mark.parametrize(
    "query", ["language=fr", "time_zone=Europe/Atlantis", "time_zone=../etc/passwd", "time_zone=Europe"]
)
def test_a_language_and_a_time_zone_that_are_unknown_are_told(gateway, published, query):
    status, problem = get(gateway, f"/v1/feeds/north/point?lon=5.378&lat=50.018&{query}")
    assert (status, problem["type"], problem["where"]) == (422, "/problems/invalid-parameter", query.partition("=")[0])
    assert problem["hint"]


def test_where_the_operator_tells_the_phase_the_answer_does(gateway, context, publish, finished, arrive):
    with netCDF4.Dataset(context.store.folder / finished.result_key, "a") as file:
        file.setncattr("input_phase", "rain")
    publish(finished)
    point = get(gateway, "/v1/feeds/north/point", **WEST)[1]
    assert (point["outlook"]["precipitation"], point["sentence"][:13]) == ("rain", "moderate rain")


def test_more_parameters_than_a_place_do_no_harm(gateway, published):
    assert get(gateway, "/v1/feeds/north/point?lon=5.378&lat=50.018&colour=red")[1]["coverage"] == "ok"


def test_the_list_costs_as_many_queries_for_many_feeds_as_for_one(gateway, context, settings, published):
    def listed():
        with statements(context.ledger.engine) as sent:
            feeds = get(gateway, "/v1/feeds")[1]["feeds"]
        return [feed["name"] for feed in feeds], len(sent)

    names, number = listed()
    for other in range(7):
        settings.feeds_path.write_text(
            f'{settings.feeds_path.read_text()}\n[[feed]]\nname = "other{other}"\nfolder = "/radar"\n'
        )
    many = listed()
    assert many == ([*names, *(f"other{number}" for number in range(7))], number)


@contextmanager
def statements(engine):
    """The statements that are sent to the database meanwhile, but those of API keys."""
    sent = []

    def record(connection, cursor, statement, *more):
        if statement.startswith("SELECT") and "api_keys" not in statement:
            sent.append(statement)

    event.listen(engine, "before_cursor_execute", record)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", record)


def test_nowcasts_of_feeds_are_read_by_every_client_and_cancelled_by_none(gateway, context, published):
    # the last test: with its key the gateway is open no longer
    keys = ApiKeys(context.ledger.engine)
    key, secret = keys.create("somebody", [Scope.READ, Scope.NOWCAST])
    headers = {"Authorization": f"Bearer {secret}"}
    try:
        for path in ("", "/frames", "/result", "/point?x=0.5&y=0.5", "/events"):
            assert gateway.get(f"/v1/nowcasts/{published.id}{path}", headers=headers).status_code == 200
        assert gateway.delete(f"/v1/nowcasts/{published.id}", headers=headers).status_code == 404
    finally:
        keys.revoke(key.id)
