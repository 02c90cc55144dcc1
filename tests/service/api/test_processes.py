"""OGC API - Processes: the same nowcasts, in the standard's words; held to its schemas where they are at hand."""

import base64
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from service.api.app import create_app
from service.jobs.job import Job, JobStatus, Problem
from service.settings import Settings
from tests.postgres import postgres_server
from tests.service.api.conftest import NO_REDIS, served

EXCEPTION = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"
EXECUTION = "/processes/nowcast/execution"
RADAR = {"value": base64.b64encode(b"radar").decode(), "encoding": "base64", "mediaType": "application/x-hdf5"}


def execute(gateway, inputs, **request):
    headers = request.pop("headers", {})
    return gateway.post(EXECUTION, json={"inputs": inputs, **request}, headers=headers)


def rels(document):
    return {link["rel"]: link["href"] for link in document["links"]}


def test_the_landing_page_leads_to_every_part_for_programs_and_is_the_map_for_browsers(gateway):
    landing = gateway.get("/").json()
    assert {"self", "service-desc", "service-doc"} <= rels(landing).keys()
    for href in rels(landing).values():
        assert gateway.get(href).status_code in (200, 503), href
    ogc = "http://www.opengis.net/def/rel/ogc/1.0"
    assert gateway.get(rels(landing)[f"{ogc}/conformance"]).json()["conformsTo"]
    assert gateway.get(rels(landing)[f"{ogc}/processes"]).json()["processes"][0]["id"] == "nowcast"
    browser = gateway.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert browser.headers["content-type"].startswith("text/html")
    assert "Accept" in browser.headers["vary"].split(", ")


def test_the_process_describes_the_fields_of_the_form_as_its_inputs(gateway):
    process = gateway.get("/processes/nowcast").json()
    form = gateway.get("/openapi.json").json()["paths"]["/v1/nowcasts"]["post"]["requestBody"]["content"]
    fields = form["multipart/form-data"]["schema"]["properties"]
    assert process["inputs"].keys() == fields.keys()
    assert (process["inputs"]["files"]["minOccurs"], process["inputs"]["files"]["maxOccurs"]) == (1, 3)
    assert process["inputs"]["steps"]["schema"] == {"type": "integer", "default": 12, "minimum": 1}
    media = [item["contentMediaType"] for item in process["outputs"]["forecast"]["schema"]["oneOf"]]
    assert media[0] == "application/x-netcdf"


def test_an_execution_is_a_nowcast_with_the_same_files_and_options(gateway, context):
    inputs = {"files": [RADAR, RADAR["value"]], "steps": 6, "probabilities": {"value": "0.5,2"}, "zr": "fmi"}
    response = execute(gateway, inputs)
    status = response.json()
    assert (response.status_code, response.headers["location"]) == (201, f"/jobs/{status['jobID']}")
    assert (status["status"], status["processID"], status["type"], status["progress"]) == (
        "accepted",
        "nowcast",
        "process",
        0,
    )
    job = context.ledger.get(status["jobID"])
    assert [context.store.get(item["key"]) for item in job.inputs] == [b"radar", b"radar"]
    assert (job.steps, job.zr, job.forecast_output.thresholds_mm_h) == (6, "fmi", (0.5, 2.0))
    assert gateway.get(f"/v1/nowcasts/{job.id}").json()["status"] == "accepted"
    assert gateway.get(response.headers["location"]).json() == status


def test_the_same_idempotency_key_returns_the_same_job(gateway):
    headers = {"Idempotency-Key": "ogc-1"}
    first = execute(gateway, {"files": RADAR}, headers=headers)
    again = execute(gateway, {"files": RADAR}, headers=headers)
    other = execute(gateway, {"files": RADAR, "steps": 3}, headers=headers)
    assert first.json()["jobID"] == again.json()["jobID"]
    assert (other.status_code, other.json()["type"]) == (409, "/problems/idempotency-key-reused")


@pytest.mark.parametrize(
    ("inputs", "status", "code", "where"),
    [
        ({}, 422, "no-files", "files"),
        ({"files": []}, 422, "no-files", "files"),
        ({"files": {"href": "http://169.254.169.254/latest"}}, 422, "reference-not-supported", "inputs.files[0]"),
        ({"files": "not base64!"}, 422, "invalid-parameter", "inputs.files[0]"),
        ({"files": [RADAR, {"value": 5}]}, 422, "invalid-parameter", "inputs.files[1]"),
        ({"files": {**RADAR, "encoding": "gzip"}}, 422, "invalid-parameter", "inputs.files[0]"),
        ({"files": ""}, 422, "empty-file", "inputs.files[0]"),
        ({"files": [RADAR] * 4}, 413, "too-many-files", "inputs.files"),
        ({"files": RADAR, "steps": "6"}, 422, "invalid-parameter", "inputs.steps"),
        ({"files": RADAR, "steps": True}, 422, "invalid-parameter", "inputs.steps"),
        ({"files": RADAR, "steps": 0}, 422, "steps-out-of-range", "steps"),
        ({"files": RADAR, "model": "skynet"}, 422, "unknown-model", "model"),
        ({"files": RADAR, "colour": "red"}, 422, "invalid-parameter", "colour"),
    ],
)
def test_inputs_that_cannot_be_used_are_refused(gateway, inputs, status, code, where):
    response = execute(gateway, inputs)
    problem = response.json()
    assert (response.status_code, problem["type"], problem["where"]) == (status, f"/problems/{code}", where)
    assert problem["hint"]


def test_a_body_that_is_no_execute_request_is_refused(gateway):
    headers = {"Content-Type": "application/json"}
    cases = {
        ("{", "application/json"): (415, "not-json"),
        ("<wps/>", "text/xml"): (415, "not-json"),
        ('{"inputs": 5}', "application/json"): (422, "invalid-parameter"),
        ('{"outputs": {"video": {}}}', "application/json"): (422, "invalid-parameter"),
        ('{"subscriber": {"successUri": "http://a/"}}', "application/json"): (422, "invalid-parameter"),
        (f'{{"inputs": {{"files": "{"A" * 1_100_000}"}}}}', "application/json"): (413, "too-large"),
    }
    for (body, media), (status, code) in cases.items():
        response = gateway.post(EXECUTION, content=body, headers={**headers, "Content-Type": media})
        assert (response.status_code, response.json()["type"]) == (status, f"/problems/{code}"), body[:50]


def test_errors_have_the_types_of_the_standard(gateway, running):
    cases = {
        "/processes/echo": "no-such-process",
        "/jobs/nonsense": "no-such-job",
        "/jobs/nonsense/results": "no-such-job",
        f"/jobs/{running.id}/results": "result-not-ready",
    }
    for path, name in cases.items():
        response = gateway.get(path)
        assert (response.status_code, response.json()["type"]) == (404, EXCEPTION + name), path
        assert response.headers["content-type"] == "application/problem+json"
    assert gateway.delete("/jobs/nonsense").json()["type"] == f"{EXCEPTION}no-such-job"


def test_jobs_are_listed_as_statuses_and_filtered_by_status_and_time_in_pages(gateway, finished):
    execute(gateway, {"files": RADAR})
    jobs = gateway.get("/jobs", params={"status": "successful"}).json()["jobs"]
    assert gateway.get(f"/jobs/{finished.id}").json() in jobs
    assert {job["status"] for job in jobs} == {"successful"}
    created = jobs[0]["created"]
    intervals = {created: True, f"{created}/..": True, f"../{created}": True, "../2020-01-01T00:00:00Z": False}
    for interval, listed in intervals.items():
        found = gateway.get("/jobs", params={"datetime": interval, "limit": 200}).json()["jobs"]
        assert (jobs[0]["jobID"] in {job["jobID"] for job in found}) is listed, interval
    page = gateway.get("/jobs", params={"limit": 1}).json()
    following = gateway.get(rels(page)["next"]).json()
    assert page["jobs"][0]["jobID"] != following["jobs"][0]["jobID"]
    for wrong in ({"datetime": "today"}, {"limit": 0}, {"minDuration": -1}, {"status": "lost"}):
        response = gateway.get("/jobs", params=wrong)
        assert (response.status_code, response.json()["type"]) == (422, "/problems/invalid-parameter"), wrong


@pytest.fixture
def on_postgresql(tmp_path):
    with postgres_server() as server:
        app = create_app(Settings(data_dir=tmp_path, broker_url=NO_REDIS, database_url=server.url))
        with served(app) as client:
            yield client, app.state.context


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_jobs_are_listed_by_how_long_they_ran(request, database):
    if database == "sqlite":
        gateway, context = request.getfixturevalue("gateway"), request.getfixturevalue("context")
    else:
        gateway, context = request.getfixturevalue("on_postgresql")
    now = datetime.now(UTC)
    times = {
        "waits": (None, None),
        "began": (now - timedelta(seconds=100), None),
        "short": (now - timedelta(seconds=500), now - timedelta(seconds=490)),
        "long": (now - timedelta(seconds=500), now - timedelta(seconds=300)),
    }
    names = {}
    for name, (started, finished) in times.items():
        job = context.ledger.create(Job(model="auto", steps=1, inputs=[]))
        names[job.id] = name
        status = JobStatus.ACCEPTED if started is None else JobStatus.RUNNING if finished is None else JobStatus.FAILED
        with context.ledger.engine.begin() as connection:
            row = update(Job).where(Job.id == job.id)
            connection.execute(row.values(status=status, started=started, finished=finished))

    def listed(**which):
        jobs = gateway.get("/jobs", params={"limit": 10_000, **which}).json()["jobs"]
        return {names[job["jobID"]] for job in jobs if job["jobID"] in names}

    assert listed() == set(times)
    assert listed(minDuration=10) == {"began", "short", "long"}
    assert listed(minDuration=11) == {"began", "long"}
    assert listed(maxDuration=10) == {"short"}
    assert listed(minDuration=50, maxDuration=199) == {"began"}
    assert listed(minDuration=50, maxDuration=200, status="failed") == {"long"}
    assert listed(processID="echo") == set()
    assert listed(processID=["echo", "nowcast"]) == set(times)


def test_a_running_job_reports_progress_and_can_be_dismissed(gateway, running):
    path = f"/jobs/{running.id}"
    assert (gateway.get(path).json()["status"], gateway.get(path).json()["progress"]) == ("running", 50)
    for _ in range(2):
        assert gateway.delete(path).json()["status"] == "dismissed"
    assert gateway.get(f"{path}/results").status_code == 410


def test_a_failed_job_says_why(gateway, context, running):
    problem = Problem(code="too-few-frames", what="the input has 1 frame", where="input", hint="Give 4")
    context.ledger.fail(running, problem)
    assert "the input has 1 frame" in gateway.get(f"/jobs/{running.id}").json()["message"]
    response = gateway.get(f"/jobs/{running.id}/results")
    assert (response.status_code, response.json()["type"]) == (422, "/problems/too-few-frames")


def test_results_are_the_file_itself_or_a_document_that_refers_to_it(gateway, finished):
    path = f"/jobs/{finished.id}"
    status = gateway.get(path).json()
    assert (status["status"], status["progress"]) == ("successful", 100)
    results = rels(status)["http://www.opengis.net/def/rel/ogc/1.0/results"]
    raw = gateway.get(results)
    assert (raw.headers["content-type"], raw.content[1:4]) == ("application/x-netcdf", b"HDF")
    assert gateway.get(results, headers={"Accept": "image/gif"}).headers["content-type"] == "image/gif"
    document = gateway.get(results, headers={"Accept": "application/json"}).json()
    assert gateway.get(document["forecast"]["href"]).content == raw.content
    assert gateway.get(results, headers={"Accept": "text/csv"}).status_code == 406
    assert gateway.delete(path).status_code == 409


@pytest.fixture
def finished_at_once(context, finished, monkeypatch):
    """Every execution is the finished job."""
    monkeypatch.setattr("service.api.nowcasts.upload.create_job", lambda *request: finished)
    return finished


def test_a_client_that_waits_gets_the_results_as_it_wants_them(gateway, finished_at_once):
    wait = {"Prefer": "wait=5"}
    raw = execute(gateway, {"files": RADAR}, headers=wait)
    assert (raw.status_code, raw.headers["content-type"]) == (200, "application/x-netcdf")
    assert f'</jobs/{finished_at_once.id}>; rel="monitor"' in raw.headers["link"]
    assert raw.headers["preference-applied"] == "wait=5"
    document = execute(gateway, {"files": RADAR}, response="document", headers=wait)
    assert document.json()["forecast"]["type"] == "application/x-netcdf"
    picture = {"forecast": {"format": {"mediaType": "image/png"}}}
    assert execute(gateway, {"files": RADAR}, outputs=picture, headers=wait).content[1:4] == b"PNG"
    picture["forecast"]["transmissionMode"] = "reference"
    reference = execute(gateway, {"files": RADAR}, outputs=picture, headers=wait)
    assert (reference.status_code, reference.content) == (204, b"")
    assert f"/v1/nowcasts/{finished_at_once.id}/result?format=png" in reference.headers["link"]
    asynchronous = execute(gateway, {"files": RADAR}, headers={"Prefer": "respond-async, wait=5"})
    assert asynchronous.status_code == 201
    unknown = {"forecast": {"format": {"mediaType": "video/mp4"}}}
    assert execute(gateway, {"files": RADAR}, outputs=unknown, headers=wait).status_code == 406


@pytest.mark.skipif("ECHOCAST_OGC_SCHEMAS" not in os.environ, reason="the schemas of OGC are not in this repository")
def test_every_document_is_valid_by_the_schemas_of_the_standard(gateway, finished):
    valid = validator(Path(os.environ["ECHOCAST_OGC_SCHEMAS"]))
    valid(gateway.get("/").json(), "landingPage")
    valid(gateway.get("/conformance").json(), "confClasses")
    valid(gateway.get("/processes").json(), "processList")
    valid(gateway.get("/processes/nowcast").json(), "process")
    # No literal is valid: `oneOf` takes exactly one of `number` and `integer`, and of two schemas for strings.
    valid({"inputs": {"files": [RADAR]}, "response": "document"}, "execute")
    accepted = execute(gateway, {"files": [RADAR], "steps": 6}).json()
    valid(accepted, "statusInfo")
    valid(gateway.get(f"/jobs/{finished.id}").json(), "statusInfo")
    valid(gateway.get("/jobs").json(), "jobList")
    accept = {"Accept": "application/json"}
    valid(gateway.get(f"/jobs/{finished.id}/results", headers=accept).json(), "results")
    for path in ("/processes/echo", "/jobs/nonsense", f"/jobs/{accepted['jobID']}/results"):
        valid(gateway.get(path).json(), "exception")
    with pytest.raises(Exception, match="jobID"):
        valid({"status": "running", "type": "process"}, "statusInfo")


def validator(folder):
    """Validates a document by one of the standard's schemas, of OpenAPI 3.0: that is JSON Schema draft 4."""
    import yaml
    from jsonschema import Draft4Validator
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT4

    schemas = {path.name: Resource(yaml.safe_load(path.read_text()), DRAFT4) for path in folder.glob("*.yaml")}
    registry = Registry().with_resources(schemas.items())

    def valid(document, name):
        Draft4Validator({"$ref": f"{name}.yaml"}, registry=registry).validate(document)

    return valid
