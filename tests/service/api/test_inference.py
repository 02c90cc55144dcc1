"""The Open Inference Protocol: health, and models with their tensors."""

import shutil

import httpx
import pytest

from tests.packages import SHIPPED_REFERENCE, copied
from tests.patience import WAIT_SECONDS


def test_the_server_is_live_and_says_what_it_is(gateway):
    assert gateway.get("/v2/health/live").json() == {"live": True}
    server = gateway.get("/v2").json()
    assert (server["name"], server["extensions"]) == ("echocast", [])
    assert server["version"] == gateway.get("/openapi.json").json()["info"]["version"]


@pytest.mark.parametrize(
    "path", ["health/ready", "models/extrapolation/ready", "models/extrapolation/versions/1/ready"]
)
def test_without_a_worker_nothing_is_ready(gateway, path):
    response = gateway.get(f"/v2/{path}")
    assert (response.status_code, response.json()["ready"]) == (503, False)
    assert response.headers["cache-control"] == "no-store"


def test_with_everything_at_hand_the_service_and_its_models_of_rain_are_ready(stack):
    with httpx.Client(base_url=f"{stack.url}/v2", timeout=WAIT_SECONDS) as client:
        assert client.get("/health/ready").json() == {"ready": True}
        assert client.get("/models/persistence/ready").json() == {"name": "persistence", "ready": True}
        copied(stack.data_dir / "packages", "video@1", kind="frames")
        video = client.get("/models/video/versions/1/ready")
        assert (video.status_code, video.json()) == (503, {"name": "video", "ready": False})
        shutil.rmtree(stack.data_dir / "packages" / "video")


def test_a_model_has_its_versions_and_tensors(gateway):
    name, _, version = SHIPPED_REFERENCE.partition("@")
    model = gateway.get(f"/v2/models/{name}").json()
    frames = gateway.get(f"/v1/models/{name}").json()["versions"][0]["input_frames"]
    assert (model["name"], model["versions"][0], model["platform"]) == (name, version, "onnxruntime_onnx")
    assert model["inputs"] == [{"name": "rainfall_rate", "datatype": "FP32", "shape": [frames, -1, -1]}]
    assert model["outputs"] == [{"name": "rainfall_rate", "datatype": "FP32", "shape": [-1, -1, -1]}]
    assert gateway.get(f"/v2/models/{name}/versions/{version}").json() == model


@pytest.mark.parametrize("path", ["skynet", "skynet/ready", "persistence/versions/99", "persistence/versions/99/ready"])
def test_an_unknown_model_is_404_with_the_error_of_the_protocol(gateway, path):
    response = gateway.get(f"/v2/models/{path}")
    assert (response.status_code, response.json()["type"]) == (404, "/problems/no-such-model")
    assert "no model" in response.json()["error"]
