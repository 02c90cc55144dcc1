"""Turns a job into its HTTP answers: status, result by format, conditional requests."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

from fastapi import Request
from fastapi.responses import FileResponse, Response

from service.api.context import Context
from service.api.errors import AlreadyFinished, Dismissed, NotAcceptable, NotFinished
from service.api.nowcasts.types import NETCDF, NowcastStatus, Progress, links_of, path_of
from service.api.nowcasts.view import View, reference_time
from service.api.problems import answer, problem_of_job
from service.jobs.job import Job, JobStatus
from service.render.rainfile import CannotShow

FORMATS: Final = {
    "netcdf": (NETCDF, "application/netcdf", "application/octet-stream"),
    "webp": ("image/webp",),
    "gif": ("image/gif",),
    "png": ("image/png",),
}
MAX_WAIT_SECONDS: Final = 60.0
RETRY_AFTER_SECONDS: Final = 1
IMMUTABLE: Final = "private, max-age=31536000, immutable"


def status_of(job: Job) -> NowcastStatus:
    """What a client sees of a job."""
    derived: dict[str, Any] = {
        "progress": Progress(done=job.progress_done, total=job.progress_total),
        "model_asked": job.model,
        "files": [item["name"] for item in job.inputs],
        "problem": problem_of_job(job.problem) if job.status is JobStatus.FAILED else None,
        "links": links_of(job),
    }
    columns = {name: getattr(job, name) for name in NowcastStatus.model_fields.keys() - derived.keys()}
    return NowcastStatus(**columns, **derived)


def status_response(job: Job, *, code: int = 200, headers: dict[str, str] | None = None) -> Response:
    body = status_of(job).model_dump_json(exclude_none=True)
    more = {"Cache-Control": "no-store", **(headers or {})}
    return Response(body, status_code=code, media_type="application/json", headers=more)


def wait_seconds(prefer: str | None) -> float | None:
    """Seconds of `Prefer: wait=N` (RFC 7240), at most MAX_WAIT_SECONDS; None where it is not asked for."""
    found = re.search(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})", prefer or "", re.IGNORECASE)
    return min(float(found[1]), MAX_WAIT_SECONDS) if found else None


async def finished(context: Context, job: Job, seconds: float) -> Job:
    """The job when it is finished, or as it is after `seconds`."""
    if job.status.finished:
        return job
    await context.completions.wait(job.id, seconds)
    return await context.in_thread(context.ledger.get, job.id)


async def accepted_response(context: Context, job: Job, prefer: str | None) -> Response:
    """202, or what became of the job where the client prefers to wait."""
    headers = {"Location": path_of(job.id)}
    wait = wait_seconds(prefer)
    if wait is None:
        return status_response(job, code=202, headers=headers)
    job = await finished(context, job, wait)
    headers["Preference-Applied"] = f"wait={wait:g}"
    if job.status is JobStatus.FAILED:
        return answer(problem_of_job(job.problem), headers)
    if job.status is JobStatus.DISMISSED:
        raise _dismissed()
    return status_response(job, code=200 if job.status.finished else 202, headers=headers)


def require_result(job: Job) -> Response | None:
    """None where there is a result; the problem of a job that failed.

    Raises
    ------
    NotFinished, Dismissed
    """
    if job.status is JobStatus.FAILED:
        return answer(problem_of_job(job.problem))
    if job.status is JobStatus.DISMISSED:
        raise _dismissed()
    if job.status is not JobStatus.SUCCESSFUL:
        raise not_finished(job)
    return None


def not_finished(job: Job) -> NotFinished:
    return NotFinished(
        f"the nowcast is {job.status.value}, {job.progress_done} of {job.progress_total} lead steps are done",
        hint=f"Ask again later, or follow {path_of(job.id)}",
        job_status=job.status.value,
        retry_after=RETRY_AFTER_SECONDS,
    )


def _dismissed() -> Dismissed:
    return Dismissed(
        "the nowcast was cancelled, it has no result",
        hint="Ask for a new nowcast",
        job_status=JobStatus.DISMISSED.value,
    )


def already_finished(job: Job) -> AlreadyFinished:
    return AlreadyFinished(
        f"the nowcast is {job.status.value}",
        hint="Nothing is left to cancel; its result is kept for a while",
        job_status=job.status.value,
    )


def chosen_format(named: str | None, accept: str | None) -> str:
    """The format by `?format=`, else by Accept (RFC 9110), netCDF where anything is welcome.

    Raises
    ------
    NotAcceptable
        None of ours is.
    """
    if named is not None:
        if named in FORMATS:
            return named
        raise _not_acceptable(named, "format")
    if not accept:
        return "netcdf"
    for media in _by_preference(accept):
        for name, types in FORMATS.items():
            if media in types or media in ("*/*", f"{types[0].partition('/')[0]}/*"):
                return name
    raise _not_acceptable(accept, "Accept")


def _by_preference(accept: str) -> list[str]:
    """Media types of an Accept header, most welcome first; those with q=0 are left out."""
    weighed = []
    for order, item in enumerate(accept.split(",")):
        media, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        weight = float(quality) if re.fullmatch(r"[01](\.\d{0,3})?", quality) else 0.0
        if weight > 0:
            weighed.append((-weight, media == "*/*", order, media))
    return [media for *_, media in sorted(weighed)]


def _not_acceptable(asked: str, where: str) -> NotAcceptable:
    return NotAcceptable(
        f"the result does not come as {asked[:100]!r}",
        where=where,
        hint=f"Ask for one of {', '.join(FORMATS)}",
    )


async def result_response(
    context: Context, job: Job, request: Request, file_format: str, frame: int | None
) -> Response:
    """The result in a format; it never changes, so a client that has it gets 304."""
    etag = f'"{job.id}-{file_format}{"" if frame is None else f"-{frame}"}"'
    headers = {"ETag": etag, "Cache-Control": IMMUTABLE, "Vary": "Accept"}
    known = request.headers.get("if-none-match", "")
    if etag in known or known.strip() == "*":
        return Response(status_code=304, headers=headers)
    if file_format == "netcdf":
        path = await context.in_thread(context.results.path, str(job.result_key))
        name = await context.in_thread(_netcdf_name, context, job)
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return FileResponse(path, media_type=NETCDF, headers=headers)
    view = await context.in_thread(View, context, job)
    name = file_name(view.reference_time, file_format)
    headers["Content-Disposition"] = f'inline; filename="{name}"'
    if file_format == "png":
        first_forecast = len(view.moments) - len(view.forecast)
        data = await context.drawing(view.png, first_forecast if frame is None else frame)
    else:
        data = await context.animating(view.animated, "webp" if file_format == "webp" else "gif")
    return Response(data, media_type=FORMATS[file_format][0], headers=headers)


def _netcdf_name(context: Context, job: Job) -> str:
    try:
        return file_name(reference_time(context.results.rain(str(job.result_key))), "nc")
    except CannotShow:  # it can be fetched all the same
        return f"nowcast_{job.id}.nc"


def file_name(reference: datetime, suffix: str) -> str:
    """`nowcast_20260601T1200Z.nc`."""
    return f"nowcast_{reference:%Y%m%dT%H%MZ}.{suffix}"
