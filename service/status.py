"""The status of a nowcast as clients see it: what routes respond with, and webhooks send."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, Field

from model.core.extras import is_installed
from model.core.forecast_output import ForecastField
from service.jobs.job import Job, JobStatus, Timings
from service.problem_details import ProblemDetails, problem_of_job

NETCDF: Final = "application/x-netcdf"
GEOTIFF: Final = "image/tiff; application=geotiff"


class Link(BaseModel):
    """A link as in OGC API - Processes."""

    rel: str
    href: str
    type: str
    title: str = ""


class Progress(BaseModel):
    """Lead steps that are done, and those requested."""

    done: int
    total: int


class NowcastStatus(BaseModel):
    """A nowcast: its progress, and links to its results."""

    id: str = Field(examples=["5f0c6c0e3f5b4b7d9a7e0f1c2d3e4f50"])
    status: JobStatus = Field(examples=["running"])
    progress: Progress
    model_asked: str = Field(examples=["auto"])
    model_used: str | None = Field(None, examples=["extrapolation@1"])
    note: str = Field(
        "",
        description="What a user of the forecast must know: why another model ran than the requested one, and findings "
        "about the frames (missing ones, repairs, assumptions). Empty where there is nothing to note.",
    )
    steps: int
    field: ForecastField | None = Field(None, description="The field that was asked for; absent: the model's own.")
    probabilities: list[float] = Field(description="Thresholds (mm/h) of the probabilities that were asked for.")
    members: int = Field(description="Number of members that were asked for.")
    seed: int = Field(description="Seed of the members.")
    files: list[str] = Field(description="Names of its files.")
    feed: str | None = Field(None, description="The feed that it is of; absent: an upload.", examples=["helsinki"])
    client: str | None = Field(None, description="Whose it is; `anonymous`: of a feed, or nobody's.")
    created: datetime
    queue_position: int | None = Field(
        None, description="While it is not finished: 1 is the next to start, 0 runs. Others may have their turn before."
    )
    estimated_completion: datetime | None = Field(
        None,
        description="When it is expected to be finished, by the queue and by what nowcasts of the model took lately; "
        "absent where none was made lately.",
    )
    started: datetime | None = None
    finished: datetime | None = None
    timings: Timings | None = Field(None, description="Present once a worker has finished the nowcast.")
    problem: ProblemDetails | None = Field(None, description="Why the nowcast failed.")
    links: list[Link]


def path_of(job_id: str) -> str:
    """Return the address of a nowcast's status."""
    return f"/v1/nowcasts/{job_id}"


def links_of(job: Job) -> list[Link]:
    """Return the links of a nowcast: its status and, once there are any, its results."""
    status_path = path_of(job.id)
    links = [Link(rel="self", href=status_path, type="application/json", title="Status")]
    if not job.status.finished:
        links.append(Link(rel="monitor", href=f"{status_path}/events", type="text/event-stream", title="Events"))
    if job.callback_url is not None:
        links.append(Link(rel="related", href=f"{status_path}/webhook", type="application/json", title="Webhook"))
    if job.status is JobStatus.SUCCESSFUL:
        result = f"{status_path}/result?format="
        links += [
            Link(rel="results", href=f"{result}netcdf", type=NETCDF, title="Forecast, CF-netCDF"),
            Link(rel="alternate", href=f"{result}webp", type="image/webp", title="Animation, WebP"),
            Link(rel="alternate", href=f"{result}gif", type="image/gif", title="Animation, GIF"),
            Link(rel="items", href=f"{status_path}/frames", type="application/json", title="Frames"),
        ]
        if is_installed("rasterio"):
            links.append(Link(rel="alternate", href=f"{result}geotiff", type=GEOTIFF, title="Forecast, GeoTIFF"))
    return links


def status_of(job: Job) -> NowcastStatus:
    """Return the status of a job as the ledger has it: columns of the job by name, and what is derived from others."""
    derived: dict[str, Any] = {
        "progress": Progress(done=job.progress_done, total=job.progress_total),
        "model_asked": job.model,
        "field": job.forecast_output.field,
        "probabilities": job.forecast_output.thresholds_mm_h,
        "members": job.forecast_output.members,
        "seed": job.forecast_output.seed,
        "files": [item["name"] for item in job.inputs],
        "problem": problem_of_job(job.problem) if job.status is JobStatus.FAILED else None,
        "links": links_of(job),
        "queue_position": None,
        "estimated_completion": None,
    }
    columns = {name: getattr(job, name) for name in NowcastStatus.model_fields.keys() - derived.keys()}
    return NowcastStatus(**columns, **derived)
