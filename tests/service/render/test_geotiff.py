"""GeoTIFF of a forecast: what a GIS reads is what the netCDF file has, where it has it."""

import json
import subprocess
import sys

import numpy as np
import pytest
from pyproj import CRS

from model.core.errors import MissingDependency
from model.core.forecast_file import Forecast, write_netcdf
from model.core.forecast_output import ForecastOutput
from model.core.grid import Grid
from service.render import geotiff
from service.render.forecast_reader import RainFile
from service.render.geotiff import CannotEncode, write_geotiff

READ = """
import json, sys
import numpy as np, rasterio
with rasterio.open(sys.argv[1]) as file:
    np.save(sys.argv[2], file.read())
    print(json.dumps({
        "driver": file.driver, "layout": file.tags(ns="IMAGE_STRUCTURE").get("LAYOUT"), "block": file.block_shapes[0],
        "overviews": file.overviews(1), "nodata": file.nodata, "scales": file.scales, "offsets": file.offsets,
        "units": file.units, "dtypes": file.dtypes, "descriptions": file.descriptions, "tags": file.tags(),
        "band_tags": file.tags(file.count), "transform": file.transform.to_gdal(), "crs": file.crs.to_wkt(),
    }))
"""


@pytest.fixture
def encoded(tmp_path):
    """Writes rain, encodes it, and reads it as a GIS does, in a process of its own: packed values and header."""

    def encode(rain, grid, **parts):
        forecast = Forecast(
            rain_rate=rain,
            reference_time=np.datetime64("2026-06-01T12:00", "ns"),
            lead_minutes=np.arange(1, len(rain) + 1) * 5.0,
            grid=grid,
            attributes={"model": "persistence@1"},
            **parts,
        )
        write_netcdf(forecast, tmp_path / "a forecast.nc")
        file = RainFile.open(tmp_path / "a forecast.nc")
        write_geotiff(file, tmp_path / "f.tif")
        command = [sys.executable, "-c", READ, str(tmp_path / "f.tif"), str(tmp_path / "f.npy")]
        header = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a forecast.nc", "f.npy", "f.tif"]
        return file, np.load(tmp_path / "f.npy"), json.loads(header)

    return encode


def laea(shape, pixel_size=1000.0):
    return Grid.regular(CRS.from_epsg(3035), shape=shape, pixel_size=pixel_size, centre=(4_000_000.0, 3_000_000.0))


def storm(shape):
    rain = np.random.default_rng(7).gamma(0.3, 4.0, shape).astype(np.float32)
    rain[:, :5, :9] = np.nan
    return rain


def south_up(grid):
    return Grid(crs=grid.crs, x=grid.x, y=grid.y[::-1])


GRIDS = {
    "projected": laea((40, 60)),
    "south up": south_up(laea((40, 60))),
    "degrees": Grid.regular(CRS.from_epsg(4326), shape=(40, 60), pixel_size=0.01, centre=(5.2, 52.1)),
    "kilometres": Grid.regular(
        CRS.from_proj4("+proj=stere +lat_0=90 +lon_0=0 +lat_ts=60 +a=6378.14 +b=6356.75 +units=km"),
        shape=(40, 60),
        pixel_size=1.0,
        centre=(300.0, -4000.0),
    ),
}


@pytest.mark.parametrize("name", GRIDS)
def test_every_pixel_is_where_and_what_the_netcdf_file_has(encoded, name):
    grid = GRIDS[name]
    file, packed, header = encoded(storm((3, 40, 60)), grid)
    assert header["dtypes"] == ["uint16"] * 3
    assert (header["scales"], header["offsets"], header["units"]) == ([0.01] * 3, [0.0] * 3, ["mm h-1"] * 3)
    rain = np.where(packed == header["nodata"], np.nan, packed * 0.01)
    assert np.isnan(rain).any()
    for number in range(3):
        np.testing.assert_allclose(rain[number], file.frame(number), atol=1e-4)
    x0, dx, skew_x, y0, skew_y, dy = header["transform"]
    assert (skew_x, skew_y) == (0.0, 0.0)
    assert (x0 + dx / 2, x0 + 59.5 * dx) == pytest.approx((grid.x[0], grid.x[-1]), abs=abs(dx) * 1e-6)
    assert (y0 + dy / 2, y0 + 39.5 * dy) == pytest.approx((grid.y.max(), grid.y.min()), abs=abs(dy) * 1e-6)
    written = Grid(crs=CRS.from_wkt(header["crs"]), x=grid.x, y=grid.y)
    place = (grid.x[7], grid.y[11])
    np.testing.assert_allclose(written.lon_lat(*place), grid.lon_lat(*place), atol=1e-7)


def test_each_band_is_a_lead_time_with_its_valid_time(encoded):
    _, _, header = encoded(storm((2, 40, 60)), laea((40, 60)))
    assert header["descriptions"] == ["2026-06-01T12:05Z (+5 min)", "2026-06-01T12:10Z (+10 min)"]
    assert header["band_tags"] == {"valid_time": "2026-06-01T12:10:00Z", "lead_minutes": "10"}
    assert header["tags"]["model"] == "persistence@1"
    assert header["tags"]["field"] == "deterministic"


def test_a_large_forecast_is_laid_out_for_the_cloud(encoded):
    """Tiles and overviews, whose pixels are pixels of the forecast: no mean of missing data and rain."""
    file, _, header = encoded(storm((1, 700, 1100)), laea((700, 1100)))
    assert (header["driver"], header["layout"], header["block"]) == ("GTiff", "COG", [512, 512])
    assert header["overviews"] == [2, 4]
    assert file.path.with_name("f.tif").stat().st_size > 0


def test_of_a_forecast_with_members_the_field_is_written(encoded):
    rain = storm((2, 20, 30))
    members = np.stack([rain, 2 * rain])
    _, packed, header = encoded(rain, laea((20, 30)), members=members, field="sharp", output=ForecastOutput(members=2))
    assert packed.shape == (2, 20, 30)
    known = ~np.isnan(rain)
    np.testing.assert_allclose(packed[known] * 0.01, rain[known], atol=0.0051)
    assert header["tags"]["field"] == "sharp"


def test_without_rasterio_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(geotiff, "is_installed", lambda name: False)
    with pytest.raises(MissingDependency, match="rasterio") as error:
        write_geotiff(None, tmp_path / "f.tif")
    assert "echocast[geotiff]" in error.value.hint


def test_a_file_that_cannot_be_written_is_an_error_with_a_way_out(tmp_path):
    write_netcdf(
        Forecast(
            rain_rate=storm((1, 20, 30)),
            reference_time=np.datetime64("2026-06-01T12:00", "ns"),
            lead_minutes=np.array([5.0]),
            grid=laea((20, 30)),
            attributes={},
        ),
        tmp_path / "f.nc",
    )
    file = RainFile.open(tmp_path / "f.nc")
    with pytest.raises(CannotEncode) as error:
        write_geotiff(file, tmp_path / "absent" / "f.tif")
    assert "netcdf" in error.value.hint
