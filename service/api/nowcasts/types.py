"""Response bodies of the nowcast routes."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from model.core.colour_scale import GROUND, NO_DATA, ColourScale, hex_of
from model.core.forecast_output import ForecastField
from model.core.members_summary import MembersSummary
from model.core.point_summary import PointSummary
from model.core.rain_scale import UNIT
from service.api.problems import ProblemDetails
from service.jobs.job import Job, JobStatus, Timings

NETCDF = "application/x-netcdf"

Layer = Literal["rain", "probability"]
"""What a picture shows."""


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
    files: list[str] = Field(description="Names of the uploaded files.")
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


class LegendClass(BaseModel):
    """Values from `lower` up to, not including, `upper`; the last class has no upper end."""

    lower: float
    upper: float | None
    colour: str = Field(examples=["#2f99e8"])


class DryKey(BaseModel):
    """How dry ground is drawn: values below `below`."""

    below: float
    colour: str


class NoDataKey(BaseModel):
    """How missing data is drawn: hatched in these two greys. Missing is not dry."""

    colours: list[str]
    meaning: str = "not known, not dry"


class Legend(BaseModel):
    """The colour scale of the pictures of a layer, in mm/h or %."""

    unit: str
    classes: list[LegendClass]
    dry: DryKey
    no_data: NoDataKey


class GridInfo(BaseModel):
    """The grid of the pictures.

    `bounds` are west, south, east, north (degrees, WGS 84); null where the grid has no relation to longitude and
    latitude.
    """

    nx: int
    ny: int
    pixel_km: tuple[float, float] = Field(description="Width and height of a pixel.")
    extent_km: tuple[float, float] = Field(description="Width and height of the picture.")
    pixels_per_block: int = Field(description="Large grids are drawn in blocks of this many pixels a side.")
    crs: str = Field(description="Name of the coordinate reference system.")
    crs_wkt: str = Field(description="The coordinate reference system as WKT 2 (ISO 19162:2019).")
    epsg: int | None = Field(description="Its EPSG code; null: none is known.")
    transform: tuple[float, float, float, float, float, float] = Field(
        description="Affine transform of the pixels with north up, in GDAL's order x0, dx, 0, y0, 0, -dy: (x0, y0) "
        "is the outer corner of the north-western pixel, in units of the coordinate reference system."
    )
    bounds: tuple[float, float, float, float] | None


class GridLine(BaseModel):
    """A meridian or parallel: points as fractions of the picture, x from west, y from north."""

    label: str
    points: list[tuple[float, float]]


class FrameInfo(BaseModel):
    """One frame, and the address of its picture."""

    index: int
    kind: Literal["observed", "forecast"]
    valid_time: datetime
    lead_minutes: float = Field(description="Minutes after the reference time; at most 0 where observed.")
    href: str


class ProbabilityLayer(BaseModel):
    """Probabilities that can be drawn: of each forecast frame, at `href?layer=probability&threshold=MM_PER_HOUR`."""

    method: str = Field(
        description="`distribution`: of the network. `neighbourhood-calibrated`: share of the pixels nearby with as "
        "much rain, calibrated on past rain. `neighbourhood`: the same, not calibrated."
    )
    thresholds_mm_h: tuple[float, ...] = Field(description="Rain rates whose probability of exceedance is known.")
    legend: Legend


class FrameList(BaseModel):
    """Every frame that can be drawn: observed ones, then the forecast."""

    id: str
    model: str | None
    note: str
    reference_time: datetime
    grid: GridInfo
    graticule: list[GridLine]
    legend: Legend = Field(description="Of the layer `rain`.")
    field: str | None = Field(
        description="What the frames of the forecast are: `expected`, `median` or `sharp`; `deterministic` of a model "
        "without a distribution; null in results of earlier versions, which are deterministic, too."
    )
    members: int = Field(description="Number of members in the netCDF file.")
    probability: ProbabilityLayer | None = Field(description="null: the nowcast has no probabilities.")
    frames: list[FrameInfo]


class PointValue(BaseModel):
    """Rain at one pixel in one frame."""

    index: int
    kind: Literal["observed", "forecast"]
    valid_time: datetime
    lead_minutes: float
    rain_rate: float | None = Field(description="mm/h; null means no data, which is not dry.")
    probability_of_rain: float | None = Field(
        default=None,
        description="Probability of at least 0.1 mm/h at this time, 0 to 1: the stored one, else the share of the "
        "members. null: no data (which is no low probability), an observed frame, or a nowcast with neither.",
    )
    probability: list[float | None] = Field(
        default=[],
        description="Probability of at least each of `thresholds_mm_h` at this time, to the nearest 0.005: 0 stands "
        "for less than 0.0025, 1 for more than 0.9975. null: no data. Empty in observed frames.",
    )


class PointSeries(BaseModel):
    """Rain at one pixel over time."""

    id: str
    unit: str = UNIT
    x: float = Field(description="Centre of the pixel in the picture, from the west edge, 0 to 1.")
    y: float = Field(description="Centre of the pixel, from the north edge, 0 to 1.")
    lon: float | None = Field(description="Degrees, WGS 84; null where the pixel lies off the earth.")
    lat: float | None
    reference_time: datetime
    field: str | None = Field(description="Which field the rain rates of the forecast are, as in /frames.")
    probability_method: str | None = Field(description="Where probabilities come from, as in /frames; null: none.")
    thresholds_mm_h: tuple[float, ...] = Field(description="Rain rates (mm/h) of `probability` in the series.")
    summary: PointSummary = Field(description="Of the field.")
    members: MembersSummary | None = Field(
        description="What concerns several times together, counted in the members; null: the nowcast has none."
    )
    series: list[PointValue]


def legend(scale: ColourScale) -> Legend:
    """Return the legend of a layer."""
    return Legend(
        unit=scale.unit,
        classes=[LegendClass(lower=item.lower, upper=item.upper, colour=item.hex) for item in scale.classes],
        dry=DryKey(below=scale.classes[0].lower, colour=hex_of(GROUND)),
        no_data=NoDataKey(colours=[hex_of(colour) for colour in NO_DATA]),
    )


def path_of(job_id: str) -> str:
    """Return the address of a nowcast's status."""
    return f"/v1/nowcasts/{job_id}"


def links_of(job: Job) -> list[Link]:
    """Return the links of a nowcast: its status and, once there are any, its results."""
    status_path = path_of(job.id)
    links = [Link(rel="self", href=status_path, type="application/json", title="Status")]
    if not job.status.finished:
        links.append(Link(rel="monitor", href=f"{status_path}/events", type="text/event-stream", title="Events"))
    if job.status is JobStatus.SUCCESSFUL:
        result = f"{status_path}/result?format="
        links += [
            Link(rel="results", href=f"{result}netcdf", type=NETCDF, title="Forecast, CF-netCDF"),
            Link(rel="alternate", href=f"{result}webp", type="image/webp", title="Animation, WebP"),
            Link(rel="alternate", href=f"{result}gif", type="image/gif", title="Animation, GIF"),
            Link(rel="items", href=f"{status_path}/frames", type="application/json", title="Frames"),
        ]
    return links
