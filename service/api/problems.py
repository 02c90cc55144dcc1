"""Every error as RFC 9457 problem+json: a stable type, and what is wrong, where, and a hint."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model.core.errors import InputError
from service.api.errors import KINDS, JobState, kind_of
from service.jobs.job import Problem as JobProblem

MEDIA_TYPE: Final = "application/problem+json"
PROBLEMS_PATH: Final = "/problems"

log = logging.getLogger(__name__)


class FieldError(BaseModel):
    """One parameter that cannot be used."""

    where: str
    what: str


class Problem(BaseModel):
    """RFC 9457 problem details. `type` is stable: programs compare it, never the words."""

    type: str = Field(examples=["/problems/too-few-frames"])
    title: str = Field(examples=["Too few frames"])
    status: int = Field(examples=[422])
    detail: str = Field(
        "",
        examples=["input: the model wants 4 frames, the input has 2. Give at least 4 frames at one time step"],
    )
    what: str = Field("", description="What is wrong.")
    where: str = Field("", description="The file or the parameter.")
    hint: str = Field("", description="What to do.")
    errors: list[FieldError] | None = Field(None, description="Each parameter, where there are several.")
    id: str | None = Field(None, description="Under this id the service's log tells more.")
    job_status: str | None = Field(None, description="Status of the nowcast, where that is the reason.")


class ProblemResponse(JSONResponse):
    media_type = MEDIA_TYPE


def problem(code: str, what: str = "", where: str = "", hint: str = "", **more: Any) -> Problem:  # noqa: ANN401
    """The problem of a code; `more` are the other fields of `Problem`."""
    kind = kind_of(code)
    fields = {"status": kind.status, "title": kind.title, **more}
    detail = str(InputError(what, where=where, hint=hint)) if what else kind.title
    return Problem(type=f"{PROBLEMS_PATH}/{code}", detail=detail, what=what, where=where, hint=hint, **fields)


def problem_of_error(error: InputError) -> Problem:
    return problem(error.code, error.what, error.where, error.hint)


def problem_of_job(failure: JobProblem | None) -> Problem:
    """Why a job failed."""
    if failure is None:
        return problem("internal", "the nowcast failed, the reason was not kept")
    return problem(failure["code"], failure["what"], failure["where"], failure["hint"])


def answer(item: Problem, headers: Mapping[str, str] | None = None) -> ProblemResponse:
    return ProblemResponse(item.model_dump(exclude_none=True), status_code=item.status, headers=dict(headers or {}))


def responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses of these problems, by status."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        kind = kind_of(code)
        entry = by_status.setdefault(kind.status, {"model": Problem, "description": "", "content": {}})
        entry["description"] = f"{entry['description']}; {kind.title}" if entry["description"] else kind.title
        examples = entry["content"].setdefault(MEDIA_TYPE, {"examples": {}})["examples"]
        examples[code] = {
            "summary": kind.title,
            "value": {"type": f"{PROBLEMS_PATH}/{code}", "title": kind.title, "status": kind.status},
        }
    return by_status


def install(app: FastAPI) -> None:
    """Answer every error of `app` with a problem."""
    app.add_exception_handler(InputError, _input_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(AnswerFailures)


async def _input_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, InputError):
        raise error
    item = problem_of_error(error)
    if item.status >= 500:
        item.id = _logged(request, error)
    headers: dict[str, str] = {}
    if isinstance(error, JobState):
        item.job_status = error.job_status
        if error.retry_after is not None:
            headers["Retry-After"] = str(error.retry_after)
    return answer(item, headers)


async def _validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    fields = [
        FieldError(where=".".join(str(part) for part in item["loc"][1:]) or str(item["loc"][0]), what=_what(item))
        for item in error.errors()
    ]
    first = fields[0]
    return answer(problem("invalid-parameter", first.what, first.where, "Correct the parameter", errors=fields))


def _what(item: Mapping[str, Any]) -> str:
    """What is wrong with a parameter; of a number, with what was given for it."""
    wanted = {"float_parsing": "a number, such as 5.2", "int_parsing": "a whole number"}.get(item["type"])
    return f"{str(item['input'])[:100]!r} is not {wanted}" if wanted else str(item["msg"])


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    path = request.url.path
    if error.status_code == 404:
        item = problem("not-found", f"nothing is at {path}", hint="The addresses are listed in /openapi.json")
    elif error.status_code == 405:
        item = problem("method-not-allowed", f"{path} does not take {request.method}")
    else:
        item = problem("http-error", str(error.detail), status=error.status_code)
    return answer(item, error.headers)


class AnswerFailures:
    """Answers what no handler knows with a 500 problem.

    Starlette's own last handler raises the error again once it has answered, and the server then drops the
    connection: a client that reuses it for its next request finds it reset.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_noting(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_noting)
        except Exception as error:
            if scope["type"] != "http" or started:
                raise
            await _our_failure(Request(scope), error)(scope, receive, send)


def _our_failure(request: Request, error: Exception) -> Response:
    item = problem("internal", "the service failed to answer", hint="Try again; if it stays, report the id")
    item.id = _logged(request, error)
    return answer(item)


def _logged(request: Request, error: Exception) -> str:
    error_id = uuid.uuid4().hex[:12]
    log.error("failure %s at %s %s", error_id, request.method, request.url.path, exc_info=error)
    return error_id


def explain(code: str) -> dict[str, Any] | None:
    """What a problem's type means, None where there is no such type."""
    if code not in KINDS:
        return None
    kind = KINDS[code]
    return {"type": f"{PROBLEMS_PATH}/{code}", "title": kind.title, "status": kind.status}
