"""Live verification: challengers run in shadow, and every forecast is scored once by the frames that arrive."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from pyproj import CRS

from model.core.errors import InputError
from model.core.forecast_file import write_netcdf
from model.core.grid import Grid
from model.core.probability_calibration import ProbabilityCalibration
from model.core.sequence import FrameSequence
from service.feeds.feeds_file import read_feeds
from service.feeds.skill.comparison import scores_of
from service.feeds.skill.counts import (
    PROBABILITY_EDGES,
    PUBLISHED,
    UNCALIBRATED,
    bins_shape,
    columns,
    pack,
    part,
    unpack,
)
from service.feeds.skill.observations import Observations, place_of, place_of_rule
from service.feeds.skill.tables import FrameScore
from service.feeds.tables import FeedFrame
from service.jobs.database import writing
from service.jobs.job import Job, JobKind, JobStatus, UnknownJob
from service.store import MissingObject
from workers import give_way
from workers.batch import run
from workers.context import WorkerContext, open_context
from workers.feeds.place_series import pixel_of
from workers.feeds.published import follow_up
from workers.feeds.scan import scan
from workers.feeds.skill.gauges import read_gauges, record_gauges
from workers.feeds.skill.score import observed_at_places, score_frame, score_next
from workers.give_way import GiveWay

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MODELS = ("extrapolation@1", "persistence@1")
DAY = timedelta(days=1)


@pytest.fixture
def feed_keys() -> dict[str, object]:
    """Persistence challenges extrapolation."""
    return {
        "steps": 2,
        "members": 2,
        "challengers": ["persistence", "extrapolation"],
        "probabilities": [0.5, 5],
        "clock": "frames",
    }


@pytest.fixture(autouse=True)
def _no_queue(context: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("enqueue", "enqueue_scoring", "enqueue_follow_up"):
        monkeypatch.setattr(context.queue, name, lambda *_: False)


@pytest.fixture
def arrive(context: WorkerContext, lab, folder: Path) -> Callable[..., None]:
    """Let frames arrive one after the other, run all jobs, those of challengers last, and score what is due."""

    def do(*numbers: int, name: str = "f", gap: slice | None = None, **of_frames: float) -> None:
        for number in numbers:
            path = lab.write_frames(folder / f"{name}{number}.npz", first=number, **of_frames)
            if gap is not None:
                with np.load(path) as stored:
                    rain, times = stored["rain_rate"].copy(), stored["times"]
                rain[:, :, gap] = np.nan
                np.savez(path, rain_rate=rain, times=times)
            scan(context)
            while jobs := lab.jobs(context.ledger, JobStatus.ACCEPTED):
                run(jobs[-1].id, context)
                follow_up("north", context)
            score(context)

    return do


def score(context: WorkerContext, passes: int = 6) -> None:
    for _ in range(passes):
        score_next("north", context)


def scores(context: WorkerContext) -> dict[tuple[str, str], FrameScore]:
    """The counts by valid time and model."""
    found = context.skill_ledger.scores("north", NOON - DAY, NOON + DAY, bins=True)
    return {(f"{each.valid_time:%H:%M}", each.model): each for frame in found for each in frame}


def counts(score: FrameScore, name: str) -> list:
    number = len(score.thresholds_mm_h)
    return part(unpack(score.counts, (len(score.lead_minutes), columns(number))), name, number).tolist()


def test_forecasts_are_counted_at_the_pixels_that_all_of_them_and_the_frame_know(
    context: WorkerContext, arrive, lab, tmp_path: Path, folder: Path
) -> None:
    arrive(0)
    arrive(1, gap=slice(40, 48))  # so that the forecasts from it lack pixels
    arrive(2)
    arrive(3, gap=slice(0, 10))
    found = scores(context)
    assert set(found) == {(time, model) for time in ("12:10", "12:15") for model in MODELS}
    frame = context.feed_ledger.frames("north", limit=1)[0]
    with xr.open_dataset(context.store.fetch(frame.key, tmp_path / "frame.nc")) as stored:
        observed = stored.rainfall_rate.values[0]
    of_lead_2 = {}
    for job in lab.jobs(context.ledger, JobStatus.SUCCESSFUL):
        if job.inputs[-1]["name"] == "f1.npz":
            path = context.store.fetch(job.result_key, tmp_path / "forecast.nc")
            with xr.open_dataset(path) as forecast:
                name = "rainfall_rate_deterministic" if "realization" in forecast.dims else "rainfall_rate"
                of_lead_2[job.model_used] = forecast[name].values[1]
    assert set(of_lead_2) == set(MODELS)
    known = np.isfinite(observed) & np.all([np.isfinite(field) for field in of_lead_2.values()], axis=0)
    assert 0 < known.sum() < np.isfinite(observed).sum() < observed.size
    for model, field in of_lead_2.items():
        score = found["12:15", model]
        assert (score.lead_minutes, score.thresholds_mm_h) == ([5, 10], [0.5, 5])
        said, seen = field[known] >= 0.5, observed[known] >= 0.5
        assert counts(score, "contingency")[1][0] == [(said & seen).sum(), (~said & seen).sum(), (said & ~seen).sum()]
        assert counts(score, "pixels")[1] == known.sum()
        error = field[known].astype(float) - observed[known]
        assert counts(score, "errors")[1] == pytest.approx([error.sum(), abs(error).sum(), (error**2).sum()])
        assert np.ravel(counts(score, "brier")[1])[0] == known.sum()
    assert counts(found["12:15", MODELS[0]], "crps")[1][0] == known.sum()
    assert counts(found["12:15", MODELS[1]], "crps")[1][0] == 0
    assert 0 <= found["12:15", MODELS[0]].served_minutes[1] <= 10


def test_a_challenger_runs_from_the_same_frames_after_the_feed_and_is_never_served(
    context: WorkerContext, arrive, lab
) -> None:
    arrive(0, 1, 2)
    jobs = [job for job in lab.jobs(context.ledger, JobStatus.SUCCESSFUL) if job.inputs[-1]["name"] == "f2.npz"]
    by_kind = {job.kind: job for job in jobs}
    assert {kind: job.model_used for kind, job in by_kind.items()} == dict(
        zip(("feed", "challenger"), MODELS, strict=True)
    )
    assert by_kind["challenger"].inputs == by_kind["feed"].inputs
    assert by_kind["challenger"].created > by_kind["feed"].started
    assert [run.model for run in context.feed_ledger.runs("north")] == ["extrapolation"] * 3
    assert context.feed_ledger.find_run("north", "persistence").job_id == by_kind["feed"].id
    arrive(200)  # hours later
    assert context.skill_ledger.newest_challengers("north", NOON) == []
    with pytest.raises(UnknownJob):
        context.ledger.get(by_kind["challenger"].id)
    assert context.ledger.get(by_kind["feed"].id).result_key is not None
    with pytest.raises(MissingObject):
        context.store.size(by_kind["challenger"].result_key)


def test_a_challenger_that_runs_gives_way_to_any_other_nowcast(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(give_way, "CHECK_SECONDS", 0.0)
    kinds: dict[JobKind, float] = {"challenger": 1.0, "feed": 10.0}
    shadow, live = (
        context.ledger.create(Job(kind=kind, model="auto", steps=1, inputs=[], cost_seconds=seconds))
        for kind, seconds in kinds.items()
    )
    ran: list[str] = []
    for running, expected in ((live, []), (shadow, [live.id])):
        waits = GiveWay(context, lambda job, seconds, limit: ran.append(job.id))
        waits.between_steps([SimpleNamespace(job=running)])
        assert ran == expected


def test_two_workers_a_restart_and_a_frame_issued_again_count_nothing_twice(
    context: WorkerContext, arrive, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.workers.feeds.test_skill.score", lambda *_: None)
    arrive(0, 1, 2, 3, 4)
    monkeypatch.undo()
    for name in ("enqueue", "enqueue_scoring", "enqueue_follow_up"):
        monkeypatch.setattr(context.queue, name, lambda *_: False)
    [feed] = read_feeds(context.settings.feeds_path).feeds
    other = open_context(context.settings)
    both = [worker.skill_ledger.due(feed, horizon=DAY, recheck=DAY) for worker in (context, other)]
    assert [f"{due.frame.valid_time:%H:%M}" for due in both[0]] == ["12:20", "12:15", "12:10", "12:05"]
    for due, same in zip(*both, strict=True):
        assert context.skill_ledger.record(due, score_frame(due, feed, context))
        assert not other.skill_ledger.record(same, score_frame(same, feed, other))
    before = scores(context)
    assert {time for time, _ in before} == {"12:10", "12:15", "12:20"}
    score(other)
    other.ledger.close()
    assert {key: each.counts for key, each in scores(context).items()} == {
        key: each.counts for key, each in before.items()
    }
    whole = scores_of(context.skill_ledger, "north", MODELS, DAY)
    assert (whole.window.frames, whole.cases.tolist()) == (3, [3, 2])
    arrive(3, name="again", rain=2)
    after = scores(context)
    assert set(after) == set(before)
    assert counts(after["12:15", MODELS[1]], "errors") != counts(before["12:15", MODELS[1]], "errors")
    assert counts(after["12:10", MODELS[1]], "errors") == counts(before["12:10", MODELS[1]], "errors")
    # The forecast from the frame issued again replaces the one of before at the next frame.
    assert counts(after["12:20", MODELS[1]], "errors")[0] != counts(before["12:20", MODELS[1]], "errors")[0]
    again = scores_of(context.skill_ledger, "north", MODELS, DAY)
    assert (again.window.frames, again.cases.tolist()) == (3, [3, 2])
    assert again.shortage == "too few cases: 3 frames in 1 hour, 24 frames in 3 hours are needed"


def pretended(model: str, number: int, *, hits: int, observed_share: float = 0.0) -> FrameScore:
    """Scores of a frame so many times 5 min before noon: `hits` of 100 events, no false alarms.

    Where it rains, the probability of 0.5 mm/h was 0.85; it rained in `observed_share` of these cases.
    """
    counts, bins = np.zeros((2, columns(2))), np.zeros((2, *bins_shape(2)))
    part(counts, "cases", 2)[...] = 1
    part(counts, "pixels", 2)[...] = 1000
    part(counts, "contingency", 2)[:, 0] = (hits, 100 - hits, 0)
    wet = PROBABILITY_EDGES.index(0.8)
    bins[:, 0, 0, 0] = (900, 0, 0, 0, 0)
    bins[:, 0, 0, wet] = (100, 85, 85 * 0.85, 100 * observed_share, 85 * observed_share)
    return FrameScore(
        feed="north",
        valid_time=NOON - timedelta(minutes=5 * number),
        model=model,
        thresholds_mm_h=[0.5, 5],
        lead_minutes=[5, 10],
        served_minutes=[4, 9],
        counts=pack(counts),
        bins=pack(bins),
    )


def products(context: WorkerContext, lab, tmp_path: Path) -> list[xr.Dataset]:
    """The nowcasts of the feed, the newest first."""
    found = []
    for job in lab.jobs(context.ledger, JobStatus.SUCCESSFUL):
        if job.kind == "feed":
            with xr.open_dataset(context.store.fetch(job.result_key, tmp_path / "product.nc")) as product:
                found.append(product.load())
    return found


def test_products_tell_live_skill_and_probabilities_are_recalibrated_on_the_past_of_the_feed(
    context: WorkerContext, arrive, lab, folder: Path, tmp_path: Path
) -> None:
    with writing(context.ledger.engine) as session:
        for number in range(1, 73):
            session.add(pretended(MODELS[0], number, hits=50, observed_share=0.4))
            session.add(pretended(MODELS[1], number, hits=40, observed_share=0.4))
    arrive(0, 1)
    [before, *_] = products(context, lab, tmp_path)
    with context.settings.feeds_path.open("a") as file:
        file.write("recalibrate = true\n")
    arrive(2, 3, 4)
    [after, *_] = products(context, lab, tmp_path)
    assert "live_skill" not in before.attrs
    told = after.attrs["live_skill"]
    assert re.match(
        r"CSI at 0.5 mm/h after 10 min, last 24 h: 0.[45]\d \(95 % interval 0.*, persistence 0.4\d; 7\d frames", told
    )
    assert "probability_recalibration" not in before.attrs
    assert re.search(r"on 7[34] frames of this feed of 2026-06-01$", after.attrs["probability_recalibration"])
    calibration = ProbabilityCalibration.model_validate(context.skill_ledger.skill("north")[MODELS[0]].calibration)
    assert (
        0.5 < np.interp(0.85, calibration.shares, calibration.curves([0.5], 5)[0]) < 0.75
    )  # it rained in 0.4 of such cases, in hours that are too few to say so for certain
    score = scores(context)["12:20", MODELS[0]]
    bins = unpack(score.bins, (len(score.lead_minutes), *bins_shape(2)))
    assert bins[0, UNCALIBRATED, 0, :, 0].sum() == bins[0, PUBLISHED, 0, :, 0].sum() > 0
    assert bins[0, UNCALIBRATED, 0, :, 1].sum() > bins[0, PUBLISHED, 0, :, 1].sum()


def test_the_best_challenger_runs_in_the_place_of_the_model_while_it_is_better(
    context: WorkerContext, arrive, lab, folder: Path, tmp_path: Path
) -> None:
    with writing(context.ledger.engine) as session:
        for number in range(1, 73):
            session.add(pretended(MODELS[0], number, hits=40 + number % 7))
            session.add(pretended(MODELS[1], number, hits=60))
    arrive(0, 1, 2)
    assert products(context, lab, tmp_path)[0].attrs["model"] == "extrapolation"  # nobody asked for it
    with context.settings.feeds_path.open("a") as file:
        file.write('fall_back = "skill"\n')
    arrive(3, 4)
    newest = products(context, lab, tmp_path)[0]
    assert newest.attrs["model"] == "persistence"
    assert "persistence@1 runs in the place of extrapolation@1: its CSI was higher by" in newest.attrs["comment"]
    [run, *_] = context.feed_ledger.runs("north")
    assert (run.model, run.fallback) == ("extrapolation", False)
    shadow = context.skill_ledger.newest_challengers("north", run.reference_time)
    assert [(each.model, each.status) for each in shadow] == [("extrapolation", JobStatus.SUCCESSFUL)]
    context.skill_ledger.delete_scores("north", NOON)
    arrive(5, 6)
    assert products(context, lab, tmp_path)[0].attrs["model"] == "extrapolation"


def test_places_and_areas_of_alerts_are_observed_by_the_frames_and_places_by_the_nearest_gauge(
    context: WorkerContext, folder: Path, tmp_path: Path
) -> None:
    places = [(4.9, 52.4), (5.0, 52.5), (20.0, 52.0)]
    with context.settings.feeds_path.open("a") as file:
        file.write('gauges = "gauges.csv"\n')
        for number, (lon, lat) in enumerate(places):
            rule = f'name = "{number}"\nlon = {lon}\nlat = {lat}\nrain_rate = 2\nwithin = 5\n'
            file.write(f"[[feed.alert]]\n{rule}")
    gauges = context.settings.feeds_path.parent / "gauges.csv"
    gauges.write_text(
        "time,lon,lat,rain_rate_mm_h\n2026-06-01T12:00:00Z,4.91,52.4,3.5\n2026-06-01T12:05:00Z,4.91,52.4,\n"
    )
    west_sides = (5.5, 5.4, 4.95)  # of the last area a part has no data
    with context.settings.feeds_path.open("a") as file:
        for number, west in enumerate(west_sides):
            corners = [[west, 52.2], [west + 0.2, 52.2], [west + 0.2, 52.6], [west, 52.6], [west, 52.2]]
            area = {"type": "Polygon", "coordinates": [corners]}
            (context.settings.feeds_path.parent / f"area{number}.geojson").write_text(json.dumps(area))
            rule = f'name = "a{number}"\narea = "area{number}.geojson"\nrain_rate = 2\nwithin = 5\n'
            file.write(f"[[feed.alert]]\n{rule}")
    [feed] = read_feeds(context.settings.feeds_path).feeds
    grid = Grid.regular(CRS.from_epsg(4326), shape=(20, 20), pixel_size=0.1, centre=(5.0, 52.5))
    rain = np.full((1, 20, 20), 7, np.float32)
    rain[0, :, grid.x > 5.5] = 1
    rain[0, *pixel_of(grid, *places[1])] = np.nan
    path = tmp_path / "frame.nc"
    write_netcdf(FrameSequence(rain, np.array(["2026-06-01T12:00"], "datetime64[ns]"), grid), path)
    context.store.put("frame", path)
    frame = FeedFrame(
        feed="north", valid_time=NOON, file="f", key="frame", digest="", grid="", pixels=400, size=1, coverage=1.0
    )
    assert [(each.place, each.rain_rate) for each in observed_at_places(frame, feed, context)] == [
        (place_of(*places[0]), 7.0),
        (place_of(*places[1]), None),
        (place_of_rule(feed.alert[3]), 1.0),
        (place_of_rule(feed.alert[4]), 4.0),
        (place_of_rule(feed.alert[5]), None),
    ]
    record_gauges(feed, context)
    source, rows = Observations(context.ledger).at("north", place_of(*places[0]), NOON - DAY)
    assert (source, [row.rain_rate for row in rows]) == ("gauge", [3.5, None])
    assert Observations(context.ledger).at("north", place_of(*places[1]), NOON - DAY) == ("radar", [])
    gauges.write_text("time,lon,lat,rain_rate_mm_h\nnoon,4.91,52.4,3.5\n")
    with pytest.raises(InputError, match=r"gauges.csv, line 2: this is no value of a gauge"):
        read_gauges(gauges)
