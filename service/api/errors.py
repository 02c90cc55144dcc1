"""Errors of the HTTP API."""

from __future__ import annotations

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


class NoSuchFeed(InputError):
    """There is no feed of that name."""

    code = "no-such-feed"


class NotPushed(InputError):
    """The frames of a feed are not sent over HTTP."""

    code = "feed-not-pushed"


class NoSuchRun(InputError):
    """A feed has no run from that reference time."""

    code = "no-such-run"


class RunNotFailed(InputError):
    """A run of a feed has a nowcast, or is about to have one."""

    code = "run-not-failed"


class NoSuchProduct(InputError):
    """A run has no product of that name, or none yet."""

    code = "no-such-product"


class NoSuchLocation(InputError):
    """A feed names no place of that name."""

    code = "no-such-location"


class NoNowcast(InputError):
    """The client, or a feed, has no successful nowcast."""

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


class NoWebhook(InputError):
    """The nowcast has no webhook."""

    code = "no-webhook"


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


class NoWebPush(InputError):
    """The service has no web push."""

    code = "no-web-push"


class NoSuchSubscription(InputError):
    """There is no push subscription of that id."""

    code = "no-such-subscription"


class NoSample(InputError):
    """The bundled sample is not installed."""

    code = "no-sample"
