"""Map tiles of a nowcast, and the layers that a map shows: probabilities, rainfall, coverage, other models."""

import io

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from pyproj import CRS, Geod

from model.core.grid import Grid
from model.core.rain_motion import RainMotion
from model.core.rain_scale import RAINFALL_SCALE
from service.jobs.job import Job
from service.render.forecast_reader import RainFile
from service.render.frame_ranks import FrameRanks
from service.render.web_mercator import MapPicture
from service.store import result_key
from tests.service.api.conftest import NOON
from workers.feeds.products.accumulations import write_accumulations

GRID = Grid.regular(CRS.from_epsg(3035), shape=(20, 40), pixel_size=1000.0, centre=(4_000_000.0, 3_000_000.0))
"""That of the nowcasts: rain of 3 mm/h in the western half from +10 to +15 min, no data in the eastern quarter."""
Z = 9
RAINFALL = np.array([3.0 * 10 / 60], np.float32)
"""mm in two lead steps of five minutes."""


def place(column, row=10):
    lon, lat = GRID.lon_lat(GRID.x[column], GRID.y[row])
    return float(lon), float(lat)


WET, DRY, MISSING, OUTSIDE = place(10), place(25), place(35), (3.0, 50.0)


def pixel(gateway, template, lon_lat, size=256, **query):
    """The colour at a place, of the tile of an address with {z}, {x} and {y}."""
    picture = MapPicture.around(Z, *lon_lat, size)
    x, y = int(picture.left + size / 2), int(picture.top + size / 2)
    path = template.replace("{z}", str(Z)).replace("{x}", str(x // size)).replace("{y}", str(y // size))
    sized = {} if size == 256 else {"size": size}
    response = gateway.get(path, params={**query, **sized} or None)
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(io.BytesIO(response.content)).convert("RGBA"))[y % size, x % size].tolist()


def colour(scale, value):
    index = int(scale.class_index(np.asarray(value, np.float32).reshape(1))[0])
    return [*scale.palette[index], 255] if index else [0, 0, 0, 0]


def opacity(found):
    return found[3]


def tiles_of(gateway, job, **query):
    response = gateway.get(f"/v1/nowcasts/{job.id}/tiles.json", params=query)
    assert response.status_code == 200, response.text
    return response.json()


def layer(document, name):
    return next(each for each in document["layers"] if each["id"] == name)


def address(document, name, frame=None):
    [template] = layer(document, name)["tiles"]
    return template if frame is None else template.replace("{frame}", frame["id"])


def test_a_nowcast_has_tiles_of_what_was_observed_and_of_the_forecast(gateway, uncertain):
    document = tiles_of(gateway, uncertain)
    frames = {frame["valid_time"][11:16]: frame for frame in document["frames"]}
    assert [(time, frame["kind"]) for time, frame in frames.items()] == [
        *((time, "observed") for time in ("11:50", "11:55", "12:00")),
        *((time, "forecast") for time in ("12:05", "12:10", "12:15", "12:20")),
    ]
    for time, rate in (("11:50", 0), ("12:00", 0), ("12:05", 0), ("12:10", 3), ("12:15", 3), ("12:20", 0)):
        for size in (256, 512):
            [template] = frames[time]["tiles"]
            assert opacity(pixel(gateway, template, WET, size)) == (255 if rate else 0)
            assert opacity(pixel(gateway, template, OUTSIDE, size)) == 0
    for time in ("12:10", "12:20"):
        assert opacity(pixel(gateway, frames[time]["tiles"][0], MISSING)) not in (0, 255)
    likely = address(document, "probability-2", frames["12:10"])
    assert pixel(gateway, likely, WET) == [0xFE, 0xC1, 0x4C, 255]
    assert layer(document, "probability-2")["kinds"] == ["forecast"]
    assert (document["kind"], document["model"], document["reference_time"]) == (
        "nowcast",
        "persistence@1",
        "2026-06-01T12:00:00Z",
    )
    assert document["interval_minutes"] == 5
    west, south, east, north = document["bounds"]
    assert west < WET[0] < east
    assert south < WET[1] < north


def test_a_tile_of_a_nowcast_never_changes(gateway, finished):
    document = tiles_of(gateway, finished)
    [template] = document["frames"][-1]["tiles"]
    path = template.format(z=0, x=0, y=0)
    response = gateway.get(path)
    assert response.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert gateway.get(path, headers={"If-None-Match": response.headers["etag"]}).status_code == 304
    latest = gateway.get(document["tiles"][0].format(z=0, x=0, y=0))
    newest_observed = gateway.get(document["frames"][2]["tiles"][0].format(z=0, x=0, y=0))
    assert latest.content == newest_observed.content
    for path, kind in (
        (f"{finished.id}/tiles/20260601T120000Z-20260601T121000Z-0123456789ab/0/0/0.png", "no-such-frame"),
        (f"{finished.id}/tiles/20260601T120000Z-20260601T130000Z/0/0/0.png", "no-such-frame"),
        (f"{finished.id}/tiles/20260601T113000Z/0/0/0.png", "no-such-frame"),
        (f"{finished.id}/tiles/latest/0/0/1.png", "invalid-parameter"),
        ("unknown/tiles/latest/0/0/0.png", "unknown-job"),
    ):
        assert gateway.get(f"/v1/nowcasts/{path}").json()["type"] == f"/problems/{kind}", path


def test_a_nowcast_that_is_not_finished_has_no_tiles(gateway, running):
    for path in ("tiles.json", "tiles/latest/0/0/0.png"):
        assert gateway.get(f"/v1/nowcasts/{running.id}/{path}").json()["type"] == "/problems/not-finished"


def test_a_grid_that_lies_nowhere_has_pictures_in_place_of_tiles(gateway, finish):
    mars = CRS.from_wkt(
        'GEOGCRS["Mars",DATUM["Mars",ELLIPSOID["Mars",3396190,169.89]],CS[ellipsoidal,2],AXIS["lat",north],'
        'AXIS["lon",east],ANGLEUNIT["degree",0.0174532925199433]]'
    )
    job = finish(Grid.regular(mars, shape=(20, 40), pixel_size=0.1, centre=(5.0, 50.0)))
    for path in ("tiles.json", "tiles/latest/0/0/0.png"):
        problem = gateway.get(f"/v1/nowcasts/{job.id}/{path}").json()
        assert (problem["type"], problem["status"]) == ("/problems/not-on-earth", 422)
        assert "/frames" in problem["hint"]
    assert gateway.get(f"/v1/nowcasts/{job.id}/frames").json()["frames"]


def test_rainfall_is_that_of_the_periods_from_now_on(gateway, finish):
    rain = np.zeros((14, 20, 40), np.float32)
    rain[1:3, :, :20] = 3.0
    rain[3, :, 5] = np.nan
    rain[:, :, 30:] = np.nan
    job = finish(GRID, rain_rate=rain, lead_minutes=np.arange(1, 15) * 5.0)
    document = tiles_of(gateway, job)
    assert [each["id"] for each in document["layers"]] == [
        *("rain", "accumulation-15", "accumulation-30", "accumulation-60", "coverage")
    ]
    hour = layer(document, "accumulation-60")
    assert (hour["start"], hour["end"], hour["kinds"]) == ("2026-06-01T12:00:00Z", "2026-06-01T13:00:00Z", [])
    assert hour["legend"]["unit"] == "mm"
    for minutes in (15, 30, 60):
        template = address(document, f"accumulation-{minutes}")
        assert pixel(gateway, template, WET) == colour(RAINFALL_SCALE, RAINFALL)
        assert opacity(pixel(gateway, template, DRY)) == 0
        assert opacity(pixel(gateway, template, MISSING)) not in (0, 255)
        # a step that is missing: the sum is not known from then on
        assert opacity(pixel(gateway, template, place(5))) == (255 if minutes == 15 else pytest.approx(115, abs=60))
    early = address(document, "accumulation-15").replace("20260601T121500Z", "20260601T121000Z")
    problem = gateway.get(early.format(z=0, x=0, y=0)).json()
    assert (problem["type"], problem["where"]) == ("/problems/no-such-frame", "frame")
    for minutes in (0, 45, "x"):
        found = gateway.get(address(document, "accumulation-15").format(z=0, x=0, y=0), params={"minutes": minutes})
        assert found.json()["type"] == "/problems/invalid-parameter"


def test_rainfall_agrees_with_the_product(finish, context, tmp_path):
    """Of any beginning: every pixel has the class of the sum that the product `accumulations` has."""
    rain = np.random.default_rng(0).gamma(0.4, 8.0, (15, 20, 40)).astype(np.float32)
    rain[7, 3:6, 4:9] = np.nan
    job = finish(GRID, rain_rate=rain, lead_minutes=np.arange(1, 16) * 5.0)
    file = RainFile.open(context.store.fetch(result_key(job.id), tmp_path / "nowcast.nc"))
    write_accumulations(file, tmp_path / "sums.nc", now=NOON.replace(minute=7))
    with xr.open_dataset(tmp_path / "sums.nc") as sums:
        for index, minutes in enumerate((15, 30, 60)):
            frame = file.rainfall(7, 7 + minutes)
            shown = FrameRanks(file, frame).blocks(slice(0, 20), slice(0, 40), 1)
            expected = RAINFALL_SCALE.ranks(sums["rainfall_from_now"][index].values)
            assert (shown == 1).any() == (minutes > 28)
            np.testing.assert_array_equal(shown, expected)


def test_coverage_is_hatched_where_there_is_no_data_inside_and_outside(gateway, finished):
    document = tiles_of(gateway, finished)
    assert layer(document, "coverage")["legend"] is None
    template = address(document, "coverage", document["frames"][-1])
    assert opacity(pixel(gateway, template, WET)) == opacity(pixel(gateway, template, DRY)) == 0
    for nowhere in (MISSING, OUTSIDE):
        assert opacity(pixel(gateway, template, nowhere)) not in (0, 255)


def test_the_legend_has_words_for_rain_rates(gateway, uncertain):
    document = tiles_of(gateway, uncertain)
    words = {item["lower"]: item["word"] for item in layer(document, "rain")["legend"]["classes"]}
    assert (words[0.1], words[2.0], words[10.0], words[100.0]) == ("light", "moderate", "heavy", "violent")
    assert {item["word"] for item in layer(document, "probability-2")["legend"]["classes"]} == {None}


@pytest.fixture
def challenged(context, published, uncertain):
    """The run of a feed, and the nowcast of a challenger from the same time, which is `uncertain`."""
    run = context.feed_ledger.find_run("north", "auto", NOON)
    job = Job(kind="challenger", model="extrapolation", steps=4, inputs=[], feed="north")
    assert context.skill_ledger.submit_challenger(job, run, "extrapolation")
    claimed = context.ledger.claim(job.id, 60)
    context.ledger.record_model(claimed, model_used="extrapolation@1", note="")
    keys = {"result_key": uncertain.result_key, "input_key": uncertain.input_key}
    context.ledger.succeed(claimed, **keys)
    yield job
    context.skill_ledger.forget("north")


def test_the_tiles_of_another_model_are_there_to_be_compared(gateway, context, finished, challenged, tmp_path):
    frame = context.feed_ledger.find_frame("north", NOON)
    context.store.put(frame.key, context.store.fetch(finished.input_key, tmp_path / "frame.nc"))
    own, other = (
        gateway.get("/v1/feeds/north/tiles.json", params=query).json() for query in ({}, {"model": "extrapolation"})
    )
    assert [(each["model"], each["own"]) for each in own["models"]] == [
        ("persistence@1", True),
        ("extrapolation@1", False),
    ]
    assert (own["model"], own["thresholds_mm_h"]) == ("persistence@1", [])
    assert (other["model"], other["thresholds_mm_h"]) == ("extrapolation@1", [0.1, 2.0])
    assert own["frames"][-1]["id"] != other["frames"][-1]["id"]
    frames = {each["valid_time"][11:16]: each for each in other["frames"]}
    assert pixel(gateway, address(other, "probability-2", frames["12:10"]), WET) == [0xFE, 0xC1, 0x4C, 255]
    assert opacity(pixel(gateway, frames["12:10"]["tiles"][0], WET)) == 255
    unknown = gateway.get("/v1/feeds/north/tiles.json", params={"model": "crystal-ball"}).json()
    assert (unknown["type"], unknown["where"]) == ("/problems/invalid-parameter", "model")
    assert "extrapolation@1" in unknown["hint"]


def test_missing_frames_and_the_state_of_the_feed_are_told(gateway, context, arrive, publish, finished, tmp_path):
    publish(finished)
    context.feed_ledger.delete_frames("north", NOON.replace(hour=11, minute=30))
    frame = context.feed_ledger.find_frame("north", NOON)
    context.store.put(frame.key, context.store.fetch(finished.input_key, tmp_path / "frame.nc"))
    arrive(-75)
    document = gateway.get("/v1/feeds/north/tiles.json").json()
    missing = [time[11:16] for time in document["missing"]]
    assert missing == ["10:50", "10:55", *(f"11:{minute:02d}" for minute in range(0, 30, 5))]
    assert document["status"] == "partial"
    assert "missing" in document["reason"]
    assert (document["age_minutes"], document["interval_minutes"], document["radar_product"]) == (
        0,
        5,
        "column maximum",
    )
    assert document["frames"][0]["coverage"] == 1


def test_a_place_has_the_forecast_of_another_model(gateway, challenged):
    asked = dict(zip(("lon", "lat"), WET, strict=True))
    own, other = (
        gateway.get("/v1/feeds/north/point", params={**asked, **more}).json()
        for more in ({}, {"model": "extrapolation@1"})
    )
    assert own["thresholds_mm_h"] == []
    assert (other["thresholds_mm_h"], other["reference_time"]) == ([0.1, 2.0], own["reference_time"])
    unknown = gateway.get("/v1/feeds/north/point", params={**asked, "model": "crystal-ball"}).json()
    assert unknown["type"] == "/problems/invalid-parameter"


def test_arrows_show_where_rain_goes(gateway, published, finish):
    east, south = np.full((2, 4), 10.0, np.float32), np.zeros((2, 4), np.float32)
    east[0, 0] = np.nan
    moving = RainMotion(GRID.x[4::10], GRID.y[4::10], eastward=east, northward=south)
    job = finish(GRID, motion=moving)
    found = gateway.get(f"/v1/nowcasts/{job.id}/motion.json").json()
    assert len(found["arrows"]) == 7
    for arrow in found["arrows"]:
        assert (arrow["speed_kmh"], arrow["direction_deg"]) == (36.0, 90)
        _, _, metres = Geod(ellps="WGS84").inv(*(arrow[key] for key in ("lon", "lat", "to_lon", "to_lat")))
        assert metres == pytest.approx(10 * 60 * found["minutes"], abs=20)
    none = gateway.get("/v1/feeds/north/motion.json").json()
    assert (none["arrows"], none["model"], none["reference_time"]) == ([], "persistence@1", "2026-06-01T12:00:00Z")
