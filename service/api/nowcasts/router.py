"""Routes of nowcasts."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import Response

from service.api.context import Context, InContext
from service.api.nowcasts import answers, upload
from service.api.nowcasts.point import point_series
from service.api.nowcasts.types import Frames, NowcastStatus, PointSeries
from service.api.nowcasts.view import View
from service.api.problems import responses
from service.jobs.job import Job, JobStatus

router = APIRouter(prefix="/v1/nowcasts", tags=["nowcasts"])

JobId = Annotated[str, Path(alias="id", max_length=64, description="The nowcast's opaque id.")]

UPLOAD_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "Radar files: one with several times, or one for each time. "
                            "ODIM HDF5, KNMI HDF5, CF netCDF, GRIB2, RADOLAN, GeoTIFF; gzip, bzip2 or zip around them.",
                        },
                        "model": {
                            "type": "string",
                            "default": "auto",
                            "description": "`NAME`, `NAME@VERSION`, or `auto`: the default model where it "
                            "fits the frames, else extrapolation.",
                        },
                        "steps": {
                            "type": "integer",
                            "default": upload.DEFAULT_STEPS,
                            "minimum": 1,
                            "description": "Lead steps, each as long as the frames' time step: as many as lie within "
                            "the model's `max_lead_minutes`, such as 36 steps of 5 min within 180, and at most its "
                            "`max_steps`.",
                        },
                        "variable": {
                            "type": "string",
                            "description": "Which variable of the files; left out, it is found by itself.",
                        },
                        "zr": {
                            "type": "string",
                            "description": "Z-R relation that turns reflectivity into rain rate.",
                            "enum": ["marshall-palmer", "fmi", "hko7", "wsr-88d"],
                        },
                    },
                }
            }
        },
    }
}
RESULT_CONTENT: Final[dict[str, Any]] = {
    media[0]: {"schema": {"type": "string", "format": "binary"}} for media in answers.FORMATS.values()
}


@router.post(
    "",
    operation_id="createNowcast",
    summary="Ask for a nowcast",
    status_code=202,
    response_model=NowcastStatus,
    openapi_extra=UPLOAD_BODY,
    responses={
        200: {"model": NowcastStatus, "description": "Finished while waiting (`Prefer: wait=N`)"},
        202: {
            "description": "Accepted: it is in the ledger, and survives a restart",
            "headers": {"Location": {"schema": {"type": "string"}, "description": "Where to follow it"}},
        },
        **responses(
            "idempotency-key-reused",
            "too-large",
            "too-many-files",
            "not-multipart",
            "no-files",
            "empty-file",
            "unknown-model",
            "steps-out-of-range",
            "not-a-radar-file",
            "too-few-frames",
            "irregular-time-step",
            "no-data",
            "internal",
        ),
    },
)
async def create(
    request: Request,
    context: InContext,
    prefer: Annotated[
        str | None,
        Header(alias="Prefer", description="`wait=N`: answer when done, after N (at most 60) seconds at the latest."),
    ] = None,
    idempotency_key: Annotated[
        str | None,
        Header(alias="Idempotency-Key", description="The same key with the same request gives the same nowcast."),
    ] = None,
) -> Response:
    """Send the newest radar frames; a worker makes the forecast.

    The answer comes at once, with where to follow it in `Location`. With `Prefer: wait=30` it comes when the
    nowcast is done: 200 with its links, or the problem where the files cannot be used.
    """
    key = upload.checked_key(idempotency_key)
    form = await upload.read_form(request, context)
    try:
        files = upload.checked_files(form)
        asked = await context.in_thread(upload.checked_fields, form, context)
        job = await context.in_thread(upload.accept, context, files, asked, key)
    finally:
        await form.close()
    return await answers.accepted_response(context, job, prefer)


@router.get(
    "/{id}",
    operation_id="getNowcast",
    summary="Follow a nowcast",
    response_model=NowcastStatus,
    responses=responses("unknown-job"),
)
async def status(job_id: JobId, context: InContext) -> Response:
    """Status, lead steps done, the model that runs, and links to the results once there are any."""
    job = await context.in_thread(context.ledger.get, job_id)
    headers = {} if job.status.finished else {"Retry-After": str(answers.RETRY_AFTER_SECONDS)}
    return answers.status_response(job, headers=headers)


@router.delete(
    "/{id}",
    operation_id="dismissNowcast",
    summary="Cancel a nowcast",
    response_model=NowcastStatus,
    responses=responses("unknown-job", "already-finished"),
)
async def dismiss(job_id: JobId, context: InContext) -> Response:
    """Cancel between lead steps; asked twice, it answers the same. A nowcast that is finished stays: 409."""
    dismissed = await context.in_thread(context.ledger.dismiss, job_id)
    job = await context.in_thread(context.ledger.get, job_id)
    if not dismissed and job.status is not JobStatus.DISMISSED:
        raise answers.already_finished(job)
    return answers.status_response(job)


@router.get(
    "/{id}/result",
    operation_id="getResult",
    summary="Fetch the forecast",
    response_class=Response,
    responses={
        200: {"description": "The forecast", "content": RESULT_CONTENT},
        304: {"description": "Not changed: results never do"},
        **responses("unknown-job", "not-finished", "dismissed", "not-acceptable", "no-such-frame", "bad-input"),
    },
)
async def result(
    job_id: JobId,
    request: Request,
    context: InContext,
    file_format: Annotated[
        str | None, Query(alias="format", description="netcdf, webp, gif or png; comes before Accept.")
    ] = None,
    frame: Annotated[
        int | None, Query(ge=0, description="Which frame, for PNG; the first forecast where left out.")
    ] = None,
) -> Response:
    """CF-netCDF (default; takes byte ranges), an animation as WebP or GIF, or one frame as PNG.

    The netCDF holds the forecast; the pictures begin with the frames that were observed.
    """
    job = await context.in_thread(context.ledger.get, job_id)
    failure = answers.require_result(job)
    if failure is not None:
        return failure
    chosen = answers.chosen_format(file_format, request.headers.get("accept"))
    return await answers.result_response(context, job, request, chosen, frame if chosen == "png" else None)


@router.get(
    "/{id}/frames",
    operation_id="getFrames",
    summary="List the frames",
    response_model=Frames,
    responses=responses("unknown-job", "not-finished", "dismissed"),
)
async def frames(job_id: JobId, context: InContext) -> Response:
    """Observed and forecast frames with times and pictures, the legend, and where on earth the grid lies."""
    view = await _view(context, job_id)
    if isinstance(view, Response):
        return view
    manifest = await context.in_thread(view.manifest)
    return Response(
        manifest.model_dump_json(),
        media_type="application/json",
        headers={"Cache-Control": answers.IMMUTABLE},
    )


@router.get(
    "/{id}/frames/{index}.png",
    operation_id="getFramePicture",
    summary="One frame as a picture",
    response_class=Response,
    responses={
        200: {"description": "The frame", "content": {"image/png": {}}},
        **responses("unknown-job", "not-finished", "dismissed", "no-such-frame"),
    },
)
async def frame_picture(job_id: JobId, index: int, request: Request, context: InContext) -> Response:
    """PNG with a palette, north up. Dry is transparent; where rain is not known, it is hatched grey."""
    job = await context.in_thread(context.ledger.get, job_id)
    failure = answers.require_result(job)
    if failure is not None:
        return failure
    return await answers.result_response(context, job, request, "png", index)


@router.get(
    "/{id}/point",
    operation_id="getPoint",
    summary="Rain at one place",
    response_model=PointSeries,
    responses=responses("unknown-job", "not-finished", "dismissed", "outside-grid", "invalid-parameter"),
)
async def point(
    job_id: JobId,
    context: InContext,
    x: Annotated[float | None, Query(description="From west, 0 to 1 of the picture.")] = None,
    y: Annotated[float | None, Query(description="From north, 0 to 1 of the picture.")] = None,
    lon: Annotated[float | None, Query(description="Degrees east, WGS 84.")] = None,
    lat: Annotated[float | None, Query(description="Degrees north, WGS 84.")] = None,
) -> Response:
    """The pixel's rain rate through time, and a summary: when rain starts and ends, and its peak.

    `null` means "no data", which is never the same as dry.
    """
    view = await _view(context, job_id)
    if isinstance(view, Response):
        return view
    series = await context.in_thread(point_series, view, x=x, y=y, lon=lon, lat=lat)
    return Response(
        series.model_dump_json(), media_type="application/json", headers={"Cache-Control": answers.IMMUTABLE}
    )


async def _view(context: Context, job_id: str) -> View | Response:
    job: Job = await context.in_thread(context.ledger.get, job_id)
    failure = answers.require_result(job)
    return failure if failure is not None else await context.in_thread(View, context, job)
