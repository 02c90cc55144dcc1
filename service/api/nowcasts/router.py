"""Routes of nowcasts."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import RedirectResponse, Response

from service.api.access.client import ClientDep, sender_of
from service.api.access.scopes import requires
from service.api.context import ContextDep
from service.api.event_streams import MEDIA_TYPE as EVENT_STREAM
from service.api.nowcasts import responses, tiles, upload
from service.api.nowcasts.admission import check_admission
from service.api.nowcasts.events import event_response
from service.api.nowcasts.form_fields import FORM_FIELDS
from service.api.nowcasts.listing import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    JobFilterDep,
    Model,
    NowcastList,
    latest_job_id,
    page_of_nowcasts,
)
from service.api.nowcasts.negotiation import FORMATS, choose_format
from service.api.nowcasts.own_job import OwnJobDep, PicturedJobDep, PointJobDep, ReadableJobDep
from service.api.nowcasts.point import pixel_at, point_series
from service.api.nowcasts.point_csv import MEDIA_TYPE as CSV
from service.api.nowcasts.point_csv import csv_of
from service.api.nowcasts.types import FrameList, Layer, PointSeries
from service.api.nowcasts.view import NowcastView
from service.api.nowcasts.webhook import WebhookDelivery, webhook_delivery
from service.api.problems import documented_problems
from service.api.sentence_style import Language, TimeZone, style_of
from service.jobs.api_keys import Scope
from service.status import NowcastStatus, path_of

router = APIRouter(prefix="/v1/nowcasts", tags=["nowcasts"])
router.include_router(tiles.router)
READ: Final = [requires(Scope.READ)]
NOWCAST: Final = [requires(Scope.NOWCAST)]

UPLOAD_SCHEMA: Final = {"type": "object", "required": ["files"], "properties": FORM_FIELDS}
UPLOAD_BODY: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": UPLOAD_SCHEMA}}}
}
RESULT_CONTENT: Final[dict[str, Any]] = {
    media[0]: {"schema": {"type": "string", "format": "binary"}} for media in FORMATS.values()
}

POINT_FORMATS: Final = {"json": ("application/json",), "csv": ("text/csv",)}


@router.post(
    "",
    operation_id="createNowcast",
    dependencies=NOWCAST,
    summary="Request a nowcast",
    status_code=202,
    response_model=NowcastStatus,
    openapi_extra=UPLOAD_BODY,
    responses={
        200: {"model": NowcastStatus, "description": "Finished while waiting (`Prefer: wait=N`), or stored before"},
        202: {
            "description": "Accepted: the nowcast is recorded, and survives a restart",
            "headers": {"Location": {"schema": {"type": "string"}, "description": "Address of the nowcast's status"}},
        },
        **documented_problems(
            *("idempotency-key-reused", "too-large", "too-many-files", "not-multipart", "no-files", "empty-file"),
            *("unknown-model", "steps-out-of-range", "callback-refused"),
            *("queue-full", "too-many-jobs", "daily-bytes-exceeded", "too-many-requests", "store-full", "no-space"),
            *("queue-deadline", "busy"),
            *("not-a-radar-file", "too-few-frames", "irregular-time-step", "no-data", "internal"),
        ),
    },
)
async def create(
    request: Request,
    context: ContextDep,
    client: ClientDep,
    prefer: Annotated[
        str | None,
        Header(
            alias="Prefer",
            description="`wait=N`: respond when the nowcast is finished, after N (at most 60) s at the latest.",
        ),
    ] = None,
    idempotency_key: upload.IdempotencyKey = None,
    cache_control: upload.CacheControl = None,
) -> Response:
    """Send the newest radar frames; a worker makes the forecast.

    The response comes at once, with the address of the status in `Location`. With `Prefer: wait=30` it comes when the
    nowcast is finished: 200 with links to the results, or the problem where the files cannot be used.

    A request whose result is stored, of the same client and by the same model, is answered with it at once (200).
    """
    fresh = upload.wants_fresh(cache_control)
    key = upload.check_key(idempotency_key)
    await check_admission(request, context, client, repeated=key is not None)
    form = await upload.read_form(request, context)
    try:
        files = upload.uploaded_files(form)
        options = await context.in_thread(upload.parse_options, form, context)
        job = await context.uploads.run(upload.create_job, context, client, files, options, key, fresh)
    finally:
        await form.close()
    return await responses.accepted_response(context, job, prefer)


@router.get(
    "",
    operation_id="listNowcasts",
    dependencies=READ,
    summary="List nowcasts",
    responses=documented_problems("invalid-parameter"),
)
async def list_nowcasts(
    request: Request,
    context: ContextDep,
    which: JobFilterDep,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Most nowcasts of a page.")] = DEFAULT_LIMIT,
    cursor: Annotated[str | None, Query(max_length=200, description="Of the link `next` of the page before.")] = None,
) -> NowcastList:
    """Return the client's own nowcasts, the newest first, in pages; an admin gets those of all clients."""
    return await page_of_nowcasts(context, request, which, limit, cursor)


@router.get(
    "/latest",
    operation_id="getLatestNowcast",
    dependencies=READ,
    summary="The newest successful nowcast",
    response_class=Response,
    status_code=307,
    responses={307: {"description": "Its status is at `Location`"}, **documented_problems("no-nowcast")},
)
async def latest(context: ContextDep, client: ClientDep, model: Model = None) -> Response:
    """Redirect to the client's own newest successful nowcast, of any model or of that one."""
    job_id = await latest_job_id(context, client.owner, model)
    return RedirectResponse(path_of(job_id), headers={"Cache-Control": "no-store"})


@router.get(
    "/{id:job}",
    operation_id="getNowcast",
    dependencies=READ,
    summary="Follow a nowcast",
    response_model=NowcastStatus,
    responses=documented_problems("unknown-job"),
)
async def status(context: ContextDep, job: ReadableJobDep) -> Response:
    """Return the status, the lead steps that are done, the model that runs, and links to the results."""
    headers = {} if job.status.finished else {"Retry-After": str(responses.RETRY_AFTER_SECONDS)}
    return await responses.status_response(context, job, headers=headers)


@router.get(
    "/{id}/events",
    operation_id="getNowcastEvents",
    dependencies=READ,
    summary="Follow a nowcast by events",
    response_class=Response,
    responses={
        200: {"description": "Events `status`, each with the status as JSON", "content": {EVENT_STREAM: {}}},
        204: {"description": "The nowcast has ended, and the client has the last event"},
        **documented_problems("unknown-job", "too-many-streams"),
    },
)
async def events(
    request: Request,
    context: ContextDep,
    client: ClientDep,
    job: ReadableJobDep,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", max_length=64, description="The last event that the client has.")
    ] = None,
) -> Response:
    """Send the status as server-sent events: at once, at each change, and at the end, which closes the stream.

    A client that comes back with `Last-Event-ID` gets what it has missed: the status, where it has changed since.
    """
    if "echocast.head" in request.scope:
        return Response(media_type=EVENT_STREAM)
    return event_response(context, sender_of(request, client), job, last_event_id)


@router.get(
    "/{id}/webhook",
    operation_id="getNowcastWebhook",
    dependencies=READ,
    summary="Whether a nowcast's webhook was delivered",
    response_model_exclude_none=True,
    responses=documented_problems("unknown-job", "no-webhook"),
)
async def webhook(context: ContextDep, job: OwnJobDep, response: Response) -> WebhookDelivery:
    """Return whether `callback_url` was called, how many times it was tried, and when it is tried again."""
    response.headers["Cache-Control"] = "no-store"
    return await context.in_thread(webhook_delivery, context, job)


@router.delete(
    "/{id:job}",
    operation_id="dismissNowcast",
    dependencies=NOWCAST,
    summary="Cancel a nowcast",
    response_model=NowcastStatus,
    responses=documented_problems("unknown-job", "already-finished"),
)
async def dismiss(job: OwnJobDep, context: ContextDep) -> Response:
    """Cancel between lead steps; a second request has the same response. A finished nowcast stays: 409."""
    job = await responses.dismissed_job(context, job)
    return await responses.status_response(context, job)


@router.get(
    "/{id}/result",
    operation_id="getResult",
    dependencies=READ,
    summary="Fetch the forecast",
    response_class=Response,
    responses={
        200: {"description": "The forecast", "content": RESULT_CONTENT},
        304: {"description": "Not modified: results never change"},
        **documented_problems(
            "unknown-job", "not-finished", "dismissed", "not-acceptable", "no-such-frame", "bad-input", "busy"
        ),
    },
)
async def result(
    job: PicturedJobDep,
    request: Request,
    context: ContextDep,
    file_format: Annotated[
        str | None,
        Query(alias="format", description="Overrides Accept.", json_schema_extra={"enum": [*FORMATS]}),
    ] = None,
    frame: Annotated[
        int | None, Query(ge=0, description="Index of the frame, for PNG; by default the first forecast.")
    ] = None,
) -> Response:
    """Return CF-netCDF (default), an animation as WebP or GIF, one frame as PNG, or GeoTIFF with a band per lead time.

    The netCDF and GeoTIFF files contain the forecast, and support byte ranges; the animations start with the observed
    frames.
    """
    responses.check_successful(job)
    chosen = choose_format(file_format, request.headers.get("accept"))
    return await responses.result_response(context, job, request, chosen, frame if chosen == "png" else None)


@router.get(
    "/{id}/frames",
    operation_id="getFrames",
    dependencies=READ,
    summary="List the frames",
    response_model=FrameList,
    responses=documented_problems("unknown-job", "not-finished", "dismissed", "busy"),
)
async def frames(job: PicturedJobDep, request: Request, context: ContextDep) -> Response:
    """List observed and forecast frames with times and pictures, the legend, and where on earth the grid lies."""
    responses.check_successful(job)
    return await responses.frames_response(context, job, request)


@router.get(
    "/{id}/frames/{index}.png",
    operation_id="getFramePicture",
    dependencies=READ,
    summary="One frame as a picture",
    response_class=Response,
    responses={
        200: {"description": "The frame", "content": {"image/png": {}}},
        **documented_problems("unknown-job", "not-finished", "dismissed", "no-such-frame", "invalid-parameter", "busy"),
    },
)
async def frame_picture(
    job: PicturedJobDep,
    index: int,
    request: Request,
    context: ContextDep,
    layer: Annotated[
        Layer, Query(description="`rain`, or `probability`: of at least `threshold` at each pixel of a forecast frame.")
    ] = "rain",
    threshold: Annotated[
        float | None,
        Query(description="Rain rate in mm/h, one of the `thresholds_mm_h` that /frames lists; default: the lowest."),
    ] = None,
) -> Response:
    """Return a PNG with a palette, north up. Dry is transparent; missing data is hatched grey.

    The colours are those of the legend that /frames has for the layer. A probability below 2 % is transparent.
    """
    responses.check_successful(job)
    return await responses.result_response(context, job, request, "png", index, layer, threshold)


@router.get(
    "/{id}/point",
    operation_id="getPoint",
    dependencies=READ,
    summary="Rain at one place",
    response_model=PointSeries,
    responses={
        200: {
            "description": "The series, with a summary as JSON",
            "content": {"text/csv": {"schema": {"type": "string"}}},
        },
        **documented_problems(
            "unknown-job", "not-finished", "dismissed", "not-acceptable", "outside-grid", "invalid-parameter", "busy"
        ),
    },
)
async def point(
    job: PointJobDep,
    request: Request,
    context: ContextDep,
    x: Annotated[float | None, Query(description="From the west edge, 0 to 1 of the picture.")] = None,
    y: Annotated[float | None, Query(description="From the north edge, 0 to 1 of the picture.")] = None,
    lon: Annotated[float | None, Query(description="Degrees east, WGS 84.")] = None,
    lat: Annotated[float | None, Query(description="Degrees north, WGS 84.")] = None,
    file_format: Annotated[
        str | None, Query(alias="format", description="Overrides Accept.", json_schema_extra={"enum": [*POINT_FORMATS]})
    ] = None,
    language: Language = None,
    time_zone: TimeZone = None,
) -> Response:
    """Return the pixel's rain rate over time, and when rain starts and ends, and the peak, also as a sentence.

    With probabilities: how likely rain, and each threshold, is at each time. With members: the range of the start and
    of the end, the chances of the next hour, and the range of the total. `null` means "no data", which is never the
    same as dry, nor a low probability. As CSV: the series without the summary; an empty field means "no data".
    """
    chosen = choose_format(file_format, request.headers.get("accept"), POINT_FORMATS)
    responses.check_successful(job)
    style = style_of(language, time_zone, request.headers.get("accept-language"), start_in_minutes=False)

    def at_place(view: NowcastView) -> PointSeries:
        return point_series(view, pixel_at(view.forecast.grid, x=x, y=y, lon=lon, lat=lat), style=style)

    series = await responses.in_view(context, context.points, job, at_place)
    if chosen == "csv":
        return Response(
            csv_of(series), headers={"Cache-Control": responses.IMMUTABLE, "Vary": "Accept"}, media_type=CSV
        )
    response = responses.immutable_response(series, vary="Accept, Accept-Language")
    response.headers["Content-Language"] = style.language
    return response
