"""Problem details (RFC 9457): the table of types, and the problem of an error's code or of a failed job."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, Field

from model.core.errors import InputError
from service.jobs.job import Problem

PROBLEMS_PATH: Final = "/problems"
OBJECT_ADDRESS: Final = re.compile(r"<(?:\S*\.)?(\w+)\b[^<>]* at 0x[0-9a-fA-F]+>")


class ProblemType(NamedTuple):
    """HTTP status and title of a problem type (RFC 9457)."""

    status: int
    title: str


PROBLEM_TYPES: Final[dict[str, ProblemType]] = {
    "bad-input": ProblemType(422, "The input cannot be used"),
    "bad-setting": ProblemType(500, "A setting of the service is wrong"),
    "not-a-radar-file": ProblemType(422, "Not a radar file that can be read"),
    "unknown-variable": ProblemType(422, "The file does not contain that variable"),
    "mixed-grids": ProblemType(422, "The frames are on different grids"),
    "duplicate-times": ProblemType(422, "Two frames have the same time"),
    "too-few-frames": ProblemType(422, "Too few frames"),
    "irregular-time-step": ProblemType(422, "A frame is missing"),
    "future-frame": ProblemType(422, "A frame is in the future"),
    "no-data": ProblemType(422, "The frames contain no data"),
    "steps-out-of-range": ProblemType(422, "Too many or too few lead steps"),
    "unknown-model": ProblemType(422, "Unknown model"),
    "bad-package": ProblemType(500, "A model package of the service is broken"),
    "bad-aliases": ProblemType(500, "The service's list of aliases is damaged"),
    "too-large": ProblemType(413, "Too large"),
    "missing-dependency": ProblemType(500, "A Python package of the service is missing"),
    "missing-object": ProblemType(410, "The result was deleted"),
    "not-authenticated": ProblemType(401, "Credentials are needed"),
    "invalid-credentials": ProblemType(401, "The credentials are not accepted"),
    "insufficient-scope": ProblemType(403, "The credentials do not permit this"),
    "wrong-host": ProblemType(421, "The service has another name"),
    "cross-origin": ProblemType(403, "A page of another origin may not do this"),
    "open-service": ProblemType(403, "Not without a key, even though the service is open"),
    "invalid-key": ProblemType(422, "The key cannot be created"),
    "no-such-key": ProblemType(404, "No such API key"),
    "not-promoted": ProblemType(409, "The champion stays as it is"),
    "unknown-job": ProblemType(404, "No such nowcast"),
    "no-nowcast": ProblemType(404, "No successful nowcast yet"),
    "no-webhook": ProblemType(404, "The nowcast has no webhook"),
    "idempotency-key-reused": ProblemType(409, "The Idempotency-Key was used for another request"),
    "invalid-parameter": ProblemType(422, "A parameter cannot be used"),
    "callback-refused": ProblemType(422, "The service does not call this address"),
    "no-files": ProblemType(422, "No radar files"),
    "empty-file": ProblemType(422, "An uploaded file is empty"),
    "too-many-files": ProblemType(413, "Too many files"),
    "not-multipart": ProblemType(415, "The request is not multipart/form-data"),
    "not-json": ProblemType(415, "The request is not JSON"),
    "reference-not-supported": ProblemType(422, "Inputs are not fetched from other servers"),
    "no-such-process": ProblemType(404, "No such process"),
    "no-such-model": ProblemType(404, "No such model"),
    "no-such-feed": ProblemType(404, "No such feed"),
    "feed-not-pushed": ProblemType(409, "The frames of this feed are not sent over HTTP"),
    "no-web-push": ProblemType(409, "The service has no web push"),
    "no-such-subscription": ProblemType(404, "No such push subscription"),
    "too-many-subscriptions": ProblemType(429, "As many places are subscribed to as may be"),
    "no-such-run": ProblemType(404, "No run of the feed from that time"),
    "run-not-failed": ProblemType(409, "The run has not failed"),
    "no-such-product": ProblemType(404, "The run has no such product"),
    "no-such-location": ProblemType(404, "The feed names no such place"),
    "no-such-frame": ProblemType(404, "No such frame"),
    "outside-grid": ProblemType(422, "The place is outside of the radar's area"),
    "bad-geometry": ProblemType(422, "Not an area or a place that can be used"),
    "wrong-crs": ProblemType(422, "The coordinates are not longitude and latitude"),
    "not-on-earth": ProblemType(422, "The grid has no relation to longitude and latitude"),
    "cannot-encode": ProblemType(500, "The result cannot be written in that format"),
    "cannot-show": ProblemType(422, "The result cannot be drawn"),
    "not-acceptable": ProblemType(406, "The result is not available in that format"),
    "not-finished": ProblemType(409, "The nowcast is not finished"),
    "already-finished": ProblemType(409, "The nowcast is already finished"),
    "dismissed": ProblemType(410, "The nowcast was cancelled"),
    "no-sample": ProblemType(404, "This installation has no sample"),
    "cannot-publish": ProblemType(500, "A feed's nowcast cannot be written"),
    "products-failed": ProblemType(500, "Some products of a run could not be made"),
    "worker-lost": ProblemType(500, "The nowcast failed: the worker died"),
    "device-lost": ProblemType(500, "The nowcast failed: the device stopped responding"),
    "out-of-memory": ProblemType(413, "Too large for the memory of the device"),
    "time-limit": ProblemType(500, "The nowcast took too long"),
    "ledger-unavailable": ProblemType(503, "The ledger of nowcasts is not available"),
    "store-unavailable": ProblemType(503, "The store of files is not available"),
    "issuer-unavailable": ProblemType(503, "The issuer of tokens is not available"),
    "broker-unavailable": ProblemType(503, "The broker is not available"),
    "too-many-streams": ProblemType(503, "Too many event streams"),
    "queue-full": ProblemType(429, "As many nowcasts wait as may wait"),
    "too-many-jobs": ProblemType(429, "As many nowcasts of the client wait as may wait"),
    "daily-bytes-exceeded": ProblemType(429, "The client has sent as much as it may send within a day"),
    "request-timeout": ProblemType(408, "The request did not arrive in time"),
    "too-many-requests": ProblemType(429, "Too many requests a second"),
    "store-full": ProblemType(507, "Uploads and results take as much room as they may take"),
    "queue-deadline": ProblemType(503, "The nowcast waited too long for a worker"),
    "no-space": ProblemType(503, "No space is left for files"),
    "busy": ProblemType(503, "The service is busy"),
    "internal": ProblemType(500, "The service failed"),
    "not-found": ProblemType(404, "There is nothing at this address"),
    "method-not-allowed": ProblemType(405, "This address does not support that method"),
    "range-not-satisfiable": ProblemType(416, "The result has no such bytes"),
    "http-error": ProblemType(400, "The request cannot be processed"),
}
DEFAULT_TYPE: Final = ProblemType(422, "The input cannot be used")


def problem_type(code: str) -> ProblemType:
    """Return the problem type of an error's code; status 422 for a code that is not in the table."""
    return PROBLEM_TYPES.get(code, DEFAULT_TYPE)


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
