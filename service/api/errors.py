"""Errors that only HTTP knows, and the one table from every error's code to its status and title."""

from __future__ import annotations

from typing import Final, NamedTuple

from model.core.errors import InputError


class InvalidParameter(InputError):
    code = "invalid-parameter"


class NoFiles(InputError):
    code = "no-files"


class EmptyFile(InputError):
    code = "empty-file"


class TooManyFiles(InputError):
    code = "too-many-files"


class NotMultipart(InputError):
    code = "not-multipart"


class NoSuchModel(InputError):
    code = "no-such-model"


class NoSuchFrame(InputError):
    code = "no-such-frame"


class OutsideGrid(InputError):
    code = "outside-grid"


class NotAcceptable(InputError):
    code = "not-acceptable"


class JobState(InputError):
    """The nowcast's status is against it. `retry_after`: seconds, where asking again may help."""

    code = "job-state"

    def __init__(self, what: str, *, hint: str, job_status: str, retry_after: int | None = None) -> None:
        super().__init__(what, where="nowcast", hint=hint)
        self.job_status = job_status
        self.retry_after = retry_after


class NotFinished(JobState):
    code = "not-finished"


class AlreadyFinished(JobState):
    code = "already-finished"


class Dismissed(JobState):
    code = "dismissed"


class NoSample(InputError):
    code = "no-sample"


class Kind(NamedTuple):
    """What a problem's type means: its HTTP status and its title."""

    status: int
    title: str


KINDS: Final[dict[str, Kind]] = {
    "bad-input": Kind(422, "The input cannot be used"),
    "bad-setting": Kind(500, "A setting of the service is wrong"),
    "not-a-radar-file": Kind(422, "Not a radar file that can be read"),
    "unknown-variable": Kind(422, "The file does not hold that variable"),
    "mixed-grids": Kind(422, "The frames lie on different grids"),
    "duplicate-times": Kind(422, "Two frames have the same time"),
    "too-few-frames": Kind(422, "Too few frames"),
    "irregular-time-step": Kind(422, "A frame is missing"),
    "stale-frame": Kind(422, "A feed's frame is not newer than the one before"),
    "future-frame": Kind(422, "A frame lies in the future"),
    "no-data": Kind(422, "The frames hold no data"),
    "steps-out-of-range": Kind(422, "Too many or too few lead steps"),
    "unknown-model": Kind(422, "Unknown model"),
    "bad-package": Kind(500, "A model package of the service is broken"),
    "bad-aliases": Kind(500, "The service's list of aliases is damaged"),
    "too-large": Kind(413, "Too large"),
    "missing-dependency": Kind(500, "The service lacks a package"),
    "missing-object": Kind(410, "The result was deleted"),
    "unknown-job": Kind(404, "No such nowcast"),
    "idempotency-key-reused": Kind(409, "The Idempotency-Key was used for another request"),
    "invalid-parameter": Kind(422, "A parameter cannot be used"),
    "no-files": Kind(422, "No radar files"),
    "empty-file": Kind(422, "An uploaded file is empty"),
    "too-many-files": Kind(413, "Too many files"),
    "not-multipart": Kind(415, "The request is not multipart/form-data"),
    "no-such-model": Kind(404, "No such model"),
    "no-such-frame": Kind(404, "No such frame"),
    "outside-grid": Kind(422, "The place lies outside of the radar's area"),
    "not-on-earth": Kind(422, "The grid has no relation to longitude and latitude"),
    "cannot-show": Kind(422, "The result cannot be drawn"),
    "not-acceptable": Kind(406, "The result does not come in that format"),
    "not-finished": Kind(409, "The nowcast is not finished"),
    "already-finished": Kind(409, "The nowcast is finished already"),
    "dismissed": Kind(410, "The nowcast was cancelled"),
    "no-sample": Kind(404, "This installation has no sample"),
    "cannot-publish": Kind(500, "A feed's nowcast cannot be written"),
    "worker-lost": Kind(500, "The nowcast failed: its worker died"),
    "device-lost": Kind(500, "The nowcast failed: its device stopped to answer"),
    "out-of-memory": Kind(413, "Too large for the memory of the device"),
    "time-limit": Kind(500, "The nowcast took too long"),
    "internal": Kind(500, "The service failed"),
    "not-found": Kind(404, "No such page"),
    "method-not-allowed": Kind(405, "This address does not take that method"),
    "http-error": Kind(400, "The request cannot be answered"),
}
DEFAULT_KIND: Final = Kind(422, "The input cannot be used")


def kind_of(code: str) -> Kind:
    """Status and title of a code; 422 for one that is not in the table."""
    return KINDS.get(code, DEFAULT_KIND)
