"""Real bytes through a real `echocast serve`: gateway, Redis, worker, result."""

import base64
import io
import json
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import httpx
import numpy as np
import pytest
import xarray as xr
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from tests.patience import WAIT_SECONDS, wait_until

FINISHED = {"successful", "failed", "dismissed"}


@pytest.fixture(scope="module")
def client(stack):
    with httpx.Client(base_url=stack.url, timeout=WAIT_SECONDS) as client:
        yield client


@pytest.fixture(scope="module")
def sample(client):
    return client.get("/sample").content


def follow(client, location):
    wait_until(lambda: client.get(location).json()["status"] in FINISHED, f"{location} to finish")
    return client.get(location).json()


def test_a_sample_becomes_a_forecast(client, sample, tmp_path):
    response = client.post(
        "/v1/nowcasts", files={"files": ("sample.nc", sample)}, data={"model": "extrapolation", "steps": "6"}
    )
    assert response.status_code == 202
    status = follow(client, response.headers["location"])
    assert (status["status"], status["model_used"]) == ("successful", "extrapolation@1")
    assert status["progress"] == {"done": 6, "total": 6}
    took = (datetime.fromisoformat(status["finished"]) - datetime.fromisoformat(status["created"])).total_seconds()
    timings = status["timings"]
    assert timings.keys() == {"queue_seconds", "read_seconds", "compute_seconds", "write_seconds"}
    assert min(timings.values()) > 0
    assert sum(timings.values()) <= took

    links = {link["rel"]: link["href"] for link in status["links"]}
    path = tmp_path / "result.nc"
    path.write_bytes(client.get(links["results"]).content)
    frames = client.get(links["items"]).json()
    with xr.open_dataset(path) as dataset:
        assert dataset["rainfall_rate"].attrs["units"] == "mm h-1"
        ahead = [frame for frame in frames["frames"] if frame["kind"] == "forecast"]
        times = np.array([frame["valid_time"].removesuffix("Z") for frame in ahead], "datetime64[ns]")
        assert (dataset["time"].values == times).all()
        x, y = dataset["x"].values, dataset["y"].values
        row, column = y.size // 3, x.size // 2
        from_north = row if y[0] > y[-1] else y.size - 1 - row
        place = {"x": (column + 0.5) / x.size, "y": (from_north + 0.5) / y.size}
        point = client.get(f"{response.headers['location']}/point", params=place).json()
        rates = [value["rain_rate"] for value in point["series"] if value["kind"] == "forecast"]
        expected = dataset["rainfall_rate"].values[:, row, column]
        np.testing.assert_allclose(np.array(rates, float), expected, atol=1e-3)
    for frame in frames["frames"]:
        picture = Image.open(io.BytesIO(client.get(frame["href"]).content))
        assert picture.width >= frames["grid"]["nx"]
    moving = Image.open(io.BytesIO(client.get(links["self"] + "/result", headers={"Accept": "image/webp"}).content))
    assert moving.n_frames == len(frames["frames"])


def test_the_process_of_ogc_makes_the_same_forecast(client, sample, tmp_path):
    inputs = {"files": {"value": base64.b64encode(sample).decode(), "encoding": "base64"}, "model": "extrapolation"}
    response = client.post("/processes/nowcast/execution", json={"inputs": inputs})
    assert response.status_code == 201
    status = follow(client, response.headers["location"])
    assert (status["status"], status["progress"]) == ("successful", 100)
    results = client.get(f"{response.headers['location']}/results")
    waited = client.post("/processes/nowcast/execution", json={"inputs": inputs}, headers={"Prefer": "wait=60"})
    form = client.post("/v1/nowcasts", files={"files": ("s.nc", sample)}, data={"model": "extrapolation"})
    follow(client, form.headers["location"])
    contents = (results.content, waited.content, client.get(f"{form.headers['location']}/result").content)
    rains = []
    for content in contents:
        (tmp_path / "result.nc").write_bytes(content)
        rains.append(xr.load_dataset(tmp_path / "result.nc")["rainfall_rate"].values)
    np.testing.assert_array_equal(rains[0], rains[1])
    np.testing.assert_array_equal(rains[0], rains[2])
    broken = {"inputs": {"files": base64.b64encode(b"hello").decode()}}
    refused = client.post("/processes/nowcast/execution", json=broken, headers={"Prefer": "wait=60"})
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/not-a-radar-file")


def test_a_request_that_waits_gets_the_result_or_the_problem(client, sample):
    data = {"model": "extrapolation"}
    response = client.post("/v1/nowcasts", files={"files": ("s.nc", sample)}, data=data, headers={"Prefer": "wait=60"})
    assert (response.status_code, response.json()["status"]) == (200, "successful")
    response = client.post("/v1/nowcasts", files={"files": ("notes.txt", b"hello")}, headers={"Prefer": "wait=60"})
    body = response.json()
    assert (response.status_code, body["type"]) == (422, "/problems/not-a-radar-file")
    assert body["where"] == "notes.txt"
    assert body["hint"]
    assert client.get(response.headers["location"]).json()["status"] == "failed"


def nowcast_of(client, paths, folder):
    """The service's status and result for these files, by the default model."""
    files = [("files", (path.name, path.read_bytes())) for path in paths]
    response = client.post("/v1/nowcasts", files=files, data={"steps": "12"})
    assert response.status_code == 202
    status = follow(client, response.headers["location"])
    assert status["status"] == "successful", status["problem"]
    result = folder / "service.nc"
    result.write_bytes(client.get(f"{response.headers['location']}/result").content)
    return status, result


def test_the_command_and_the_service_give_the_same_numbers(client, sample, tmp_path):
    """To the packing, 0.01 mm/h; from one file for each time, in any order."""
    frames = []
    (tmp_path / "sample.nc").write_bytes(sample)
    with xr.open_dataset(tmp_path / "sample.nc", mask_and_scale=False) as whole:
        for number in range(4):
            frames.append(tmp_path / f"{number}.nc")
            whole.isel(time=[number]).to_netcdf(frames[-1])
    frames.reverse()
    status, by_service = nowcast_of(client, frames, tmp_path)
    by_command = tmp_path / "command.nc"
    command = [sys.executable, "-m", "service.cli", "nowcast", *map(str, frames), "--steps", "12", "--json"]
    done = subprocess.run(
        [*command, "--out", str(by_command)], capture_output=True, text=True, timeout=WAIT_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"] == status["model_used"]
    with xr.open_dataset(by_service) as service, xr.open_dataset(by_command) as alone:
        assert service.rainfall_rate.shape == (12, 320, 320)
        assert float(service.rainfall_rate.max()) > 1
        for name in ("time", "forecast_period", "y", "x"):
            assert (service[name].values == alone[name].values).all(), name
        np.testing.assert_allclose(service.rainfall_rate, alone.rainfall_rate, rtol=0, atol=0.0101)


def test_real_frames_become_a_real_forecast(client, real_data, tmp_path):
    frames = sorted((real_data / "knmi").glob("*.h5"))[:6]
    if len(frames) < 6:
        pytest.skip(f"{real_data / 'knmi'} holds fewer than 6 frames")
    status, result = nowcast_of(client, frames, tmp_path)
    assert status["files"] == [frame.name for frame in frames]
    with xr.open_dataset(result) as forecast:
        assert forecast.rainfall_rate.shape == (12, 765, 700)
        assert forecast.rainfall_rate.attrs["units"] == "mm h-1"
        newest = np.datetime64(re.sub(r".*_(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)", r"\1-\2-\3T\4:\5", frames[-1].stem))
        assert (forecast.time.values == newest + np.arange(1, 13) * np.timedelta64(5, "m")).all()
        known = np.isfinite(forecast.rainfall_rate.values)
        assert 0.1 < known.mean() < 1, "the composite is a circle in its rectangle"
        assert np.nanmax(forecast.rainfall_rate.values) > 0.1


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no /proc: what a process has loaded is not told")
def test_the_gateway_has_loaded_no_torch_and_no_onnxruntime(stack, client, sample):
    data = {"model": "extrapolation", "steps": "2"}
    response = client.post("/v1/nowcasts", files={"files": ("s.nc", sample)}, data=data)
    assert follow(client, response.headers["location"])["status"] == "successful"
    for path in ("/point?x=0.5&y=0.5", "/result?format=webp"):
        assert client.get(response.headers["location"] + path).status_code == 200
    loaded = Path(f"/proc/{stack.process.pid}/maps").read_text()
    assert "numpy" in loaded
    for package in ("onnxruntime", "torch", "cv2"):
        assert f"/{package}/" not in loaded


def test_the_gateway_counts_for_all_processes_of_the_service(client, sample):
    def value(name, **labels):
        families = text_string_to_metric_families(client.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    finished = {"kind": "upload", "status": "successful"}
    before = value("echocast_jobs_finished_total", **finished)
    response = client.post(
        "/v1/nowcasts", files={"files": ("sample.nc", sample)}, data={"model": "extrapolation", "steps": "2"}
    )
    follow(client, response.headers["location"])
    wait_until(lambda: value("echocast_jobs_finished_total", **finished) > before, "the worker's count")
    for process in ("gateway", "worker", "worker-child", "beat"):
        assert value("echocast_processes", process=process) == 1, process
    assert value("echocast_workers_alive") == 1
    assert value("echocast_component_up", component="broker") == 1
    assert value("echocast_jobs", status="running") == 0
