"""Which jobs the list of OGC API - Processes shows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from fastapi import Depends, Query
from pydantic import StringConstraints, TypeAdapter, ValidationError

from service.api.access.client import ClientDep
from service.api.errors import InvalidParameter
from service.api.processes.types import PROCESS_ID
from service.api.utc_time import UtcTime
from service.jobs.job import JobStatus
from service.jobs.job_list import JobFilter

TIME: Final = TypeAdapter(UtcTime)
RESOLUTION: Final = timedelta(microseconds=1)
OPEN: Final = ("", "..")
MAX_SECONDS: Final = 2**31 - 1
ProcessName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
_DATE: Final = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_CLOCK: Final = r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"
_TIME: Final = f"{_DATE}[Tt ]{_CLOCK}"
INTERVAL: Final = rf"^({_TIME}|({_TIME}|(\.\.)?)/({_TIME}|(\.\.)?))$"


def parse_interval(text: str) -> tuple[datetime | None, datetime | None]:
    """Return the ends (None: open) of a time or an interval of the standard, such as `2026-06-01T00:00:00Z/..`.

    Raises
    ------
    InvalidParameter
        It is neither.
    """
    start, separator, end = text.partition("/")
    try:
        times = [None if separator and part in OPEN else TIME.validate_python(part) for part in (start, end or start)]
    except ValidationError:
        raise InvalidParameter(
            f"{text[:100]!r} is neither a time nor an interval",
            where="datetime",
            hint="Give RFC 3339, of the years 2 to 9998, such as 2026-06-01T12:00:00Z or 2026-06-01T12:00:00Z/..",
        ) from None
    return times[0], None if separator and end in OPEN else times[1]


async def _job_filter(
    client: ClientDep,
    status: Annotated[list[JobStatus] | None, Query(description="One or several statuses.")] = None,
    process_id: Annotated[list[ProcessName], Query(alias="processID", description="`nowcast`, the only process.")] = [],  # noqa: B006
    kind: Annotated[list[Literal["process"]] | None, Query(alias="type", description="`process`.")] = None,
    interval: Annotated[
        str | None,
        Query(
            alias="datetime",
            max_length=100,
            description="Time of creation: a time, or an interval `FROM/TO`.",
            json_schema_extra={"pattern": INTERVAL},
        ),
    ] = None,
    min_duration: Annotated[
        int | None, Query(alias="minDuration", ge=0, le=MAX_SECONDS, description="Ran for at least so many seconds.")
    ] = None,
    max_duration: Annotated[
        int | None, Query(alias="maxDuration", ge=0, le=MAX_SECONDS, description="Ran for at most so many seconds.")
    ] = None,
) -> JobFilter | None:
    start, end = (None, None) if interval is None else parse_interval(interval)
    if process_id and PROCESS_ID not in process_id:
        return None
    before = None if end is None else end + RESOLUTION  # the end belongs to the interval
    return JobFilter(
        client.owner,
        tuple(status or ()),
        created_after=start,
        created_before=before,
        min_seconds=min_duration,
        max_seconds=max_duration,
    )


JobListFilterDep = Annotated[JobFilter | None, Depends(_job_filter)]
"""The client's own jobs (of an admin, those of all), as far as the query asks for them; None: of another process."""
