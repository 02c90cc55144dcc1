"""Error responses: RFC 9457 problem details with a stable type, and what is wrong, where, and a hint."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount

from model.core.errors import InputError
from service.api.access.errors import AccessDenied
from service.api.errors import Busy, JobState, NowcastFailed
from service.api.problem_examples import PROBLEM_EXAMPLES
from service.api.request_body import drain
from service.jobs.admission import LimitExceeded, TooManyRequests
from service.log import current_ids
from service.problem_details import (
    PROBLEM_TYPES,
    PROBLEMS_PATH,
    FieldError,
    ProblemDetails,
    problem_details,
    problem_of_job,
    public,
)

MEDIA_TYPE: Final = "application/problem+json"
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")

log = logging.getLogger(__name__)


def problem_response(problem: ProblemDetails, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the response for a problem, with the id of the request."""
    problem.id = current_ids().get("request_id")
    content = problem.model_dump(exclude_none=True)
    return JSONResponse(content, problem.status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def documented_problems(
    *codes: str, standard: Callable[[str, ProblemDetails], ProblemDetails | None] | None = None
) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of these problems, by status, each with an example.

    `standard` returns a problem as the standard of the route has it, as in `StandardRoute`.
    """
    by_status: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        problem = problem_details(code, *PROBLEM_EXAMPLES.get(code, ()))
        problem = (standard and standard(code, problem)) or problem
        entry = by_status.setdefault(problem.status, {"model": type(problem), "description": "", "content": {}})
        entry["description"] = f"{entry['description']}; {problem.title}" if entry["description"] else problem.title
        examples = entry["content"].setdefault(MEDIA_TYPE, {"examples": {}})["examples"]
        examples[code] = {"summary": problem.title, "value": problem.model_dump(exclude_none=True)}
    return by_status


def describe_type(code: str) -> dict[str, Any] | None:
    """Return type, title and status of a problem type; None where there is no such type."""
    kind = PROBLEM_TYPES.get(code)
    if kind is None:
        return None
    return {"type": f"{PROBLEMS_PATH}/{code}", "title": kind.title, "status": kind.status}


def install(app: FastAPI) -> None:
    """Make every error response of `app` a problem."""
    app.exception_handler(InputError)(_input_error)
    app.exception_handler(NowcastFailed)(_nowcast_failed)
    app.exception_handler(RequestValidationError)(_validation_error)
    app.exception_handler(HTTPException)(_http_error)


async def _input_error(request: Request, error: InputError) -> Response:
    problem = problem_details(error.code, error.what, error.where, error.hint)
    if problem.status >= 500 and not isinstance(error, Busy | LimitExceeded):
        log_failure(request, error)
    if isinstance(error, AccessDenied | TooManyRequests):
        await drain(request)
    if isinstance(error, LimitExceeded):
        problem.position = error.position
    if isinstance(error, JobState):
        problem.job_status = error.job_status
    return problem_response(problem, headers_of(error))


def headers_of(error: InputError) -> dict[str, str]:
    """Return the headers of the response to an error."""
    if isinstance(error, AccessDenied) and error.challenge is not None:
        return {"WWW-Authenticate": error.challenge}
    if isinstance(error, JobState | Busy | LimitExceeded) and error.retry_after is not None:
        return {"Retry-After": str(error.retry_after)}
    return {}


async def _nowcast_failed(request: Request, error: NowcastFailed) -> Response:
    return problem_response(problem_of_job(error.problem))


async def _validation_error(request: Request, error: RequestValidationError) -> Response:
    fields = [
        FieldError(where=".".join(str(part) for part in item["loc"][1:]) or str(item["loc"][0]), what=_what(item))
        for item in error.errors()
    ]
    first = fields[0]
    problem = problem_details("invalid-parameter", first.what, first.where, "Correct the parameter", errors=fields)
    return problem_response(problem)


def _what(item: Mapping[str, Any]) -> str:
    """Return what is wrong with a parameter; for a number, with the invalid value."""
    expected = {"float_parsing": "a number, such as 5.2", "int_parsing": "a whole number"}.get(item["type"])
    return public(f"{str(item['input'])[:100]!r} is not {expected}" if expected else str(item["msg"]))


async def _http_error(request: Request, error: HTTPException) -> Response:
    path = request.url.path
    if error.status_code == 404:
        problem = problem_details(
            "not-found", f"nothing is at {path}", hint="The addresses are listed in /openapi.json"
        )
    elif error.status_code == 405:
        return _method_not_allowed(request)
    else:
        problem = problem_details("http-error", str(error.detail), status=error.status_code)
    return problem_response(problem, error.headers)


def _method_not_allowed(request: Request) -> Response:
    """Return 405 with the methods of all routes of that path; the framework names those of the first route only."""
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]
    allowed = [
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    listed = ", ".join(["HEAD", *allowed] if "GET" in allowed else allowed or ["GET", "HEAD"])
    path = request.url.path
    problem = problem_details("method-not-allowed", f"{path} does not support {request.method}", hint=f"Use {listed}")
    return problem_response(problem, {"Allow": listed})


def log_failure(request: Request, error: Exception) -> None:
    """Log a failure under the id of its request."""
    request_id = current_ids().get("request_id", "")
    log.error("failure %s at %s %s", request_id, request.method, request.url.path, exc_info=error)
