"""The OpenAPI description: valid, with an example of every JSON response and problem, each true to its schema."""

import openapi_spec_validator
import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from service.api.app import create_app
from service.jobs.api_keys import ApiKeys, Scope
from service.settings import Settings
from tests.patience import wait_until
from tests.service.api.conftest import NO_REDIS, served

JSON = "application/json"
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def api(gateway):
    return gateway.get("/openapi.json").json()


@pytest.fixture(scope="module")
def operations(api):
    return {operation["operationId"]: operation for path in api["paths"].values() for operation in path.values()}


@pytest.fixture(scope="module")
def valid(api):
    """Validates a value by a schema of the description."""
    registry = Registry().with_resource("urn:api", Resource(api, DRAFT202012))

    def validate(value, schema):
        text = {"$ref": f"urn:api{schema['$ref']}"} if "$ref" in schema else schema
        Draft202012Validator(text, registry=registry).validate(value)

    return validate


def test_the_description_is_valid(api):
    assert api["openapi"].startswith("3.1")
    openapi_spec_validator.validate(api)
    assert "HTTPValidationError" not in api["components"]["schemas"]


def test_every_json_response_has_an_example_of_its_schema(operations, valid):
    for name, operation in operations.items():
        for status, response in operation["responses"].items():
            content = response.get("content", {}).get(JSON)
            if content is not None:
                assert "example" in content, f"{name} {status}"
                valid(content["example"], content["schema"])


def test_every_problem_has_an_example_that_says_what_is_wrong_and_what_to_do(operations, valid):
    for name, operation in operations.items():
        for status, response in operation["responses"].items():
            content = response.get("content", {}).get(PROBLEM)
            for code, example in ({} if content is None else content.get("examples", {})).items():
                problem = example["value"]
                valid(problem, content["schema"])
                assert str(problem["status"]) == status, name
                assert problem["type"].startswith(("/problems/", "http://www.opengis.net/def/exceptions/")), name
                assert problem["what"], code
                assert problem["hint"], code


def test_every_operation_says_that_its_errors_are_problems(operations):
    for name, operation in operations.items():
        for status, response in operation["responses"].items():
            if status.startswith("4") or status == "default":
                assert list(response["content"]) == [PROBLEM], f"{name} {status}"


def test_the_body_of_an_execute_request_has_an_example(operations, valid):
    content = operations["execute"]["requestBody"]["content"][JSON]
    valid(content["example"], content["schema"])
    assert content["example"]["inputs"]["files"]


def test_credentials_are_optional_as_long_as_the_service_is_open(tmp_path):
    app = create_app(Settings(data_dir=tmp_path, broker_url=NO_REDIS))
    with served(app) as gateway:
        asked = [gateway.get("/openapi.json").json()["paths"]["/v1/nowcasts"]["get"]["security"]]
        ApiKeys(app.state.context.ledger.engine).create("a", [Scope.READ])
        wait_until(lambda: gateway.get("/v1/nowcasts").status_code == 401, "the end of the open service")
        asked.append(gateway.get("/openapi.json").json()["paths"]["/v1/nowcasts"]["get"]["security"])
    assert asked == [[{}, {"key": ["read"]}], [{"key": ["read"]}]]


def test_a_new_nowcast_links_to_every_operation_on_it(operations):
    for name, parameter in (
        ("createNowcast", "id"),
        ("listNowcasts", "id"),
        ("execute", "jobID"),
        ("getJobs", "jobID"),
    ):
        links = [r["links"] for r in operations[name]["responses"].values() if "links" in r]
        own = {
            link["operationId"]
            for link in links[0].values()
            if operations[link["operationId"]]["tags"] == operations[name]["tags"]
        }
        of_one = {
            other
            for other, operation in operations.items()
            if operation["tags"] == operations[name]["tags"]
            and any(p["name"] == parameter for p in operation.get("parameters", ()))
        }
        assert own == of_one
        assert len(own) >= 3


def test_the_newest_nowcast_has_no_methods_of_others(gateway):
    answer = gateway.delete("/v1/nowcasts/latest")
    assert (answer.status_code, answer.headers["allow"]) == (405, "HEAD, GET")
    assert gateway.get("/v1/nowcasts/latest2").status_code == 404


@pytest.mark.parametrize("time", ["0.5", "1780000000", "2026-06-01", "noon"])
def test_a_number_is_no_time(gateway, time):
    answer = gateway.get("/v1/nowcasts", params={"created_before": time})
    assert (answer.status_code, answer.json()["errors"][0]["where"]) == (422, "created_before")
    assert gateway.get("/jobs", params={"datetime": time, "processID": "another"}).status_code == 422
