"""Routes of OGC API - Processes - Part 1 (1.0). Each does what the route of /v1/nowcasts beside it does."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import Response
from starlette.datastructures import UploadFile

from service.api.access.client import Client, ClientDep
from service.api.access.scopes import PUBLIC, requires
from service.api.context import ContextDep, GatewayContext
from service.api.errors import NoSuchProcess
from service.api.nowcasts import responses, upload
from service.api.nowcasts.admission import check_admission
from service.api.nowcasts.listing import MAX_LIMIT, page_of_jobs
from service.api.nowcasts.negotiation import DEFAULT_FORMAT, FORMATS, choose_format, wait_seconds
from service.api.nowcasts.own_job import own_job
from service.api.processes.description import CLASSES, JSON, process, process_summary
from service.api.processes.exceptions import ProcessesRoute, documented_exceptions
from service.api.processes.execution import parse_execution, read_body
from service.api.processes.job_filter import JobListFilterDep
from service.api.processes.types import (
    PROCESS_ID,
    Conformance,
    Execute,
    JobList,
    Process,
    ProcessList,
    Results,
    StatusInfo,
    job_path,
    status_info,
)
from service.jobs.api_keys import Scope
from service.jobs.job import Job
from service.status import Link, path_of

router = APIRouter(tags=["OGC API - Processes"], route_class=ProcessesRoute)

ProcessId = Annotated[str, Path(alias="processID", max_length=64, description="`nowcast`, the only process.")]
READ: Final = [requires(Scope.READ)]
NOWCAST: Final = [requires(Scope.NOWCAST)]
DOCUMENT: Final = "document"
RESULT_FORMATS: Final = {**FORMATS, DOCUMENT: (JSON,)}
RESULT_CONTENT: Final[dict[str, Any]] = {
    JSON: {"schema": {"$ref": "#/components/schemas/Results"}},
    **{media[0]: {"schema": {"type": "string", "format": "binary"}} for media in FORMATS.values()},
}


async def _own_job(
    job_id: Annotated[str, Path(alias="jobID", max_length=64, description="The job's opaque id, as of /v1/nowcasts.")],
    context: ContextDep,
    client: ClientDep,
) -> Job:
    return await own_job(context, client, job_id)


OwnJobDep = Annotated[Job, Depends(_own_job)]


@router.get("/conformance", dependencies=[PUBLIC], operation_id="getConformance", summary="Conformance classes")
async def conformance() -> Conformance:
    """List the conformance classes of OGC API - Processes that the service declares."""
    return Conformance(conformsTo=CLASSES)


@router.get("/processes", dependencies=[PUBLIC], operation_id="getProcesses", summary="List the processes")
async def processes(
    limit: Annotated[int, Query(ge=1, le=10_000, description="Largest number of processes in the response.")] = 10,
) -> ProcessList:
    """List the only process: `nowcast`."""
    self_link = Link(rel="self", href="/processes", type=JSON, title="This document")
    return ProcessList(processes=[process_summary()][:limit], links=[self_link])


@router.get(
    "/processes/{processID}",
    operation_id="getProcessDescription",
    dependencies=[PUBLIC],
    summary="Describe a process",
    responses=documented_exceptions("no-such-process"),
)
async def describe(process_id: ProcessId, context: ContextDep) -> Process:
    """Return the inputs and outputs of the process, each with its schema."""
    _check_process(process_id)
    return process(context.settings.max_files)


@router.post(
    "/processes/{processID}/execution",
    operation_id="execute",
    dependencies=NOWCAST,
    summary="Execute a process",
    status_code=201,
    response_model=StatusInfo,
    openapi_extra={
        "requestBody": {"required": True, "content": {JSON: {"schema": {"$ref": "#/components/schemas/Execute"}}}}
    },
    responses={
        200: {"description": "Finished while waiting (`Prefer: wait=N`)", "content": RESULT_CONTENT},
        201: {
            "description": "The job was created",
            "headers": {"Location": {"schema": {"type": "string"}, "description": "Address of the job's status"}},
        },
        204: {"description": "Finished while waiting; `Link` refers to the forecast (`transmissionMode: reference`)"},
        **documented_exceptions(
            *("no-such-process", "idempotency-key-reused", "too-large", "too-many-files", "not-json", "no-files"),
            *("empty-file", "invalid-parameter", "reference-not-supported", "unknown-model", "steps-out-of-range"),
            *("queue-full", "too-many-jobs", "daily-bytes-exceeded", "too-many-requests", "store-full", "no-space"),
            *("not-acceptable", "busy"),
        ),
    },
)
async def execute(
    process_id: ProcessId,
    request: Request,
    context: ContextDep,
    client: ClientDep,
    prefer: Annotated[
        str | None,
        Header(
            alias="Prefer",
            description="`wait=N`: respond with the results if they are there within N (at most 60) s. Without it, and "
            "with `respond-async`, the response comes at once.",
        ),
    ] = None,
    idempotency_key: upload.IdempotencyKey = None,
    cache_control: upload.CacheControl = None,
) -> Response:
    """Request a nowcast as `POST /v1/nowcasts` does, with the files in base64.

    The response is 201 with the address of the job in `Location`; with `Prefer: wait=N` it is the result, or the
    problem, if the job is finished within N seconds.
    """
    _check_process(process_id)
    key = upload.check_key(idempotency_key)
    await check_admission(request, context, client, repeated=key is not None)
    accepted, fresh = _accepted_format(request), upload.wants_fresh(cache_control)
    body = await read_body(request, context)
    try:
        job, wanted, file_format = await context.executions.run(
            _create_job, context, client, body, accepted, key, fresh
        )
    finally:
        await body.close()
    wait = None if "respond-async" in (prefer or "") else wait_seconds(prefer)
    if wait is not None and not job.status.finished:
        await context.jobs.wait(job.id, wait)
        job = await context.in_thread(context.ledger.get, job.id)
    if wait is None or not job.status.finished:
        return _status_response(job, 201, {"Location": job_path(job.id)})
    response = await _synchronous_response(context, job, request, file_format, wanted)
    response.headers.append("Link", f'<{job_path(job.id)}>; rel="monitor"')
    response.headers["Preference-Applied"] = f"wait={wait:g}"
    return response


@router.get(
    "/jobs",
    operation_id="getJobs",
    dependencies=READ,
    summary="List jobs",
    response_model_exclude_none=True,
    responses=documented_exceptions("invalid-parameter"),
)
async def jobs(
    request: Request,
    context: ContextDep,
    which: JobListFilterDep,
    limit: Annotated[int, Query(ge=1, le=10_000, description=f"Most jobs of a page, at most {MAX_LIMIT}.")] = 10,
    cursor: Annotated[str | None, Query(max_length=200, description="Of the link `next` of the page before.")] = None,
) -> JobList:
    """Return the client's own jobs, the newest first, in pages, as `GET /v1/nowcasts` does."""
    page, links = await page_of_jobs(context, request, which, min(limit, MAX_LIMIT), cursor)
    return JobList(jobs=[status_info(job) for job in page], links=links)


@router.get(
    "/jobs/{jobID}",
    operation_id="getStatus",
    dependencies=READ,
    summary="Status of a job",
    response_model=StatusInfo,
    responses=documented_exceptions("unknown-job"),
)
async def status(job: OwnJobDep) -> Response:
    """Return status and progress, and, once it is successful, the link to the results."""
    return _status_response(job)


@router.delete(
    "/jobs/{jobID}",
    operation_id="dismiss",
    dependencies=NOWCAST,
    summary="Dismiss a job",
    response_model=StatusInfo,
    responses=documented_exceptions("unknown-job", "already-finished"),
)
async def dismiss(job: OwnJobDep, context: ContextDep) -> Response:
    """Cancel the job between lead steps. A finished one stays: 409."""
    return _status_response(await responses.dismissed_job(context, job))


@router.get(
    "/jobs/{jobID}/results",
    operation_id="getJobResults",
    dependencies=READ,
    summary="Results of a job",
    response_class=Response,
    responses={
        200: {"description": "The forecast, or a document with a link to it", "content": RESULT_CONTENT},
        304: {"description": "Not modified: results never change"},
        **documented_exceptions("unknown-job", "not-finished", "dismissed", "not-acceptable", "busy"),
    },
)
async def results(job: OwnJobDep, request: Request, context: ContextDep) -> Response:
    """Return the forecast itself, as netCDF or in the format of `Accept`; with `Accept: application/json` a document.

    The document has a link to the forecast. A job that failed answers with the problem for which it failed.
    """
    responses.check_successful(job)
    file_format = choose_format(None, request.headers.get("accept"), RESULT_FORMATS)
    if file_format == DOCUMENT:
        return responses.immutable_response(_document(job, DEFAULT_FORMAT))
    return await responses.result_response(context, job, request, file_format, None)


def _check_process(process_id: str) -> None:
    if process_id != PROCESS_ID:
        raise NoSuchProcess(f"no process {process_id!r}", where="processID", hint="/processes lists what there is")


def _create_job(
    context: GatewayContext, client: Client, body: UploadFile, accepted: str | None, key: str | None, fresh: bool
) -> tuple[Job, Execute, str]:
    """Record the nowcast of an execute request; return also the request without its files, and the result's format."""
    wanted, form = parse_execution(body, context.settings.max_files)
    file_format = choose_format(None, wanted.forecast.format.mediaType or accepted)
    files = upload.uploaded_files(form)
    options = upload.parse_options(form, context)
    return upload.create_job(context, client, files, options, key, fresh), wanted, file_format


def _accepted_format(request: Request) -> str | None:
    """Return the Accept header of an execute request, None where it is for the JSON of a status or a document."""
    accept = request.headers.get("accept")
    return None if accept is None or JSON in accept.lower() else accept


def _status_response(job: Job, code: int = 200, headers: dict[str, str] | None = None) -> Response:
    body = status_info(job).model_dump_json(exclude_none=True)
    return Response(body, code, {"Cache-Control": "no-store", **(headers or {})}, JSON)


async def _synchronous_response(
    context: GatewayContext, job: Job, request: Request, file_format: str, wanted: Execute
) -> Response:
    """Return the results of a finished job as the execute request wants them."""
    responses.check_successful(job)
    if wanted.response == DOCUMENT:
        return responses.immutable_response(_document(job, file_format))
    if wanted.forecast.transmissionMode == "reference":
        link = _document(job, file_format).root["forecast"]
        return Response(status_code=204, headers={"Link": f'<{link.href}>; rel="{link.rel}"; type="{link.type}"'})
    return await responses.result_response(context, job, request, file_format, None)


def _document(job: Job, file_format: str) -> Results:
    href = f"{path_of(job.id)}/result?format={file_format}"
    return Results({"forecast": Link(rel="item", href=href, type=FORMATS[file_format][0], title="Forecast")})
