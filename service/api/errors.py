"""Errors of the HTTP API, and the table of problem types: the status and title of every error's code."""

from __future__ import annotations

from typing import Final, NamedTuple

from model.core.errors import InputError
from service.jobs.job import Problem


class InvalidParameter(InputError):
    """A parameter or form field cannot be used."""

    code = "invalid-parameter"


class NoFiles(InputError):
    """The request contains no file."""

    code = "no-files"


class EmptyFile(InputError):
    """An uploaded file is empty."""

    code = "empty-file"


class TooManyFiles(InputError):
    """The request contains more files than the limit."""

    code = "too-many-files"


class NotMultipart(InputError):
    """The request's body is not multipart/form-data."""

    code = "not-multipart"


class NotJson(InputError):
    """The request's body is not JSON."""

    code = "not-json"


class ReferenceNotSupported(InputError):
    """An input is a link: the service fetches nothing for its clients."""

    code = "reference-not-supported"


class NoSuchProcess(InputError):
    """There is no OGC process of that id."""

    code = "no-such-process"


class NoSuchModel(InputError):
    """There is no model of that name or version."""

    code = "no-such-model"


class NoNowcast(InputError):
    """The client has no successful nowcast."""

    code = "no-nowcast"


class NoSuchFrame(InputError):
    """There is no frame of that index."""

    code = "no-such-frame"


class OutsideGrid(InputError):
    """The place is outside of the grid."""

    code = "outside-grid"


class NotAcceptable(InputError):
    """The result is not available in the requested format."""

    code = "not-acceptable"


class JobState(InputError):
    """The status of the nowcast rules out the request. `retry_after`: seconds after which it may succeed."""

    code = "job-state"

    def __init__(self, what: str, *, hint: str, job_status: str, retry_after: int | None = None) -> None:
        super().__init__(what, where="nowcast", hint=hint)
        self.job_status = job_status
        self.retry_after = retry_after


class NotFinished(JobState):
    """The nowcast has no result yet."""

    code = "not-finished"


class AlreadyFinished(JobState):
    """The nowcast is finished and cannot be cancelled."""

    code = "already-finished"


class Dismissed(JobState):
    """The nowcast was cancelled and has no result."""

    code = "dismissed"


class Busy(InputError):
    """Too many requests wait for the same kind of work. `retry_after`: seconds after which to try again."""

    code = "busy"

    def __init__(self, what: str, *, hint: str, retry_after: int) -> None:
        super().__init__(what, where="service", hint=hint)
        self.retry_after = retry_after


class NowcastFailed(Exception):
    """The requested nowcast failed; the response is the problem that the ledger has recorded."""

    def __init__(self, problem: Problem | None) -> None:
        super().__init__()
        self.problem = problem


class NoSample(InputError):
    """The bundled sample is not installed."""

    code = "no-sample"


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
    "stale-frame": ProblemType(422, "A feed's frame is not newer than the one before"),
    "future-frame": ProblemType(422, "A frame is in the future"),
    "no-data": ProblemType(422, "The frames contain no data"),
    "steps-out-of-range": ProblemType(422, "Too many or too few lead steps"),
    "unknown-model": ProblemType(422, "Unknown model"),
    "bad-package": ProblemType(500, "A model package of the service is broken"),
    "bad-aliases": ProblemType(500, "The service's list of aliases is damaged"),
    "too-large": ProblemType(413, "Too large"),
    "missing-dependency": ProblemType(500, "A Python package of the service is missing"),
    "missing-object": ProblemType(410, "The result was deleted"),
    "not-authenticated": ProblemType(401, "An API key is needed"),
    "invalid-credentials": ProblemType(401, "The API key is not accepted"),
    "insufficient-scope": ProblemType(403, "The API key does not permit this"),
    "wrong-host": ProblemType(421, "The service has another name"),
    "cross-origin": ProblemType(403, "A page of another origin may not do this"),
    "unknown-job": ProblemType(404, "No such nowcast"),
    "no-nowcast": ProblemType(404, "No successful nowcast yet"),
    "idempotency-key-reused": ProblemType(409, "The Idempotency-Key was used for another request"),
    "invalid-parameter": ProblemType(422, "A parameter cannot be used"),
    "no-files": ProblemType(422, "No radar files"),
    "empty-file": ProblemType(422, "An uploaded file is empty"),
    "too-many-files": ProblemType(413, "Too many files"),
    "not-multipart": ProblemType(415, "The request is not multipart/form-data"),
    "not-json": ProblemType(415, "The request is not JSON"),
    "reference-not-supported": ProblemType(422, "Inputs are not fetched from other servers"),
    "no-such-process": ProblemType(404, "No such process"),
    "no-such-model": ProblemType(404, "No such model"),
    "no-such-frame": ProblemType(404, "No such frame"),
    "outside-grid": ProblemType(422, "The place is outside of the radar's area"),
    "not-on-earth": ProblemType(422, "The grid has no relation to longitude and latitude"),
    "cannot-encode": ProblemType(500, "The result cannot be written in that format"),
    "cannot-show": ProblemType(422, "The result cannot be drawn"),
    "not-acceptable": ProblemType(406, "The result is not available in that format"),
    "not-finished": ProblemType(409, "The nowcast is not finished"),
    "already-finished": ProblemType(409, "The nowcast is already finished"),
    "dismissed": ProblemType(410, "The nowcast was cancelled"),
    "no-sample": ProblemType(404, "This installation has no sample"),
    "cannot-publish": ProblemType(500, "A feed's nowcast cannot be written"),
    "worker-lost": ProblemType(500, "The nowcast failed: the worker died"),
    "device-lost": ProblemType(500, "The nowcast failed: the device stopped responding"),
    "out-of-memory": ProblemType(413, "Too large for the memory of the device"),
    "time-limit": ProblemType(500, "The nowcast took too long"),
    "ledger-unavailable": ProblemType(503, "The ledger of nowcasts is not available"),
    "store-unavailable": ProblemType(503, "The store of files is not available"),
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
