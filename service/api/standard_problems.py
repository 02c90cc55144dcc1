"""Routes of standards that prescribe parts of a problem: its type, its status, or one more member."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from model.core.errors import InputError
from service.api.problems import headers_of, problem_response
from service.problem_details import ProblemDetails, problem_details


class StandardRoute(APIRoute):
    """A route whose problems are those of a standard, where `standard_problem` knows one; others stay as they are."""

    @staticmethod
    def standard_problem(code: str, problem: ProblemDetails) -> ProblemDetails | None:
        """Return the problem as the standard has it; None where it has none for this code."""
        raise NotImplementedError

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route's requests."""
        handle = super().get_route_handler()

        async def handle_as_standard(request: Request) -> Response:
            try:
                return await handle(request)
            except InputError as error:
                problem = problem_details(error.code, error.what, error.where, error.hint)
                standard = self.standard_problem(error.code, problem)
                if standard is None:
                    raise
                return problem_response(standard, headers_of(error))

        return handle_as_standard
