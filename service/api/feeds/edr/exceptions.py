"""Problems as OGC API - EDR has them: with `code` and `description`, and 400 where a parameter cannot be used."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field

from service.api.problems import documented_problems
from service.api.standard_problems import StandardRoute
from service.problem_details import ProblemDetails

STATUSES: Final = {
    "invalid-parameter": 400,
    "bad-geometry": 400,
    "wrong-crs": 400,
    "not-on-earth": 400,
    "outside-grid": 404,
}


class EdrProblem(ProblemDetails):
    """Problem details, with the standard's `code` and `description`."""

    code: str = Field(examples=["bad-geometry"])
    description: str


class EdrRoute(StandardRoute):
    """A route of OGC API - EDR."""

    @staticmethod
    def standard_problem(code: str, problem: ProblemDetails) -> ProblemDetails:
        """Return the problem with the standard's members and status."""
        status = STATUSES.get(code, problem.status)
        return EdrProblem(
            code=code, description=problem.detail, **problem.model_copy(update={"status": status}).model_dump()
        )


def documented_exceptions(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of these problems as the standard has them."""
    return documented_problems(*codes, standard=EdrRoute.standard_problem)
