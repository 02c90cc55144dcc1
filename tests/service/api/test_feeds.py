"""Feeds over HTTP: their status, their runs, and rain at a place from now on. Missing data is never dry."""

from datetime import UTC, datetime, timedelta

import pytest

from service.feeds.ledger import DecodedFrame
from service.feeds.tables import ArrivedFile, FileState, RunState
from service.jobs.api_keys import ApiKeys, Scope
from service.jobs.job import Job

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
WEST, EAST = {"lon": 5.378, "lat": 50.018}, {"lon": 5.727, "lat": 50.032}
"""Places on the grid of `finished`: with data, and where the east has none."""


def minutes(number):
    return timedelta(minutes=number)


@pytest.fixture
def feed(settings, context, tmp_path):
    """The feed `north`, whose clock is that of its frames; returns what appends to its configuration."""
    settings.feeds_path.write_text("")

    def write(**keys):
        values = {"name": "north", "folder": "/radar/of/the/worker", "clock": "frames", **keys}
        lines = (f"{key} = {value!r}\n" for key, value in values.items())
        settings.feeds_path.write_text("[[feed]]\n" + "".join(lines))

    write()
    yield write
    context.feed_ledger.delete_frames("north", datetime(2100, 1, 1, tzinfo=UTC))
    context.feed_ledger.delete_files("north", list(context.feed_ledger.known_files("north")))
    settings.feeds_path.unlink()


@pytest.fixture
def arrive(context):
    """Record that a frame of so many minutes after noon has arrived."""

    def record(after, *, content="a", coverage=1.0, written=1):
        frame = DecodedFrame(
            valid_time=(time := NOON + minutes(after)),
            key="k",
            digest=content,
            grid="g",
            pixels=4,
            size=1,
            coverage=coverage,
            radar_product="column maximum",
        )
        file = ArrivedFile(name=f"{after}-{content}.h5", size=1, modified_ns=written)
        context.feed_ledger.record_frames("north", file, [frame])
        return context.feed_ledger.frames("north", since=time)[-1]

    return record


@pytest.fixture
def published(context, feed, arrive, finished):
    """A run of the feed from noon, whose nowcast is that of `finished`; frames of the hour before."""
    for after in range(-60, 0, 5):
        arrive(after)
    job = Job(kind="feed", model="auto", steps=4, inputs=[], feed="north")
    assert context.feed_ledger.submit(job, arrive(0), model="auto")
    claimed = context.ledger.claim(job.id, 60)
    keys = {"result_key": finished.result_key, "input_key": finished.input_key}
    context.ledger.record_model(claimed, model_used="persistence@1", note="one frame is missing")
    context.ledger.succeed(claimed, **keys)
    context.feed_ledger.record_published(job.id)
    return job


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
    assert point["sentence"] == "moderate rain in 5 to 10 min, for about 10 min"
    assert [value["valid_time"][11:16] for value in point["forecast"]] == ["12:05", "12:10", "12:15", "12:20"]
    assert [value["valid_time"][11:16] for value in point["past"]] == ["11:50", "11:55", "12:00"]
    assert point["summary"]["starts"] == "2026-06-01T12:10:00Z"


@pytest.mark.parametrize(
    ("passed", "sentence", "left"),
    [
        (6, "moderate rain within 4 min, for about 10 min", 3),
        (11, "moderate rain now, ending in about 9 min", 2),
        (16, "rain now, ending in about 4 min", 1),
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
        "no data at this place: whether it will rain is not known",
    )
    outside = get(gateway, "/v1/feeds/north/point", lon=-30, lat=10)[1]
    assert (outside["coverage"], outside["summary"]) == ("no_coverage", None)
    assert "outside" in outside["sentence"]


def test_nowcasts_of_feeds_are_read_by_every_client_and_cancelled_by_none(gateway, context, published):
    keys = ApiKeys(context.ledger.engine)
    key, secret = keys.create("somebody", [Scope.READ, Scope.NOWCAST])
    headers = {"Authorization": f"Bearer {secret}"}
    try:
        for path in ("", "/frames", "/result", "/point?x=0.5&y=0.5", "/events"):
            assert gateway.get(f"/v1/nowcasts/{published.id}{path}", headers=headers).status_code == 200
        assert gateway.delete(f"/v1/nowcasts/{published.id}", headers=headers).status_code == 404
    finally:
        keys.revoke(key.id)
