"""GeoTIFF over HTTP, and the CRS and transform of /frames."""

import subprocess
import sys

import numpy as np
import pytest
from pyproj import CRS

from model.core.errors import MissingDependency
from service.api.nowcasts import geotiff
from service.store import geotiff_key

READ = """
import sys, numpy as np, rasterio
with rasterio.open(sys.argv[1]) as file:
    packed = file.read(2)
    np.save(sys.argv[2], np.where(packed == file.nodata, np.nan, packed * file.scales[1]))
    print(file.count, file.crs.to_epsg(), *file.transform.to_gdal())
"""


def test_a_forecast_is_fetched_as_geotiff_on_the_grid_of_frames(gateway, context, finished, tmp_path):
    path = f"/v1/nowcasts/{finished.id}"
    response = gateway.get(f"{path}/result", headers={"Accept": "image/tiff"})
    assert (response.status_code, response.headers["content-type"]) == (200, "image/tiff; application=geotiff")
    assert response.headers["content-disposition"] == 'attachment; filename="nowcast_20260601T1200Z.tif"'
    (tmp_path / "f.tif").write_bytes(response.content)
    command = [sys.executable, "-c", READ, str(tmp_path / "f.tif"), str(tmp_path / "rain.npy")]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()
    grid = gateway.get(f"{path}/frames").json()["grid"]
    assert printed[:2] == ["4", str(grid["epsg"])]
    assert [float(value) for value in printed[2:]] == grid["transform"] == [3_980_000, 1000, 0, 3_010_000, 0, -1000]
    assert CRS.from_wkt(grid["crs_wkt"]).to_epsg() == grid["epsg"] == 3035
    rain = np.load(tmp_path / "rain.npy")
    assert np.isnan(rain[:, 30:]).all()
    np.testing.assert_allclose(rain[:, :20], 3.0, atol=0.006)
    assert context.store.exists(geotiff_key(finished.id))


def test_the_geotiff_is_made_once_and_read_in_ranges(gateway, finished, monkeypatch):
    path = f"/v1/nowcasts/{finished.id}/result?format=geotiff"
    whole = gateway.get(path)
    monkeypatch.setattr(geotiff, "write_geotiff", None)
    part = gateway.get(path, headers={"Range": "bytes=0-15"})
    assert (part.status_code, part.content) == (206, whole.content[:16])
    known = {"If-None-Match": whole.headers["etag"]}
    assert gateway.get(path, headers=known).status_code == 304


def test_without_rasterio_the_answer_names_the_extra(gateway, finished, monkeypatch):
    def absent():
        raise MissingDependency("GeoTIFF needs rasterio", where="format", hint="pip install 'echocast[geotiff]'")

    monkeypatch.setattr(geotiff, "check_geotiff", absent)
    response = gateway.get(f"/v1/nowcasts/{finished.id}/result?format=geotiff")
    assert (response.status_code, response.json()["type"]) == (406, "/problems/not-acceptable")
    assert "echocast[geotiff]" in response.json()["hint"]


def test_the_status_leads_to_it_where_it_can_be_made(gateway, finished, monkeypatch):
    def links():
        return {link["type"]: link["href"] for link in gateway.get(f"/v1/nowcasts/{finished.id}").json()["links"]}

    assert gateway.get(links()["image/tiff; application=geotiff"]).status_code == 200
    monkeypatch.setattr("service.status.is_installed", lambda package: False)
    assert "image/tiff; application=geotiff" not in links()


def test_jobs_of_ogc_have_it_too(gateway, finished):
    result = gateway.get(f"/jobs/{finished.id}/results", headers={"Accept": "image/tiff"})
    assert result.headers["content-type"] == "image/tiff; application=geotiff"


@pytest.mark.parametrize("accept", ["*/*", "image/*"])
def test_a_client_that_takes_anything_gets_no_geotiff(gateway, finished, accept):
    response = gateway.get(f"/v1/nowcasts/{finished.id}/result", headers={"Accept": accept})
    assert "tiff" not in response.headers["content-type"]
