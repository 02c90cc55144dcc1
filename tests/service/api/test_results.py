"""Following, fetching, looking at and cancelling a nowcast."""

import io

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from pyproj import CRS

from model.core.grid import Grid
from service.jobs.job import Problem


def code_of(response):
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["type"].removeprefix("/problems/")


def test_a_running_nowcast_has_progress_and_no_result(gateway, running):
    status = gateway.get(f"/v1/nowcasts/{running.id}")
    assert status.headers["cache-control"] == "no-store"
    assert status.json()["progress"] == {"done": 2, "total": 4}
    response = gateway.get(f"/v1/nowcasts/{running.id}/result")
    assert code_of(response) == (409, "not-finished")
    assert response.headers["retry-after"] == "1"
    assert response.json()["job_status"] == "running"
    assert code_of(gateway.get(f"/v1/nowcasts/{running.id}/frames")) == (409, "not-finished")
    assert code_of(gateway.get(f"/v1/nowcasts/{running.id}/frames/0.png")) == (409, "not-finished")


def test_every_route_of_a_failed_nowcast_returns_its_problem(gateway, context, accepted):
    job = context.ledger.claim(accepted.id, 60)
    reason = Problem(code="too-few-frames", what="2 frames", where="input", hint="Give 4")
    context.ledger.fail(job, reason)
    status = gateway.get(f"/v1/nowcasts/{job.id}").json()
    assert (status["status"], status["problem"]["type"]) == ("failed", "/problems/too-few-frames")
    for path in ("result", "frames", "frames/0.png", "point?x=0&y=0"):
        response = gateway.get(f"/v1/nowcasts/{job.id}/{path}")
        assert code_of(response) == (422, "too-few-frames")
        assert response.json()["hint"] == "Give 4"


def test_an_unknown_nowcast_is_404_everywhere(gateway):
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/result"),
        ("GET", "/frames"),
        ("GET", "/frames/0.png"),
        ("GET", "/point?x=0&y=0"),
    ):
        assert code_of(gateway.request(method, f"/v1/nowcasts/nope{path}")) == (404, "unknown-job")


def test_cancelling_twice_has_the_same_response_and_the_result_is_gone(gateway, running):
    for _ in range(2):
        response = gateway.delete(f"/v1/nowcasts/{running.id}")
        assert (response.status_code, response.json()["status"]) == (200, "dismissed")
    assert code_of(gateway.get(f"/v1/nowcasts/{running.id}/result")) == (410, "dismissed")


def test_a_finished_nowcast_is_not_cancelled(gateway, finished):
    assert code_of(gateway.delete(f"/v1/nowcasts/{finished.id}")) == (409, "already-finished")
    assert gateway.get(f"/v1/nowcasts/{finished.id}/result").status_code == 200


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, "application/x-netcdf"),
        ("*/*", "application/x-netcdf"),
        ("image/webp", "image/webp"),
        ("image/gif;q=0.5, image/png;q=0.9", "image/png"),
        ("text/html, */*;q=0.1", "application/x-netcdf"),
        ("image/*, image/gif;q=0", "image/webp"),
    ],
)
def test_the_format_follows_accept(gateway, finished, accept, media):
    headers = {"Accept": accept} if accept else {"Accept": ""}
    response = gateway.get(f"/v1/nowcasts/{finished.id}/result", headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (200, media)


def test_an_unavailable_format_is_refused(gateway, finished):
    url = f"/v1/nowcasts/{finished.id}/result"
    assert code_of(gateway.get(url, headers={"Accept": "text/csv"})) == (406, "not-acceptable")
    assert code_of(gateway.get(url, params={"format": "bmp"})) == (406, "not-acceptable")
    assert code_of(gateway.get(url, params={"format": "png", "frame": 99})) == (404, "no-such-frame")
    assert code_of(gateway.get(url, params={"format": "png", "frame": "x"})) == (422, "invalid-parameter")


def test_the_netcdf_is_the_published_file_in_whole_or_in_part(gateway, finished, tmp_path):
    url = f"/v1/nowcasts/{finished.id}/result"
    whole = gateway.get(url)
    assert whole.headers["content-disposition"] == 'attachment; filename="nowcast_20260601T1200Z.nc"'
    assert "immutable" in whole.headers["cache-control"]
    path = tmp_path / "result.nc"
    path.write_bytes(whole.content)
    with xr.open_dataset(path) as dataset:
        assert dataset["rainfall_rate"].shape == (4, 20, 40)
    part = gateway.get(url, headers={"Range": "bytes=0-7"})
    assert (part.status_code, part.content) == (206, whole.content[:8])
    head = gateway.head(url)
    assert (head.headers["content-length"], head.headers["accept-ranges"]) == (str(len(whole.content)), "bytes")
    same = gateway.get(url, headers={"If-None-Match": whole.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")


def test_the_frames_are_listed_with_times_legend_and_place(gateway, finished):
    body = gateway.get(f"/v1/nowcasts/{finished.id}/frames").json()
    assert [frame["kind"] for frame in body["frames"]] == ["observed"] * 3 + ["forecast"] * 4
    assert [frame["lead_minutes"] for frame in body["frames"]] == [-10, -5, 0, 5, 10, 15, 20]
    assert body["reference_time"] == body["frames"][2]["valid_time"] == "2026-06-01T12:00:00Z"
    assert body["note"] == "the frames are too few for the default model"
    assert [item["lower"] for item in body["legend"]["classes"]] == [0.1, 0.5, 1, 2, 5, 10, 20, 30, 50, 100]
    assert body["grid"]["extent_km"] == [40, 20]
    west, south, east, north = body["grid"]["bounds"]
    assert west < east
    assert south < north
    assert body["graticule"]


def test_a_frame_distinguishes_rain_dry_and_no_data(gateway, finished):
    response = gateway.get(f"/v1/nowcasts/{finished.id}/frames/4.png")
    assert response.headers["content-type"] == "image/png"
    picture = np.asarray(Image.open(io.BytesIO(response.content)).convert("RGBA"))
    height, width = picture.shape[:2]
    rain, dry, missing = (picture[height // 2, int(width * at)] for at in (0.2, 0.6, 0.9))
    assert tuple(rain) == (0x2F, 0x99, 0xE8, 255)
    assert dry[3] == 0
    assert missing[3] == 255
    assert np.ptp(missing[:3].astype(int)) < 20
    assert code_of(gateway.get(f"/v1/nowcasts/{finished.id}/frames/7.png")) == (404, "no-such-frame")
    assert code_of(gateway.get(f"/v1/nowcasts/{finished.id}/frames/-1.png")) == (404, "no-such-frame")


def test_a_point_has_the_times_when_rain_starts_and_ends(gateway, finished):
    body = gateway.get(f"/v1/nowcasts/{finished.id}/point", params={"x": 0.1, "y": 0.5}).json()
    assert [value["rain_rate"] for value in body["series"]] == [0, 0, 0, 0, 3, 3, 0]
    assert body["summary"] == {
        "state": "rain-coming",
        "starts": "2026-06-01T12:10:00Z",
        "ends": "2026-06-01T12:20:00Z",
        "peak": 3.0,
        "peak_time": "2026-06-01T12:10:00Z",
        "total_mm": 0.5,
        "frames_without_data": 0,
    }
    there = gateway.get(f"/v1/nowcasts/{finished.id}/point", params={"lon": body["lon"], "lat": body["lat"]}).json()
    assert there == body


def test_a_point_without_data_is_null_and_never_dry(gateway, finished):
    body = gateway.get(f"/v1/nowcasts/{finished.id}/point", params={"x": 0.9, "y": 0.5}).json()
    assert [value["rain_rate"] for value in body["series"]] == [0, 0, 0, None, None, None, None]
    assert body["summary"]["state"] == "no-data"
    assert body["summary"]["frames_without_data"] == 4
    dry = gateway.get(f"/v1/nowcasts/{finished.id}/point", params={"x": 0.6, "y": 0.5}).json()
    assert dry["summary"]["state"] == "dry"


def test_an_invalid_number_is_quoted(gateway, finished):
    body = gateway.get(f"/v1/nowcasts/{finished.id}/point", params={"lon": "5,2", "lat": 52}).json()
    assert (body["where"], body["what"]) == ("lon", "'5,2' is not a number, such as 5.2")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"x": 1.5, "y": 0}, "outside-grid"),
        ({"lon": 0, "lat": 0}, "outside-grid"),
        ({"lon": 500, "lat": 95}, "outside-grid"),
        ({"x": "nan", "y": 0}, "outside-grid"),
        ({"x": 0.5}, "invalid-parameter"),
        ({}, "invalid-parameter"),
        ({"x": 0.1, "y": 0.1, "lon": 5, "lat": 52}, "invalid-parameter"),
        ({"x": "west", "y": 0}, "invalid-parameter"),
    ],
)
def test_an_invalid_place_is_refused(gateway, finished, query, code):
    assert code_of(gateway.get(f"/v1/nowcasts/{finished.id}/point", params=query)) == (422, code)


def test_a_result_that_was_deleted_is_gone(gateway, context, finished):
    context.store.delete_prefix(f"nowcasts/{finished.id}")
    assert code_of(gateway.get(f"/v1/nowcasts/{finished.id}/frames")) == (410, "missing-object")


ODD_GRIDS = {
    "a rotated pole": (
        {
            "grid_mapping_name": "rotated_latitude_longitude",
            "grid_north_pole_latitude": 39.25,
            "grid_north_pole_longitude": -162.0,
        },
        (0.1, 0.0, 0.0),
    ),
    "a full disc, whose corners are in space": (
        {
            "grid_mapping_name": "geostationary",
            "perspective_point_height": 35785831.0,
            "longitude_of_projection_origin": 0.0,
            "sweep_angle_axis": "y",
            "semi_major_axis": 6378137.0,
            "semi_minor_axis": 6356752.3,
        },
        (300_000.0, 0.0, 0.0),
    ),
    "over 180 degrees": (CRS.from_epsg(32701).to_cf(), (2000.0, 160_000.0, 8_000_000.0)),
    "around the earth": (CRS.from_epsg(4326).to_cf(), (9.0, 175.5, 0.0)),
}


@pytest.mark.parametrize("name", ODD_GRIDS)
def test_every_result_is_available_on_any_grid(gateway, finish, name):
    mapping, (size, x, y) = ODD_GRIDS[name]
    vertical = size if size > 9 else size * 0.9
    square = Grid.regular(CRS.from_cf(mapping), shape=(20, 40), pixel_size=size, centre=(x, y))
    job = finish(Grid(crs=square.crs, x=square.x, y=square.y * vertical / size))
    manifest = gateway.get(f"/v1/nowcasts/{job.id}/frames")
    assert manifest.status_code == 200
    assert all(np.isfinite(manifest.json()["grid"]["bounds"]))
    for path in ("frames/0.png", "result?format=webp", "result"):
        assert gateway.get(f"/v1/nowcasts/{job.id}/{path}").status_code == 200
    middle = gateway.get(f"/v1/nowcasts/{job.id}/point", params={"x": 0.51, "y": 0.51}).json()
    for lon in (middle["lon"], middle["lon"] + 360, middle["lon"] - 360):
        there = gateway.get(f"/v1/nowcasts/{job.id}/point", params={"lon": lon, "lat": middle["lat"]})
        assert there.status_code == 200
        assert (there.json()["x"], there.json()["y"]) == pytest.approx((middle["x"], middle["y"]))


def test_a_pixel_in_space_is_refused(gateway, finish):
    mapping, (size, x, y) = ODD_GRIDS["a full disc, whose corners are in space"]
    job = finish(Grid.regular(CRS.from_cf(mapping), shape=(20, 40), pixel_size=size, centre=(x, y)))
    assert code_of(gateway.get(f"/v1/nowcasts/{job.id}/point", params={"x": 0, "y": 0})) == (422, "outside-grid")
