"""Bodies of OGC API - Processes. Their names and fields are the standard's."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, Field, JsonValue, RootModel

from service.jobs.job import Job, JobStatus
from service.problem_details import problem_of_job
from service.status import Link

PROCESS_ID: Final = "nowcast"
RESULTS_REL: Final = "http://www.opengis.net/def/rel/ogc/1.0/results"


class LandingPage(BaseModel):
    """What the service is, and where its parts are."""

    title: str
    description: str
    links: list[Link]


class Conformance(BaseModel):
    """The conformance classes that the service declares."""

    conformsTo: list[str]


class ProcessSummary(BaseModel):
    """A process, without its inputs and outputs."""

    id: str
    version: str
    title: str
    description: str
    keywords: list[str]
    jobControlOptions: list[str]
    outputTransmission: list[str]
    links: list[Link]


class ProcessList(BaseModel):
    """The processes of the service."""

    processes: list[ProcessSummary]
    links: list[Link]


class InputDescription(BaseModel):
    """An input of a process: its schema, and how many values it has."""

    title: str
    description: str
    minOccurs: int
    maxOccurs: int
    json_schema: dict[str, Any] = Field(alias="schema")


class OutputDescription(BaseModel):
    """An output of a process; of the schemas in `oneOf`, the first one is the default format."""

    title: str
    description: str
    json_schema: dict[str, Any] = Field(alias="schema")


class Process(ProcessSummary):
    """A process with its inputs and outputs."""

    inputs: dict[str, InputDescription]
    outputs: dict[str, OutputDescription]


class OutputFormat(BaseModel):
    """The format of an output."""

    mediaType: str | None = None


class OutputSelection(BaseModel):
    """How an output is wanted."""

    format: OutputFormat = OutputFormat()
    transmissionMode: Literal["value", "reference"] = "value"


class Execute(BaseModel):
    """An execute request. Each input is a value, an object with the value as `value`, or a list of them."""

    inputs: dict[str, JsonValue] = Field(
        default={},
        description="`files`: radar files, each `{value: BASE64, encoding: base64, mediaType: ...}` or a plain base64 "
        "string. Other inputs: as the process description lists them.",
    )
    outputs: dict[str, OutputSelection] = Field(
        default={}, description="`forecast`, with the format of a response that waits (`Prefer: wait=N`)."
    )
    response: Literal["raw", "document"] = Field(
        default="raw",
        description="Of a response that waits: the forecast itself, or a JSON document with a link to it.",
    )
    subscriber: None = Field(default=None, description="Not supported: use the input `callback_url`.")

    @property
    def forecast(self) -> OutputSelection:
        """How the only output is wanted."""
        return self.outputs.get("forecast", OutputSelection())


class Results(RootModel[dict[str, Link]]):
    """The results of a job by output, each as a link."""


class StatusInfo(BaseModel):
    """The status of a job."""

    processID: str = PROCESS_ID
    type: Literal["process"] = "process"
    jobID: str
    status: JobStatus
    message: str = ""
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    updated: datetime
    progress: int = Field(ge=0, le=100, description="Percent of the lead steps.")
    links: list[Link]


class JobList(BaseModel):
    """Jobs, the newest first."""

    jobs: list[StatusInfo]
    links: list[Link]


def job_path(job_id: str) -> str:
    """Return the address of a job's status."""
    return f"/jobs/{job_id}"


def status_info(job: Job) -> StatusInfo:
    """Return the status of a job, as the standard has it."""
    links = [
        Link(rel="self", href=job_path(job.id), type="application/json", title="Status"),
        Link(rel="alternate", href=f"/v1/nowcasts/{job.id}", type="application/json", title="Status with every detail"),
    ]
    if job.status is JobStatus.SUCCESSFUL:
        results = f"{job_path(job.id)}/results"
        links.append(Link(rel=RESULTS_REL, href=results, type="application/json", title="Results"))
    message = problem_of_job(job.problem).detail if job.status is JobStatus.FAILED else job.note
    return StatusInfo(
        jobID=job.id,
        status=job.status,
        message=message or f"{job.progress_done} of {job.progress_total} lead steps are done",
        created=job.created,
        started=job.started,
        finished=job.finished,
        updated=job.finished or job.started or job.created,
        progress=100 * job.progress_done // max(1, job.progress_total),
        links=links,
    )
