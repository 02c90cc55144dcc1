"""HTTP responses of a job: its status, and its result by format."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from fastapi import Request
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel

from service.api.context import GatewayContext
from service.api.errors import AlreadyFinished, Dismissed, NotFinished, NowcastFailed
from service.api.nowcasts.negotiation import FORMATS, wait_seconds
from service.api.nowcasts.types import NETCDF, Layer, NowcastStatus, Progress, links_of, path_of
from service.api.nowcasts.view import NowcastView, reference_time
from service.api.problems import problem_of_job, problem_response
from service.jobs.job import Job, JobStatus
from service.render.forecast_reader import CannotShow

RETRY_AFTER_SECONDS: Final = 1
IMMUTABLE: Final = "private, max-age=31536000, immutable"


def status_of(job: Job) -> NowcastStatus:
    """Return the status of a job as clients see it: columns of the job by name, and what is derived from others."""
    derived: dict[str, Any] = {
        "progress": Progress(done=job.progress_done, total=job.progress_total),
        "model_asked": job.model,
        "field": job.forecast_output.field,
        "probabilities": job.forecast_output.thresholds_mm_h,
        "members": job.forecast_output.members,
        "seed": job.forecast_output.seed,
        "files": [item["name"] for item in job.inputs],
        "problem": problem_of_job(job.problem) if job.status is JobStatus.FAILED else None,
        "links": links_of(job),
    }
    columns = {name: getattr(job, name) for name in NowcastStatus.model_fields.keys() - derived.keys()}
    return NowcastStatus(**columns, **derived)


def status_response(job: Job, *, code: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return the response with the status of a job."""
    body = status_of(job).model_dump_json(exclude_none=True)
    more = {"Cache-Control": "no-store", **(headers or {})}
    return Response(body, status_code=code, media_type="application/json", headers=more)


async def accepted_response(context: GatewayContext, job: Job, prefer: str | None) -> Response:
    """Return 202, or the outcome of the job where the client prefers to wait for it.

    Raises
    ------
    Dismissed
        The job was cancelled meanwhile.
    """
    headers = {"Location": path_of(job.id)}
    wait = wait_seconds(prefer)
    if wait is None:
        return status_response(job, code=202, headers=headers)
    if not job.status.finished:
        await context.completions.wait(job.id, wait)
        job = await context.in_thread(context.ledger.get, job.id)
    headers["Preference-Applied"] = f"wait={wait:g}"
    if job.status is JobStatus.FAILED:
        return problem_response(problem_of_job(job.problem), headers)
    if job.status is JobStatus.DISMISSED:
        raise _dismissed()
    return status_response(job, code=200 if job.status.finished else 202, headers=headers)


def check_successful(job: Job) -> None:
    """Raise where a job has no result.

    Raises
    ------
    NowcastFailed, NotFinished, Dismissed
        It has none, or none yet.
    """
    if job.status is JobStatus.FAILED:
        raise NowcastFailed(job.problem)
    if job.status is JobStatus.DISMISSED:
        raise _dismissed()
    if job.status is not JobStatus.SUCCESSFUL:
        raise NotFinished(
            f"the nowcast is {job.status.value}, {job.progress_done} of {job.progress_total} lead steps are done",
            hint=f"Ask again later, or follow {path_of(job.id)}",
            job_status=job.status.value,
            retry_after=RETRY_AFTER_SECONDS,
        )


async def dismissed_job(context: GatewayContext, job: Job) -> Job:
    """Cancel a job between lead steps, and return it; a job that was cancelled before stays as it is.

    Raises
    ------
    AlreadyFinished
        It is finished.
    """
    dismissed = await context.in_thread(context.ledger.dismiss, job.id)
    job = await context.in_thread(context.ledger.get, job.id)
    if not dismissed and job.status is not JobStatus.DISMISSED:
        raise AlreadyFinished(
            f"the nowcast is {job.status.value}",
            hint="Nothing is left to cancel; the result is kept for a while",
            job_status=job.status.value,
        )
    return job


async def view_of(context: GatewayContext, job: Job) -> NowcastView:
    """Open the frames of a job that has a result; raises what `check_successful` does."""
    check_successful(job)
    return await context.in_thread(NowcastView, context, job)


def _dismissed() -> Dismissed:
    return Dismissed(
        "the nowcast was cancelled, it has no result",
        hint="Request a new nowcast",
        job_status=JobStatus.DISMISSED.value,
    )


def immutable_response(content: BaseModel) -> Response:
    """Return JSON derived from a result; results never change."""
    headers = {"Cache-Control": IMMUTABLE}
    return Response(content.model_dump_json(), media_type="application/json", headers=headers)


async def result_response(
    context: GatewayContext,
    job: Job,
    request: Request,
    file_format: str,
    frame: int | None,
    layer: Layer = "rain",
    threshold_mm_h: float | None = None,
) -> Response:
    """Return the result in a format, or 304 to a client that has it: results never change.

    `layer` and `threshold_mm_h` are for PNG, as in `NowcastView.png`.

    Raises
    ------
    NoSuchFrame
        There is no frame of the index `frame`, or no probability of it.
    InvalidParameter
        The result has no such layer or threshold.
    MissingObject
        The result was deleted.
    CannotShow
        The result cannot be drawn.
    """
    asked = [file_format, frame, None if layer == "rain" else layer, threshold_mm_h]
    etag = f'"{"-".join([job.id, *(str(part) for part in asked if part is not None)])}"'
    headers = {"ETag": etag, "Cache-Control": IMMUTABLE, "Vary": "Accept"}
    known = request.headers.get("if-none-match", "")
    if etag in known or known.strip() == "*":
        return Response(status_code=304, headers=headers)
    if file_format == "netcdf":
        path = await context.in_thread(context.results.path, str(job.result_key))
        name = await context.in_thread(_netcdf_name, context, job)
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return FileResponse(path, media_type=NETCDF, headers=headers)
    view = await context.in_thread(NowcastView, context, job)
    name = file_name(view.reference_time, file_format)
    headers["Content-Disposition"] = f'inline; filename="{name}"'
    if file_format == "png":
        first_forecast = len(view.frames) - len(view.forecast)
        data = await context.draw_frame(view.png, first_forecast if frame is None else frame, layer, threshold_mm_h)
    else:
        data = await context.draw_animation(view.animation, "webp" if file_format == "webp" else "gif")
    return Response(data, media_type=FORMATS[file_format][0], headers=headers)


def _netcdf_name(context: GatewayContext, job: Job) -> str:
    try:
        return file_name(reference_time(context.results.rain(str(job.result_key))), "nc")
    except CannotShow:  # the file can be fetched nevertheless
        return f"nowcast_{job.id}.nc"


def file_name(reference: datetime, suffix: str) -> str:
    """Return a file name such as `nowcast_20260601T1200Z.nc`."""
    return f"nowcast_{reference:%Y%m%dT%H%MZ}.{suffix}"
