"""Problems whose type and status OGC API - Processes prescribes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from model.core.errors import InputError
from service.api.problems import problem_details, problem_response

EXCEPTIONS: Final = {
    "no-such-process": "no-such-process",
    "unknown-job": "no-such-job",
    "not-finished": "result-not-ready",
}
"""The name that the standard gives to a problem's code; the status of all of them is 404."""
URI: Final = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"


class ProcessesRoute(APIRoute):
    """A route whose problems carry the types of OGC API - Processes, where it has one; others stay as they are."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route's requests."""
        handle = super().get_route_handler()

        async def handle_with_exceptions(request: Request) -> Response:
            try:
                return await handle(request)
            except InputError as error:
                if error.code not in EXCEPTIONS:
                    raise
                problem = problem_details(error.code, error.what, error.where, error.hint)
                standard = {"type": URI + EXCEPTIONS[error.code], "status": 404}
                return problem_response(problem.model_copy(update=standard))

        return handle_with_exceptions
