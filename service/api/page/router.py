"""The pages of the web site, the bundled sample, and the problem types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from service.api.access.scopes import PUBLIC
from service.api.context import ContextDep
from service.api.errors import NoSample
from service.api.openapi import of_open_service
from service.api.page.files import NO_CACHE, WEB, html
from service.api.problems import describe_type, documented_problems
from service.api.processes.description import landing_page
from service.api.processes.types import LandingPage
from service.problem_details import PROBLEMS_PATH
from service.settings import Settings
from service.status import NETCDF

SAMPLE: Final = WEB / "sample" / "sample.nc"
POLICY: Final = "Content-Security-Policy"
PAGE_HEADERS: Final = {
    POLICY: "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'",
    "Cache-Control": NO_CACHE,
}
PAGES: Final[Mapping[str, Mapping[str, str]]] = {
    "docs": PAGE_HEADERS,
    "operator": PAGE_HEADERS,
    "offline": PAGE_HEADERS,
    "skill": PAGE_HEADERS,
    "upload": PAGE_HEADERS,
}
"""Pages beside the map: the name in the address, which is that of the file, and the headers of the response."""

router = APIRouter(dependencies=[PUBLIC])


@router.get(
    "/",
    tags=["page"],
    operation_id="getLandingPage",
    summary="The map, or where everything is",
    response_model=LandingPage,
    responses={200: {"description": "The map, for a browser; links, for a program", "content": {"text/html": {}}}},
)
async def landing(request: Request, context: ContextDep) -> Response:
    """Return the map where `Accept` names `text/html`, else the landing page of the OGC APIs."""
    if "text/html" in request.headers.get("accept", "").lower():
        headers = with_base_map(PAGE_HEADERS, context.settings)
        return html("index").response(request.headers, {**headers, "Vary": "Accept, Accept-Encoding"})
    content = landing_page(request.app.summary).model_dump_json(exclude_defaults=True)
    return Response(content, media_type="application/json", headers={"Vary": "Accept"})


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request, context: ContextDep) -> JSONResponse:
    """Return the OpenAPI description, in which credentials are optional while the service is open."""
    description = request.app.openapi()
    return JSONResponse(of_open_service(description) if await context.authenticator.is_open() else description)


@router.get("/embed", include_in_schema=False)
async def embed(request: Request, context: ContextDep) -> Response:
    """Return the widget, which the pages may frame that the operator names."""
    headers = with_base_map(PAGE_HEADERS, context.settings)
    ancestors = " ".join(["frame-ancestors 'self'", *context.settings.embedding_origins])
    policy = headers[POLICY].replace("frame-ancestors 'self'", ancestors)
    return html("embed").response(request.headers, {**headers, POLICY: policy})


@router.get(
    "/sample",
    tags=["page"],
    operation_id="getSample",
    summary="Radar frames to try",
    response_class=FileResponse,
    responses={200: {"description": "CF-netCDF", "content": {NETCDF: {}}}, **documented_problems("no-sample")},
)
async def sample() -> FileResponse:
    """Return a short synthetic radar sequence: POST it to /v1/nowcasts to see a nowcast without data of your own."""
    if not SAMPLE.is_file():
        raise NoSample("the sample is not part of this installation", hint="Send radar files of your own")
    return FileResponse(SAMPLE, media_type=NETCDF, filename="sample.nc")


@router.get(
    PROBLEMS_PATH + "/{code}",
    tags=["page"],
    operation_id="getProblemType",
    summary="Describe a problem type",
    responses=documented_problems("not-found"),
)
async def problem_type(code: str) -> dict[str, Any]:
    """Return the title and the status of a problem type."""
    description = describe_type(code)
    if description is None:
        raise HTTPException(404)
    return description


def with_base_map(headers: Mapping[str, str], settings: Settings) -> Mapping[str, str]:
    """Return the headers of a page that has a map: the host of an own base map may send pictures."""
    if settings.base_map_host is None:
        return headers
    policy = headers[POLICY].replace("img-src 'self'", f"img-src 'self' {settings.base_map_host}")
    return {**headers, POLICY: policy}


def _add_page(name: str, headers: Mapping[str, str]) -> None:
    async def page(request: Request) -> Response:
        return html(name).response(request.headers, headers)

    router.add_api_route(f"/{name}", page, name=name, include_in_schema=False)


for _name, _headers in PAGES.items():
    _add_page(_name, _headers)
