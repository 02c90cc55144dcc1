"""Routes of products: what was made of a run's nowcast."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from service.api.context import ContextDep, GatewayContext
from service.api.errors import NoSuchProduct
from service.api.feeds import answers
from service.api.feeds.dependencies import READ, FeedDep, ReferenceTime
from service.api.feeds.types import ProductInfo, ProductList
from service.api.nowcasts.responses import IMMUTABLE, HeldFileResponse, not_modified
from service.api.problems import documented_problems
from service.feeds.products import ProductFile, find_file, main_files
from service.feeds.tables import FeedRun
from service.status import NETCDF, Link
from service.store import MissingObject

CONTENT: Final[dict[str, Any]] = {
    **{each: {} for each in (NETCDF, "image/tiff", "image/png")},
    "application/json": {"schema": {"type": "object"}},
}
"""Media types of the files of all products."""

router = APIRouter()


@router.get(
    "/{feed}/runs/{reference_time}/products",
    operation_id="getProducts",
    dependencies=READ,
    summary="Products of a run",
    responses=documented_problems("no-such-feed", "no-such-run", "invalid-parameter"),
)
async def list_products(context: ContextDep, feed: FeedDep, reference_time: ReferenceTime) -> ProductList:
    """Return the files that were made of the run's nowcast, none before they are complete.

    After the frame was issued again, these are of the earlier nowcast until those of the new one are there.
    """
    run = await context.in_thread(answers.find_run, context, feed, reference_time)
    path = answers.path_of_run(run)
    files = [
        ProductInfo.model_validate({**file, "href": f"{path}/products/{file['name']}"}) for file in run.products or []
    ]
    links = [
        Link(rel="self", href=f"{path}/products", type="application/json", title="Products"),
        Link(rel="up", href=path, type="application/json", title="Run"),
    ]
    return ProductList(feed=run.feed, reference_time=run.reference_time, files=files, links=links)


@router.get(
    "/{feed}/runs/{reference_time}/products/{product}",
    operation_id="getProduct",
    dependencies=READ,
    summary="A product of a run",
    response_class=Response,
    responses={
        200: {"description": "The file; byte ranges are supported", "content": CONTENT},
        304: {"description": "The client has it"},
        **documented_problems(
            "no-such-feed", "no-such-run", "no-such-product", "missing-object", "invalid-parameter", "busy"
        ),
    },
)
async def get_product(
    context: ContextDep,
    request: Request,
    feed: FeedDep,
    reference_time: ReferenceTime,
    product: Annotated[
        str,
        Path(max_length=128, description="Name of a file, which has its digest; or of a product: its main file now."),
    ],
) -> Response:
    """Return a file of a product. By a name with its digest it may be kept for ever, else it is to be revalidated."""
    run = await context.in_thread(answers.find_run, context, feed, reference_time)
    file = _find(run, product)
    headers = {
        "ETag": f'"{file["digest"]}"',
        "Cache-Control": IMMUTABLE if product == file["name"] else "private, no-cache",
    }
    if (unchanged := not_modified(request, headers)) is not None:
        return unchanged
    return await _file_response(context, run, file, headers)


def _find(run: FeedRun, name: str) -> ProductFile:
    file = find_file(run.products, name)
    if file is not None:
        return file
    made = ", ".join(each["product"] for each in main_files(run.products)) or "none yet"
    raise NoSuchProduct(
        f"this run has no product {name!r}",
        where="product",
        hint=f"It has {made}; the feed's key products tells what is made",
    )


async def _file_response(
    context: GatewayContext, run: FeedRun, file: ProductFile, headers: dict[str, str]
) -> HeldFileResponse:
    """Return the file, which is kept until it is sent.

    Raises
    ------
    MissingObject
        It was deleted.
    """
    held = AsyncExitStack()
    [path] = await held.enter_async_context(context.results.held(file["key"]))
    if not await context.in_thread(path.is_file):
        await held.aclose()
        raise MissingObject("no such object", where=file["name"], hint="It was deleted; the run has its products anew")
    saved = f"{run.feed}_{run.reference_time:%Y%m%dT%H%MZ}_{file['name']}"
    headers = {**headers, "Content-Disposition": f'inline; filename="{saved}"'}
    return HeldFileResponse(held, path, media_type=file["media_type"], headers=headers)
