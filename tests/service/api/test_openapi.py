"""The OpenAPI description: valid, with an example of every JSON response and problem, each true to its schema."""

import openapi_spec_validator
import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

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
