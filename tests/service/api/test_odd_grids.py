"""Results whose grid or times cannot be drawn on a map: every route has a response, and none is 500."""

from __future__ import annotations

import netCDF4
import numpy as np
import pytest
from pyproj import CRS

from model.core.forecast_file import Forecast, write_netcdf
from model.core.grid import Grid
from service.jobs.job import Job
from service.store import result_key

REFERENCE = np.datetime64("2026-06-01T12:00", "ns")
ROUTES = ("frames", "frames/0.png", "point?x=0.5&y=0.5", "point?lon=5&lat=50", "result", "result?format=png")
ROUTES += ("result?format=gif", "result?format=webp")
KM = np.arange(20) * 1000.0
SITE = 'ENGCRS["site",EDATUM["d"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'


@pytest.fixture
def published(context, tmp_path):
    """A successful job whose result lies on a grid, and is changed afterwards."""

    def make(crs, x, y, change=lambda file: None):
        job = context.ledger.claim(context.ledger.create(Job(model="auto", steps=2, inputs=[])).id, 60)
        grid = Grid(crs=CRS.from_user_input(crs), x=x, y=y)
        forecast = Forecast(
            rain_rate=np.zeros((2, *grid.shape), np.float32),
            reference_time=REFERENCE,
            lead_minutes=np.array([5.0, 10.0]),
            grid=grid,
            attributes={},
        )
        write_netcdf(forecast, tmp_path / "result.nc")
        with netCDF4.Dataset(tmp_path / "result.nc", "a") as file:
            change(file)
        context.store.put(result_key(job.id), tmp_path / "result.nc")
        context.ledger.succeed(job, result_key=result_key(job.id), input_key="")
        return job.id

    return make


@pytest.mark.parametrize(
    ("crs", "unit"),
    [
        ("ESRI:104905", 1e-3),  # Mars, in degrees
        ("+proj=eqc +R=3396190 +units=m", 1.0),
        ("+proj=longlat +ellps=clrk66 +nadgrids=there_is_no_such_grid.gsb", 1e-3),
    ],
)
def test_a_grid_without_longitude_and_latitude_has_no_bounds(gateway, published, crs, unit):
    job = published(crs, KM * unit, KM[::-1] * unit)
    responses = {route: gateway.get(f"/v1/nowcasts/{job}/{route}") for route in ROUTES}
    refused = responses.pop("point?lon=5&lat=50")
    assert {route: response.status_code for route, response in responses.items()} == dict.fromkeys(responses, 200)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/not-on-earth")
    assert "x and y" in refused.json()["hint"]
    frames, point = (responses[route].json() for route in ("frames", "point?x=0.5&y=0.5"))
    assert (frames["grid"]["bounds"], frames["graticule"]) == (None, [])
    assert (point["lon"], point["lat"]) == (None, None)


@pytest.mark.parametrize("crs", ["EPSG:3035", "EPSG:3857", "+proj=geos +h=35785831 +lon_0=0 +sweep=y"])
def test_pixels_off_the_earth_have_no_longitude(gateway, published, crs):
    job = published(crs, KM + 1e9, KM[::-1] + 1e9)
    for route in ROUTES:
        response = gateway.get(f"/v1/nowcasts/{job}/{route}")
        off = "point" in route and not (crs == "EPSG:3857" and "x=" in route)  # that one goes around the earth
        assert response.status_code == (422 if off else 200), response.text


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file["crs"].setncattr("crs_wkt", "NONSENSE"),
        lambda file: file["crs"].setncattr("crs_wkt", SITE),
        lambda file: file["crs"].setncattr("crs_wkt", CRS.from_epsg(5773).to_wkt()),
        lambda file: file["crs"].setncattr("crs_wkt", CRS.from_epsg(4978).to_wkt()),
        lambda file: file["time"].__setitem__(slice(None), np.array([2**60, 2**61])),
        lambda file: file["forecast_period"].__setitem__(slice(None), np.array([np.nan, np.nan])),
        lambda file: file["x"].__setitem__(slice(None), np.nan),
        lambda file: file.renameVariable("rainfall_rate", "rain"),
    ],
    ids=["crs", "site", "heights", "geocentric", "time", "lead", "x", "variable"],
)
def test_a_result_that_cannot_be_drawn_can_be_fetched(gateway, published, change):
    job = published("EPSG:3035", 4e6 + KM, 3e6 + KM[::-1], change)
    for route in ROUTES:
        response = gateway.get(f"/v1/nowcasts/{job}/{route}")
        if route == "result":
            assert (response.status_code, response.content[:4]) == (200, b"\x89HDF")
        else:
            assert (response.status_code, response.json()["type"]) == (422, "/problems/cannot-show"), route


@pytest.mark.parametrize("first", [0.0, -180.0, 180.0, 5.0])
def test_a_longitude_is_found_with_either_convention(gateway, published, first):
    job = published("EPSG:4326", first + np.arange(0, 360, 10.0), np.arange(80, -90, -10.0))
    for lon in (-179.9, -0.05, 0.0, 179.9, 359.95, 355.1):
        point = gateway.get(f"/v1/nowcasts/{job}/point?lon={lon}&lat=50").json()
        assert abs((point["lon"] - lon + 180) % 360 - 180) <= 5.01
