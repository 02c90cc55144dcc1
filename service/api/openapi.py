"""The OpenAPI description: what FastAPI derives from the routes, with problems as they are sent, examples and links."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from service.api.problems import MEDIA_TYPE
from service.api.processes.types import Execute, Results
from service.problem_details import ProblemDetails

EXAMPLES: Final = Path(__file__).with_name("openapi_examples.json")
"""By operation id: an example of the request's `body`, of its `parameters`, and of the JSON `response` by status.
Parameters by name are those of a feed whose frames are the page's sample."""
COMPONENTS: Final = "#/components/schemas"
JSON: Final = "application/json"
ANY_PROBLEM: Final[dict[str, Any]] = {
    "description": "Any other error",
    "content": {MEDIA_TYPE: {"schema": {"$ref": f"{COMPONENTS}/{ProblemDetails.__name__}"}}},
}

JOB_IDS: Final = {
    "createNowcast": (("200", "202"), "id"),
    "listNowcasts": (("200",), "nowcasts/0/id"),
    "execute": (("201",), "jobID"),
    "getJobs": (("200",), "jobs/0/jobID"),
}
"""By operation id: the responses that name a nowcast, and where its id is in them."""
JOB_PARAMETERS: Final = ("id", "jobID")

Json = dict[str, Any]


def describe(app: FastAPI) -> Json:
    """Return the OpenAPI description of the gateway, which is made once."""
    if app.openapi_schema is None:
        description = FastAPI.openapi(app)
        schemas = description["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        _, extra = models_json_schema(
            [(Execute, "validation"), (Results, "validation")], ref_template=f"{COMPONENTS}/{{model}}"
        )
        schemas.update(extra["$defs"])
        examples = json.loads(EXAMPLES.read_text())
        for operation in _operations(description):
            _use_problems(operation)
            _add_examples(operation, examples)
        _add_links(description)
    assert app.openapi_schema is not None  # noqa: S101 - made above
    return app.openapi_schema


def of_open_service(description: Json) -> Json:
    """Return the description of a service that serves requests without credentials, too: they are optional."""
    paths = {
        path: {
            method: operation | {"security": [{}, *operation["security"]]} if "security" in operation else operation
            for method, operation in methods.items()
        }
        for path, methods in description["paths"].items()
    }
    return description | {"paths": paths}


def _operations(description: Json) -> Iterator[Json]:
    for methods in description["paths"].values():
        yield from methods.values()


def _use_problems(operation: Json) -> None:
    """Give every error the media type and the schema that it is sent with, in place of FastAPI's own error."""
    responses = operation["responses"]
    for response in responses.values():
        content = response.get("content", {})
        derived = next((media_type for media_type in content if media_type != MEDIA_TYPE), JSON)
        schema = content.get(derived, {}).get("schema", {})
        if schema.get("$ref", "").endswith("/HTTPValidationError"):
            response["description"] = "A parameter cannot be used"
            response["content"] = ANY_PROBLEM["content"]
        elif MEDIA_TYPE in content:
            del content[derived]
            content[MEDIA_TYPE]["schema"] = schema
    responses.setdefault("default", ANY_PROBLEM)


def _add_examples(operation: Json, examples: Json) -> None:
    example = examples.get(operation["operationId"], {})
    values = examples["parameters"] | example.get("parameters", {})
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in values:
            parameter["example"] = values[parameter["name"]]
    if "body" in example:
        operation["requestBody"]["content"][JSON]["example"] = example["body"]
    for status, content in example.get("response", {}).items():
        operation["responses"][status]["content"][JSON]["example"] = content


def _add_links(description: Json) -> None:
    """Link the responses that name a nowcast to every operation on it."""
    operations = {operation["operationId"]: operation for operation in _operations(description)}
    targets = {
        name: parameter
        for name, operation in operations.items()
        for parameter in _path_parameters(operation)
        if parameter in JOB_PARAMETERS
    }
    for name, (statuses, pointer) in JOB_IDS.items():
        links = {
            target: {
                "operationId": target,
                "parameters": {parameter: f"$response.body#/{pointer}"},
                "description": operations[target]["summary"],
            }
            for target, parameter in targets.items()
        }
        for status in statuses:
            operations[name]["responses"][status]["links"] = links


def _path_parameters(operation: Json) -> Iterator[str]:
    return (parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "path")
