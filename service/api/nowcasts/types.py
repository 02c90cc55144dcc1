"""Response bodies of the nowcast routes."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from model.core.colour_scale import GROUND, NO_DATA, ColourClass, ColourScale, hex_of
from model.core.members_summary import MembersSummary, Percentiles
from model.core.point_outlook import PointOutlook, intensity
from model.core.point_summary import PointSummary
from model.core.probability_summary import ProbabilitySummary
from model.core.rain_scale import UNIT

Layer = Literal["rain", "probability"]
"""What a picture shows."""


class LegendClass(BaseModel):
    """Values from `lower` up to, not including, `upper`; the last class has no upper end."""

    lower: float
    upper: float | None
    colour: str = Field(examples=["#2f99e8"])
    word: str | None = Field(
        None, description="Of rain rate: `light`, `moderate`, `heavy` or `violent` (WMO-No. 8).", examples=["moderate"]
    )


class DryKey(BaseModel):
    """How dry ground is drawn: values below `below`."""

    below: float
    colour: str


class NoDataKey(BaseModel):
    """How missing data is drawn: hatched in these two greys. Missing is not dry."""

    colours: list[str]
    meaning: str = "not known, not dry"


class Legend(BaseModel):
    """The colour scale of the pictures of a layer, in mm/h, mm or %."""

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
    members: Percentiles | None = Field(
        default=None, description="Rain rates (mm/h) of the members at this time; null: there are none."
    )


class PlaceForecast(BaseModel):
    """What every answer for a place has."""

    coverage: Literal["ok", "no_data", "no_coverage"] = Field(
        description="`no_coverage`: the place is outside of the radar's area; `no_data`: inside, without any data."
    )
    sentence: str = Field(
        examples=["light rain in 10 to 15 min, heaviest around 14:20, likely over by 15:05; 85 % sure"]
    )
    language: str = Field(description="Of the sentence.", examples=["en"])
    reference_time: datetime
    now: datetime = Field(description="From which the sentence and the summaries count.")
    unit: str = UNIT
    lon: float | None = Field(
        None, description="Centre of the pixel, degrees, WGS 84; null: off the earth, or outside."
    )
    lat: float | None = None
    field: str | None = Field(None, description="Which field the rain rates of the forecast are, as in /frames.")
    probability_method: str | None = Field(
        None, description="Where probabilities come from, as in /frames; null: none."
    )
    thresholds_mm_h: tuple[float, ...] = Field((), description="Rain rates (mm/h) of `probability` in the series.")
    outlook: PointOutlook | None = Field(None, description="What the sentence tells; null: no coverage.")
    summary: PointSummary | None = Field(None, description="Of the field, from `now` on; null: no coverage.")
    probabilities: ProbabilitySummary | None = Field(
        None, description="When rain is possible or likely, by the probabilities of single times; null: there are none."
    )
    members: MembersSummary | None = Field(
        None, description="What concerns several times together, counted in the members; null: there are none."
    )


class PointSeries(PlaceForecast):
    """Rain at one pixel of a nowcast over time."""

    id: str
    x: float = Field(description="Centre of the pixel in the picture, from the west edge, 0 to 1.")
    y: float = Field(description="Centre of the pixel, from the north edge, 0 to 1.")
    series: list[PointValue]


def legend(scale: ColourScale) -> Legend:
    """Return the legend of a layer."""
    return Legend(
        unit=scale.unit,
        classes=[
            LegendClass(lower=item.lower, upper=item.upper, colour=item.hex, word=_word(item, scale))
            for item in scale.classes
        ],
        dry=DryKey(below=scale.classes[0].lower, colour=hex_of(GROUND)),
        no_data=NoDataKey(colours=[hex_of(colour) for colour in NO_DATA]),
    )


def _word(item: ColourClass, scale: ColourScale) -> str | None:
    """Return the word for the middle of a class of rain rate."""
    if scale.unit != UNIT:
        return None
    return intensity(item.lower if item.upper is None else (item.lower + item.upper) / 2)
