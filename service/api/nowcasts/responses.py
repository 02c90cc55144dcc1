"""HTTP responses of a job: its status, and its result by format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from fastapi import Request
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from service.api.context import GatewayContext
from service.api.errors import AlreadyFinished, Dismissed, NotFinished, NowcastFailed
from service.api.nowcasts.geotiff import check_available, store_geotiff
from service.api.nowcasts.negotiation import FORMATS, wait_seconds
from service.api.nowcasts.types import Layer
from service.api.nowcasts.view import NowcastView
from service.api.problems import problem_response
from service.api.view_cache import RenderedView
from service.api.work_pool import WorkPool
from service.jobs.fair_share import FairShare
from service.jobs.job import Job, JobStatus
from service.problem_details import problem_of_job
from service.render.forecast_reader import CannotShow
from service.status import NETCDF, NowcastStatus, path_of, status_of
from service.store import delete_uploads, geotiff_key

T = TypeVar("T")

RETRY_AFTER_SECONDS: Final = 1
IMMUTABLE: Final = "private, max-age=31536000, immutable"


async def current_status(context: GatewayContext, job: Job) -> NowcastStatus:
    """Return the status of a job as clients see it, with its place in the queue and when it is expected to be done."""
    return status_of(job) if job.status.finished else await context.in_thread(estimated_status, context.fair_share, job)


def estimated_status(fair_share: FairShare, job: Job) -> NowcastStatus:
    """Return the status of a job with estimates. Where no nowcast of its model was measured lately, it has no time."""
    status = status_of(job)
    estimate = fair_share.estimate(job)
    if estimate is not None:
        status.queue_position = estimate.position
        if fair_share.is_measured(job.model):
            status.estimated_completion = datetime.now(UTC) + timedelta(seconds=round(estimate.seconds_to_finish))
    return status


async def status_response(
    context: GatewayContext, job: Job, *, code: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return the response with the status of a job."""
    body = (await current_status(context, job)).model_dump_json(exclude_none=True)
    more = {"Cache-Control": "no-store", **(headers or {})}
    return Response(body, status_code=code, media_type="application/json", headers=more)


async def accepted_response(context: GatewayContext, job: Job, prefer: str | None) -> Response:
    """Return 202; or the outcome of the job where the client prefers to wait for it, or it is known.

    Raises
    ------
    Dismissed
        The job was cancelled meanwhile.
    """
    headers = {"Location": path_of(job.id)}
    wait = wait_seconds(prefer)
    if wait is None:
        return await status_response(context, job, code=200 if job.status.finished else 202, headers=headers)
    if not job.status.finished:
        await context.jobs.wait(job.id, wait)
        job = await context.in_thread(context.ledger.get, job.id)
    headers["Preference-Applied"] = f"wait={wait:g}"
    if job.status is JobStatus.FAILED:
        return problem_response(problem_of_job(job.problem), headers)
    if job.status is JobStatus.DISMISSED:
        raise _dismissed()
    return await status_response(context, job, code=200 if job.status.finished else 202, headers=headers)


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
    await context.in_thread(context.queue.notify_completed, job.id)
    if dismissed:
        await context.in_thread(delete_uploads, context.store, job.id)
    job = await context.in_thread(context.ledger.get, job.id)
    if not dismissed and job.status is not JobStatus.DISMISSED:
        raise AlreadyFinished(
            f"the nowcast is {job.status.value}",
            hint="Nothing is left to cancel; the result is kept for a while",
            job_status=job.status.value,
        )
    return job


async def in_view(context: GatewayContext, pool: WorkPool, job: Job, function: Callable[[NowcastView], T]) -> T:
    """Run a call on the frames of a successful job in a thread of `pool`.

    Raises
    ------
    MissingObject
        The result was deleted.
    CannotShow
        The result cannot be drawn.
    Busy
        Too many requests wait.
    """
    rain = context.results.rain
    keys = [key for key in (job.result_key, job.input_key) if key]
    async with context.results.held(*keys) as paths:
        return await pool.run(lambda: function(NowcastView(job, *(rain(path) for path in paths))))


def _dismissed() -> Dismissed:
    return Dismissed(
        "the nowcast was cancelled, it has no result",
        hint="Request a new nowcast",
        job_status=JobStatus.DISMISSED.value,
    )


def not_modified(request: Request, headers: Mapping[str, str]) -> Response | None:
    """Return 304 for a client that has the response of `headers`; None otherwise."""
    known = request.headers.get("if-none-match", "")
    if headers["ETag"] in known or known.strip() == "*":
        return Response(status_code=304, headers=dict(headers))
    return None


async def frames_response(context: GatewayContext, job: Job, request: Request) -> Response:
    """Return the list of frames, or 304; raises what `in_view` does."""
    tag = f"{job.id}-frames"
    headers = {"ETag": f'"{tag}"', "Cache-Control": IMMUTABLE}

    if (unchanged := not_modified(request, headers)) is not None:
        return unchanged

    def render(view: NowcastView) -> RenderedView:
        return RenderedView(view.frame_list().model_dump_json().encode())

    listed = await context.view_cache.get(tag, lambda: in_view(context, context.pictures, job, render))
    return Response(listed.content, media_type="application/json", headers=headers)


def immutable_response(content: BaseModel, vary: str = "Accept") -> Response:
    """Return JSON derived from a result; results never change, and some have other formats at the same address."""
    headers = {"Cache-Control": IMMUTABLE, "Vary": vary}
    return Response(content.model_dump_json(), media_type="application/json", headers=headers)


def pool_of(context: GatewayContext, file_format: str) -> WorkPool:
    """Return the threads that make a result's format."""
    return context.animations if file_format in ("webp", "gif", "geotiff") else context.pictures


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
    NotAcceptable, CannotEncode
        This gateway makes no GeoTIFF, or none of this result.
    Busy
        Too many requests wait for pictures or animations.
    """
    threshold = None if threshold_mm_h is None else f"{threshold_mm_h:.6g}"
    asked = [file_format, frame, None if layer == "rain" else layer, threshold]
    tag = "-".join([job.id, *(str(part) for part in asked if part is not None)])
    headers = {"ETag": f'"{tag}"', "Cache-Control": IMMUTABLE, "Vary": "Accept"}
    if (unchanged := not_modified(request, headers)) is not None:
        return unchanged
    if file_format == "netcdf":
        return await _netcdf_response(context, job, headers)
    if file_format == "geotiff":
        return await _geotiff_response(context, job, headers)

    def render(view: NowcastView) -> RenderedView:
        if file_format == "png":
            content = view.png(view.first_forecast if frame is None else frame, layer, threshold_mm_h)
        else:
            content = view.animation("webp" if file_format == "webp" else "gif")
        return RenderedView(content, file_name(view.reference_time, file_format))

    pool = pool_of(context, file_format)
    rendered = await context.view_cache.get(tag, lambda: in_view(context, pool, job, render))
    headers["Content-Disposition"] = f'inline; filename="{rendered.file_name}"'
    return Response(rendered.content, media_type=FORMATS[file_format][0], headers=headers)


async def _netcdf_response(context: GatewayContext, job: Job, headers: Mapping[str, str]) -> Response:
    """Return the netCDF file, which is kept until it is sent."""
    key, held = str(job.result_key), AsyncExitStack()
    async with context.results.held(key) as [path]:
        name = await context.points.run(_netcdf_name, context, job, path)
        await held.enter_async_context(context.results.held(key))
    headers = {**headers, "Content-Disposition": f'attachment; filename="{name}"'}
    return HeldFileResponse(held, path, media_type=NETCDF, headers=headers)


async def _geotiff_response(context: GatewayContext, job: Job, headers: Mapping[str, str]) -> Response:
    """Return the GeoTIFF file, made at the first request, and kept until it is sent."""
    check_available()
    key, held = geotiff_key(job.id), AsyncExitStack()

    def name_of(view: NowcastView) -> str:
        return file_name(view.reference_time, "tif")

    name = await in_view(context, context.points, job, name_of)
    if not await context.pictures.look_up(context.store.exists, key):
        make = partial(store_geotiff, context.store, context.ledger, job.id)
        await in_view(context, context.animations, job, lambda view: make(view.forecast))
    [path] = await held.enter_async_context(context.results.held(key))
    headers = {**headers, "Content-Disposition": f'attachment; filename="{name}"'}
    return HeldFileResponse(held, path, media_type=FORMATS["geotiff"][0], headers=headers)


class HeldFileResponse(FileResponse):
    """A file that is released once it is sent, or the client is gone."""

    chunk_size = 1 << 18  # each chunk waits for a thread

    def __init__(self, held: AsyncExitStack, path: Path, *, media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(path, media_type=media_type, headers=headers)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file."""
        async with self._held:
            await super().__call__(scope, receive, send)


def _netcdf_name(context: GatewayContext, job: Job, path: Path) -> str:
    try:
        return file_name(context.results.rain(path).reference_time, "nc")
    except CannotShow:  # the file can be fetched nevertheless
        return f"nowcast_{job.id}.nc"


def file_name(reference: datetime, suffix: str) -> str:
    """Return a file name such as `nowcast_20260601T1200Z.nc`."""
    return f"nowcast_{reference:%Y%m%dT%H%MZ}.{suffix}"
