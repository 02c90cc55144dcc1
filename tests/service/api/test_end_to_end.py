"""Real bytes through a real `echocast serve`: gateway, Redis, worker, result."""

import io
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
import xarray as xr
from PIL import Image

FINISHED = {"successful", "failed", "dismissed"}


@pytest.fixture(scope="module")
def client(stack):
    with httpx.Client(base_url=stack.url, timeout=90) as client:
        yield client


@pytest.fixture(scope="module")
def sample(client):
    return client.get("/sample").content


def follow(client, location):
    for _ in range(600):
        status = client.get(location).json()
        if status["status"] in FINISHED:
            return status
        time.sleep(0.1)
    raise AssertionError(status)


def test_a_sample_becomes_a_forecast(client, sample, tmp_path):
    answer = client.post(
        "/v1/nowcasts", files={"files": ("sample.nc", sample)}, data={"model": "extrapolation", "steps": "6"}
    )
    assert answer.status_code == 202
    status = follow(client, answer.headers["location"])
    assert (status["status"], status["model_used"]) == ("successful", "extrapolation@1")
    assert status["progress"] == {"done": 6, "total": 6}

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
        point = client.get(f"{answer.headers['location']}/point", params=place).json()
        said = [value["rain_rate"] for value in point["series"] if value["kind"] == "forecast"]
        expected = dataset["rainfall_rate"].values[:, row, column]
        np.testing.assert_allclose(np.array(said, float), expected, atol=1e-3)
    for frame in frames["frames"]:
        picture = Image.open(io.BytesIO(client.get(frame["href"]).content))
        assert picture.width >= frames["grid"]["nx"]
    moving = Image.open(io.BytesIO(client.get(links["self"] + "/result", headers={"Accept": "image/webp"}).content))
    assert moving.n_frames == len(frames["frames"])


def test_waiting_answers_with_the_result_or_with_the_problem(client, sample):
    data = {"model": "extrapolation"}
    answer = client.post("/v1/nowcasts", files={"files": ("s.nc", sample)}, data=data, headers={"Prefer": "wait=60"})
    assert (answer.status_code, answer.json()["status"]) == (200, "successful")
    answer = client.post("/v1/nowcasts", files={"files": ("notes.txt", b"hello")}, headers={"Prefer": "wait=60"})
    body = answer.json()
    assert (answer.status_code, body["type"]) == (422, "/problems/not-a-radar-file")
    assert body["where"] == "notes.txt"
    assert body["mend"]
    assert client.get(answer.headers["location"]).json()["status"] == "failed"


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no /proc: what a process has loaded is not told")
def test_the_gateway_that_served_all_this_has_loaded_no_part_of_the_science(stack, client, sample):
    answer = client.post("/v1/nowcasts", files={"files": ("s.nc", sample)}, headers={"Prefer": "wait=60"})
    assert answer.json()["status"] == "successful"
    for path in ("/point?x=0.5&y=0.5", "/result?format=webp"):
        assert client.get(answer.headers["location"] + path).status_code == 200
    loaded = Path(f"/proc/{stack.process.pid}/maps").read_text()
    assert "numpy" in loaded
    for package in ("onnxruntime", "torch", "cv2"):
        assert f"/{package}/" not in loaded
