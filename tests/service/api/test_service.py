"""Models, health, errors of the framework, and the OpenAPI description."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.packages import DISTRIBUTION, SHIPPED_REFERENCE, copied, crown, rewrite_manifest

ROUTES = {
    ("POST", "/v1/nowcasts"): "createNowcast",
    ("GET", "/v1/nowcasts"): "listNowcasts",
    ("GET", "/v1/nowcasts/latest"): "getLatestNowcast",
    ("GET", "/v1/nowcasts/{id}"): "getNowcast",
    ("GET", "/v1/nowcasts/{id}/events"): "getNowcastEvents",
    ("GET", "/v1/nowcasts/{id}/webhook"): "getNowcastWebhook",
    ("DELETE", "/v1/nowcasts/{id}"): "dismissNowcast",
    ("GET", "/v1/nowcasts/{id}/result"): "getResult",
    ("GET", "/v1/nowcasts/{id}/frames"): "getFrames",
    ("GET", "/v1/nowcasts/{id}/frames/{index}.png"): "getFramePicture",
    ("GET", "/v1/nowcasts/{id}/point"): "getPoint",
    ("GET", "/v1/places"): "findPlaces",
    ("GET", "/v1/feeds"): "listFeeds",
    ("GET", "/v1/feeds/{feed}"): "getFeed",
    ("GET", "/v1/feeds/{feed}/latest"): "getLatestRun",
    ("GET", "/v1/feeds/{feed}/point"): "getFeedPoint",
    ("GET", "/v1/feeds/{feed}/runs/{reference_time}"): "getRun",
    ("GET", "/v1/models"): "listModels",
    ("GET", "/v1/models/{name}"): "getModel",
    ("GET", "/v1/models/{name}/versions/{version}"): "getModelVersion",
    ("GET", "/"): "getLandingPage",
    ("GET", "/conformance"): "getConformance",
    ("GET", "/processes"): "getProcesses",
    ("GET", "/processes/{processID}"): "getProcessDescription",
    ("POST", "/processes/{processID}/execution"): "execute",
    ("GET", "/jobs"): "getJobs",
    ("GET", "/jobs/{jobID}"): "getStatus",
    ("DELETE", "/jobs/{jobID}"): "dismiss",
    ("GET", "/jobs/{jobID}/results"): "getJobResults",
    ("GET", "/v2"): "getServerMetadata",
    ("GET", "/v2/health/live"): "getServerLive",
    ("GET", "/v2/health/ready"): "getServerReady",
    ("GET", "/v2/models/{name}"): "getModelMetadata",
    ("GET", "/v2/models/{name}/ready"): "getModelReady",
    ("GET", "/v2/models/{name}/versions/{version}"): "getModelVersionMetadata",
    ("GET", "/v2/models/{name}/versions/{version}/ready"): "getModelVersionReady",
    ("GET", "/healthz"): "healthz",
    ("GET", "/readyz"): "readyz",
    ("GET", "/metrics"): "metrics",
    ("GET", "/sample"): "getSample",
    ("GET", "/problems/{code}"): "getProblemType",
    ("POST", "/v1/feeds/{feed}/area"): "getFeedArea",
    ("GET", "/v1/feeds/{feed}/runs/{reference_time}/products"): "getProducts",
    ("GET", "/v1/feeds/{feed}/runs/{reference_time}/products/{product}"): "getProduct",
    ("GET", "/v1/feeds/{feed}/forecasts"): "getForecastArchive",
    ("GET", "/v1/feeds/{feed}/forecasts/{object}"): "getForecastObject",
    ("GET", "/v1/feeds/{feed}/skill"): "getFeedSkill",
    ("GET", "/v1/feeds/{feed}/skill/alerts"): "getFeedWarningSkill",
    ("GET", "/v1/feeds/{feed}/skill/reliability"): "getFeedReliability",
    ("GET", "/v1/feeds/{feed}/stac"): "getStacCollection",
    ("GET", "/v1/feeds/{feed}/runs/{reference_time}/stac"): "getStacItem",
    ("GET", "/v1/feeds/{feed}/tiles.json"): "getTileJson",
    ("GET", "/v1/feeds/{feed}/tiles/{frame}/{z}/{x}/{y}.{file_format}"): "getTile",
    ("GET", "/v1/feeds/{feed}/weather-maps.json"): "getWeatherMaps",
    (
        "GET",
        "/v1/feeds/{feed}/v2/radar/{frame}/{size}/{z}/{x}/{y}/{color}/{options}.{file_format}",
    ): "getWeatherMapTile",
    ("GET", "/v1/feeds/{feed}/v2/coverage/0/{size}/{z}/{x}/{y}/{color}/{options}.png"): "getCoverageTile",
    ("GET", "/v1/feeds/{feed}/v2/coverage/0/{size}/{z}/{x}/{y}.png"): "getCoverageTileByShortAddress",
    ("GET", "/v1/feeds/{feed}/alerts"): "getAlerts",
    ("POST", "/v1/feeds/{feed}/frames"): "sendFrames",
    ("GET", "/v1/alerts/events"): "getAlertEvents",
    ("GET", "/v1/feeds/{feed}/motion.json"): "getMotion",
    ("GET", "/v1/push"): "getPush",
    ("POST", "/v1/push/subscriptions"): "subscribe",
    ("GET", "/v1/push/subscriptions/{id}"): "getSubscription",
    ("DELETE", "/v1/push/subscriptions/{id}"): "unsubscribe",
    ("GET", "/v1/nowcasts/{id}/tiles.json"): "getNowcastTileJson",
    ("GET", "/v1/nowcasts/{id}/motion.json"): "getNowcastMotion",
    ("GET", "/v1/nowcasts/{id}/tiles/{frame}/{z}/{x}/{y}.{file_format}"): "getNowcastTile",
    ("GET", "/v1/feeds/events"): "getFeedEvents",
    ("POST", "/v1/feeds/{feed}/scan"): "scanFeed",
    ("POST", "/v1/feeds/{feed}/runs/{reference_time}/repeat"): "repeatRun",
    ("GET", "/v1/overview"): "getOverview",
    ("GET", "/v1/champion"): "getChampion",
    ("POST", "/v1/models/{name}/promote"): "promoteModel",
    ("POST", "/v1/models/{name}/rollback"): "rollBackModel",
    ("GET", "/v1/keys"): "listKeys",
    ("POST", "/v1/keys"): "createKey",
    ("DELETE", "/v1/keys/{key_id}"): "revokeKey",
    ("GET", "/edr"): "getEdrLandingPage",
    ("GET", "/edr/asyncapi"): "getEdrChannels",
    ("GET", "/edr/conformance"): "getEdrConformance",
    ("GET", "/edr/collections"): "getCollections",
    ("GET", "/edr/collections/{collectionId}/instances/{instanceId}"): "getInstance",
    ("GET", "/edr/collections/{collectionId}"): "getCollection",
    ("GET", "/edr/collections/{collectionId}/instances"): "getInstances",
    ("GET", "/edr/collections/{collectionId}/instances/{instanceId}/position"): "getInstancePosition",
    ("GET", "/edr/collections/{collectionId}/position"): "getPosition",
    ("GET", "/edr/collections/{collectionId}/instances/{instanceId}/area"): "getInstanceArea",
    ("GET", "/edr/collections/{collectionId}/area"): "getArea",
    ("GET", "/edr/collections/{collectionId}/instances/{instanceId}/cube"): "getInstanceCube",
    ("GET", "/edr/collections/{collectionId}/cube"): "getCube",
    ("GET", "/edr/collections/{collectionId}/instances/{instanceId}/locations"): "getInstanceLocations",
    ("GET", "/edr/collections/{collectionId}/locations"): "getLocations",
    ("GET", "/edr/collections/{collectionId}/instances/{instanceId}/locations/{locationId}"): "getInstanceLocation",
    ("GET", "/edr/collections/{collectionId}/locations/{locationId}"): "getLocation",
}


def test_models_are_listed_without_their_folders(gateway):
    models = gateway.get("/v1/models").json()["models"]
    assert {"persistence", "extrapolation"} <= {model["name"] for model in models}
    assert sum(model["default"] for model in models) == 1
    assert "folder" not in models[0]
    assert all(model["max_lead_minutes"] >= 60 for model in models)
    one = gateway.get(models[0]["href"]).json()
    assert one == models[0]
    assert one in gateway.get(f"/v1/models/{one['name']}").json()["versions"]


def test_the_champion_is_listed_or_why_another_model_runs(gateway, context):
    packages = context.settings.packages_folder
    package = copied(packages, "mine@1", kind="rain")
    copied(packages, "video@1", kind="frames")
    crown(package)
    response = gateway.get("/v1/models").json()
    models = {model["name"]: model for model in response["models"]}
    assert (models["mine"]["aliases"], models["mine"]["default"], response["note"]) == (["champion"], True, "")
    assert (models["video"]["data"], models["mine"]["data"]) == ("frames", "rain")
    rewrite_manifest(package, summary="Changed.")
    response = gateway.get("/v1/models").json()
    models = {model["name"]: model for model in response["models"]}
    assert (models["mine"]["aliases"], models["rain-ms-predrnn"]["default"]) == ([], True)
    assert "mine@1 was changed since it became champion" in response["note"]
    parts = {part["name"]: part for part in gateway.get("/readyz").json()["parts"]}
    assert parts["model"]["state"] == "ok"
    assert parts["model"]["detail"].startswith(f"{SHIPPED_REFERENCE}; the champion mine@1 cannot be used")
    (packages / "aliases.json").write_text("{")
    response = gateway.get("/v1/models")
    assert response.status_code == 200
    assert "the aliases are damaged" in response.json()["note"]
    assert str(packages) not in response.text
    shutil.rmtree(packages)
    assert gateway.get("/v1/models").json()["note"] == ""


def test_what_a_model_forecasts_beside_rain_and_how_far_it_was_scored_is_listed(gateway, context):
    packages = context.settings.packages_folder
    copied(packages, "likely@1", distribution=DISTRIBUTION)
    models = {model["name"]: model for model in gateway.get("/v1/models").json()["models"]}
    assert models["likely"]["distribution"] == {
        "thresholds_mm_h": [0.5, 5.0],
        "fields": ["expected", "median", "sharp"],
        "default_field": "expected",
    }
    scored = {name: (models[name]["makes_members"], models[name]["scored_lead_minutes"]) for name in models}
    assert (scored["likely"], scored["extrapolation"], scored["persistence"]) == (
        (True, 60.0),
        (True, None),
        (False, None),
    )
    assert models["extrapolation"]["distribution"] is None
    asked = {"model": "likely", "field": "median", "members": "2"}
    response = gateway.post("/v1/nowcasts", files=[("files", ("a.nc", b"x"))], data=asked)
    assert (response.status_code, response.json()["field"]) == (202, "median")
    shutil.rmtree(packages)


@pytest.mark.parametrize("path", ["skynet", "persistence/versions/99"])
def test_an_unknown_model_is_404(gateway, path):
    response = gateway.get(f"/v1/models/{path}")
    assert (response.status_code, response.json()["type"]) == (404, "/problems/no-such-model")


def test_readiness_names_what_is_bad_and_liveness_does_not_care(gateway):
    response = gateway.get("/readyz")
    assert response.status_code == 503
    bad = [part["name"] for part in response.json()["parts"] if part["state"] == "bad"]
    assert bad == ["broker", "schedule", "workers"]
    assert "127.0.0.1" not in response.text
    assert gateway.get("/healthz").json() == {"status": "ok"}


def test_errors_of_the_framework_are_problems_too(gateway):
    missing = gateway.get("/v1/nothing")
    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/not-found")
    method = gateway.put("/v1/models")
    assert (method.status_code, method.json()["type"]) == (405, "/problems/method-not-allowed")
    assert method.headers["allow"] == "HEAD, GET"
    for response in (missing, method):
        assert response.headers["content-type"] == "application/problem+json"


def test_the_traceback_of_a_failure_is_logged_only(gateway, context, monkeypatch, caplog):
    def fail(job_id, **_):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(context.ledger, "get", fail)
    response = gateway.get("/v1/nowcasts/abc")
    body = response.json()
    assert (response.status_code, body["type"]) == (500, "/problems/internal")
    assert "secret" not in response.text
    assert body["id"] in caplog.text
    assert "secret detail" in caplog.text


def test_every_problem_type_can_be_looked_up(gateway):
    assert gateway.get("/problems/too-few-frames").json()["status"] == 422
    assert gateway.get("/problems/nonsense").status_code == 404


def test_the_openapi_description_is_complete(gateway):
    api = gateway.get("/openapi.json").json()
    described = {
        (method.upper(), path): operation
        for path, methods in api["paths"].items()
        for method, operation in methods.items()
    }
    assert {route: operation["operationId"] for route, operation in described.items()} == ROUTES
    for operation in described.values():
        assert operation["tags"]
        assert operation["summary"]
        assert operation["description"]
    refusals = described["POST", "/v1/nowcasts"]["responses"]["422"]["content"]["application/problem+json"]
    assert "too-few-frames" in refusals["examples"]


def test_the_pages_refer_to_no_other_host(gateway):
    """But Leaflet, in whose code are links to its home."""
    browser = {"Accept": "text/html"}
    page = gateway.get("/", headers=browser)
    assert "default-src 'self'" in page.headers["content-security-policy"]
    files = ["/", "/upload", "/docs"]
    for name in files:
        response = gateway.get(name, headers=browser)
        assert response.status_code == 200, name
        found = re.findall(r'(?:(?:src|href)="(static/[^"]+)"|(?:from|import) "(\.[\w./]+)")', response.text)
        addresses = (urljoin(name, "".join(either)) for either in found)
        own = dict.fromkeys(address for address in addresses if "/leaflet/" not in address)
        files += [address for address in own if address not in files]
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", response.text), name
    named = {re.sub("/static/@[0-9a-f]{12}/", "", address) for address in files}
    assert {"live.js", "map/frame_stack.js", "sources/feed.js", "upload/page.js", "map/player.js", "style.css"} <= named


GATEWAY = """
import re, socket, sys, threading
from pathlib import Path
import httpx, uvicorn
from service.api.app import create_app
from service.settings import Settings

app = create_app(Settings(data_dir=Path(sys.argv[1]), broker_url="redis://127.0.0.1:1/0"))
listener = socket.create_server(("127.0.0.1", 0))
server = uvicorn.Server(uvicorn.Config(app, log_config=None))
thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
thread.start()
try:
    with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=None) as client:
        for path in ("frames", "frames/4.png", "point?x=0.5&y=0.5", "result?format=webp", "result"):
            assert client.get(f"/v1/nowcasts/{sys.argv[2]}/{path}").status_code == 200, path
        with open(sys.argv[3], "rb") as radar:
            assert client.post("/v1/nowcasts", files={"files": radar}).status_code == 202
finally:
    server.should_exit = True
    thread.join()
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(*(name for name in ("torch", "onnxruntime", "cv2", "xarray", "pandas") if name in sys.modules))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc: the peak memory cannot be read")
def test_the_gateway_is_light(settings, finished, project):
    """No network, no array library of the workers, and a memory that many gateways fit into."""
    sample = project / "service" / "web" / "sample" / "sample.nc"
    done = subprocess.run(
        [sys.executable, "-c", GATEWAY, str(settings.data_dir), finished.id, str(sample)],
        capture_output=True,
        text=True,
        check=True,
    )
    peak_kib, loaded = done.stdout.splitlines()
    assert loaded == ""
    assert int(peak_kib) * 1024 < 225e6
