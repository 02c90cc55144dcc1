"""The route of rain at a place, which has to answer a thousand requests a second."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from model.core.grid_places import pixel_of_lon_lat
from model.core.point_sentence import SentenceStyle
from service.api.access.scopes import authorize, requires
from service.api.context import ContextDep, GatewayContext
from service.api.errors import InvalidParameter
from service.api.feeds.dependencies import NO_STORE, FeedName
from service.api.feeds.models import ModelQuery, newest_of_model
from service.api.feeds.point import feed_point
from service.api.feeds.types import FeedPoint
from service.api.nowcasts.view import NowcastView
from service.api.problems import documented_problems
from service.api.sentence_style import Language, TimeZone, style_of
from service.jobs.api_keys import Scope

SCOPE: Final = Scope.READ
LON_LAT: Final = frozenset({"lon", "lat"})
OPTIONS: Final = frozenset({"language", "time_zone"})


@dataclass(frozen=True)
class SimpleRequest:
    """A request for a place that needs no more than this."""

    lon: float
    lat: float
    style: SentenceStyle

    @classmethod
    def of(cls, request: Request) -> Self | None:
        """Return what is asked for; None where a parameter is missing, given twice, unknown or cannot be read."""
        pairs = request.query_params.multi_items()
        query = dict(pairs)
        if len(pairs) != len(query) or not LON_LAT <= query.keys() <= LON_LAT | OPTIONS:
            return None
        if len(request.path_params["feed"]) > 64:
            return None
        try:
            lon, lat = float(query["lon"]), float(query["lat"])
            style = style_of(query.get("language"), query.get("time_zone"), request.headers.get("accept-language"))
        except (ValueError, InvalidParameter):
            return None
        return cls(lon, lat, style) if -180 <= lon <= 180 and -90 <= lat <= 90 else None


class PointRoute(APIRoute):
    """A route whose dependencies FastAPI resolves only where a request is not as simple as it should be.

    To resolve them takes longer than the answer. Any other request goes the usual way, which says what is wrong with
    it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route's requests."""
        handle = super().get_route_handler()

        async def handle_simple(request: Request) -> Response:
            simple = SimpleRequest.of(request)
            if simple is None:
                return await handle(request)
            context: GatewayContext = request.app.state.context
            await authorize(request, context, SCOPE)
            return await _answer(context, request.path_params["feed"], simple)

        return handle_simple


router = APIRouter(route_class=PointRoute)


@router.get(
    "/{feed}/point",
    operation_id="getFeedPoint",
    dependencies=[requires(SCOPE)],
    summary="Rain at a place, from now on",
    response_model=FeedPoint,
    responses=documented_problems("no-such-feed", "no-nowcast", "not-on-earth", "invalid-parameter", "busy"),
)
async def point(
    request: Request,
    context: ContextDep,
    name: FeedName,
    lon: Annotated[float, Query(ge=-180, le=180, allow_inf_nan=False, description="Degrees east, WGS 84.")],
    lat: Annotated[float, Query(ge=-90, le=90, allow_inf_nan=False, description="Degrees north, WGS 84.")],
    model: ModelQuery = None,
    language: Language = None,
    time_zone: TimeZone = None,
) -> Response:
    """Return rain by lead time, when it starts and ends, with probabilities, and as a sentence.

    Lead steps that have passed are left out: `past` has what was observed, `forecast` what is to come. `null` means
    "no data", which is never the same as dry. The newest nowcast is that of at most three seconds ago.
    """
    style = style_of(language, time_zone, request.headers.get("accept-language"))
    return await _answer(context, name, SimpleRequest(lon, lat, style), model)


async def _answer(context: GatewayContext, name: str, place: SimpleRequest, model: str | None = None) -> Response:
    """Return what a feed's newest nowcast says for a place: at once where it is in memory, else from a thread."""
    served = await context.served_feeds.get(name)
    view, status, now = served.view, served.state.health.status, served.now
    if model is not None:
        made = await context.points.look_up(newest_of_model, context, served.state.feed, model)
        view = view if made.job.id == view.job.id else await context.served_feeds.opened(made.job)
    pixel = pixel_of_lon_lat(view.forecast.grid, place.lon, place.lat)

    def answer(view: NowcastView) -> str:
        return feed_point(view, name, status, now, pixel, place.style).model_dump_json()

    in_memory = pixel is None or all(file.places.is_in_memory(*pixel) for file in view.files)
    content = answer(view) if in_memory else await context.served_feeds.run(context.points, view, answer)
    headers = {**NO_STORE, "Content-Language": place.style.language}
    return Response(content, media_type="application/json", headers=headers)
