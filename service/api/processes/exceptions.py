"""Problems whose type and status OGC API - Processes prescribes."""

from __future__ import annotations

from typing import Any, Final

from service.api.problems import documented_problems
from service.api.standard_problems import StandardRoute
from service.problem_details import ProblemDetails

EXCEPTIONS: Final = {
    "no-such-process": "no-such-process",
    "unknown-job": "no-such-job",
    "not-finished": "result-not-ready",
}
"""The name that the standard gives to a problem's code; the status of all of them is 404."""
URI: Final = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"


class ProcessesRoute(StandardRoute):
    """A route of OGC API - Processes."""

    @staticmethod
    def standard_problem(code: str, problem: ProblemDetails) -> ProblemDetails | None:
        """Return the problem with the standard's type and status."""
        if code not in EXCEPTIONS:
            return None
        return problem.model_copy(update={"type": URI + EXCEPTIONS[code], "status": 404})


def documented_exceptions(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of these problems as the standard has them."""
    return documented_problems(*codes, standard=ProcessesRoute.standard_problem)
