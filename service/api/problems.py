"""Error responses: RFC 9457 problem details with a stable type, and what is wrong, where, and a hint."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount

from model.core.errors import InputError
from service.api.access.errors import AccessDenied
from service.api.errors import PROBLEM_TYPES, Busy, JobState, NowcastFailed, problem_type
from service.api.problem_examples import PROBLEM_EXAMPLES
from service.api.request_body import drain
from service.jobs.admission import LimitExceeded, TooManyRequests
from service.jobs.job import Problem
from service.log import current_ids

MEDIA_TYPE: Final = "application/problem+json"
PROBLEMS_PATH: Final = "/problems"
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
OBJECT_ADDRESS: Final = re.compile(r"<(?:\S*\.)?(\w+)\b[^<>]* at 0x[0-9a-fA-F]+>")

log = logging.getLogger(__name__)


class FieldError(BaseModel):
    """One parameter that cannot be used."""

    where: str
    what: str


class ProblemDetails(BaseModel):
    """RFC 9457 problem details. `type` is stable: programs compare the type, never the texts."""

    type: str = Field(examples=["/problems/too-few-frames"])
    title: str = Field(examples=["Too few frames"])
    status: int = Field(examples=[422])
    detail: str = Field(
        "", examples=["input: the model needs 4 frames, the input has 2. Give at least 4 frames at one time step"]
    )
    what: str = Field("", description="What is wrong.")
    where: str = Field("", description="The file or the parameter.")
    hint: str = Field("", description="What to do.")
    errors: list[FieldError] | None = Field(None, description="Every invalid parameter, where there are several.")
    id: str | None = Field(None, description="Identifies the request in the log of the service: its X-Request-ID.")
    job_status: str | None = Field(None, description="Status of the nowcast, where that is the reason.")
    position: int | None = Field(None, description="Position in the queue that the nowcast would have.")


def problem_details(code: str, what: str = "", where: str = "", hint: str = "", **more: Any) -> ProblemDetails:  # noqa: ANN401 - other fields of ProblemDetails
    """Return the problem details of an error's code; `more` are other fields of `ProblemDetails`."""
    kind = problem_type(code)
    fields = {"status": kind.status, "title": kind.title, **more}
    what, where, hint = public(what), public(where), public(hint)
    detail = str(InputError(what, where=where, hint=hint)) if what else kind.title
    return ProblemDetails(type=f"{PROBLEMS_PATH}/{code}", detail=detail, what=what, where=where, hint=hint, **fields)


def public(text: str) -> str:
    """Return a text without what is the server's own: of absolute paths the last part is left, of objects the class."""
    return _server_paths().sub(r"\1", OBJECT_ADDRESS.sub(r"\1", text))


@lru_cache(maxsize=1)
def _server_paths() -> re.Pattern[str]:
    """Return the pattern of paths below any folder of this machine's root, or of a usual one of a worker's machine."""
    roots = {path.name for path in Path("/").iterdir()} | {
        "app",
        "data",
        "etc",
        "home",
        "mnt",
        "opt",
        "srv",
        "tmp",
        "var",
    }
    names = "|".join(sorted(map(re.escape, roots)))
    return re.compile(rf"(?<![\w/.:])/(?:{names})/(?:[^\s'\"/,;:()]+/)*([^\s'\"/,;:()]*)")


def problem_of_job(problem: Problem | None) -> ProblemDetails:
    """Return the problem details of a failed job."""
    if problem is None:
        return problem_details("internal", "the nowcast failed, and no reason was recorded")
    return problem_details(**problem)


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
