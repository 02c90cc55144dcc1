"""What the service says of itself to clients of OGC API - Processes."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

from service.api.nowcasts.form_fields import FORM_FIELDS
from service.api.nowcasts.negotiation import FORMATS
from service.api.processes.types import (
    PROCESS_ID,
    InputDescription,
    LandingPage,
    OutputDescription,
    Process,
    ProcessSummary,
)
from service.status import Link

JSON: Final = "application/json"
OGC_REL: Final = "http://www.opengis.net/def/rel/ogc/1.0"
CLASSES: Final = [
    f"http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/{name}"
    for name in ("core", "ogc-process-description", "json", "job-list", "dismiss")
]
SUMMARY: Final[dict[str, Any]] = {
    "id": PROCESS_ID,
    "title": "Precipitation nowcast",
    "description": "Rain of the next hours from the newest radar frames.",
    "keywords": ["precipitation", "radar", "nowcasting"],
    "jobControlOptions": ["async-execute", "dismiss"],
    "outputTransmission": ["value", "reference"],
}
INPUT_TITLES: Final = {
    "files": "Radar files",
    "model": "Model",
    "steps": "Lead steps",
    "field": "Field of the forecast",
    "probabilities": "Thresholds of probabilities",
    "members": "Members",
    "seed": "Seed of the members",
    "variable": "Variable",
    "zr": "Z-R relation",
    "callback_url": "Address to call at the end",
}
SCHEMA_KEYWORDS: Final = ("type", "enum", "default", "minimum", "maximum")
"""The keywords of the form's schemas that the standard's `schema.yaml` knows as well."""
FILE_SCHEMA: Final[dict[str, Any]] = {
    "type": "string",
    "contentEncoding": "base64",
    "contentMediaType": "application/octet-stream",
}


def landing_page(description: str) -> LandingPage:
    """Return the landing page; `description` is the service's own."""
    return LandingPage(
        title="Echocast",
        description=description,
        links=[
            Link(rel="self", href="/", type=JSON, title="This document"),
            Link(rel="alternate", href="/", type="text/html", title="The map"),
            Link(rel="service-desc", href="/openapi.json", type="application/vnd.oai.openapi+json;version=3.1"),
            Link(rel="service-doc", href="/docs", type="text/html", title="Documentation of the API"),
            Link(rel="status", href="/readyz", type=JSON, title="Whether nowcasts can be made now"),
            Link(rel=f"{OGC_REL}/conformance", href="/conformance", type=JSON, title="Conformance classes"),
            Link(rel=f"{OGC_REL}/processes", href="/processes", type=JSON, title="Processes"),
            Link(rel=f"{OGC_REL}/job-list", href="/jobs", type=JSON, title="Jobs"),
            Link(rel="related", href="/edr", type=JSON, title="OGC API - EDR: nowcasts of feeds"),
        ],
    )


def process_summary() -> ProcessSummary:
    """Return the only process, without its inputs and outputs."""
    path = f"/processes/{PROCESS_ID}"
    links = [Link(rel="self", href=path, type=JSON, title="Description")]
    return ProcessSummary(version=version("echocast"), links=links, **SUMMARY)


def process(max_files: int) -> Process:
    """Return the only process; a request contains at most `max_files` files."""
    path = f"/processes/{PROCESS_ID}"
    return Process(
        version=version("echocast"),
        inputs={name: _input(name, field, max_files) for name, field in FORM_FIELDS.items()},
        outputs={"forecast": _forecast()},
        links=[
            Link(rel="self", href=path, type=JSON, title="Description"),
            Link(rel=f"{OGC_REL}/execute", href=f"{path}/execution", type=JSON, title="Execute (POST)"),
        ],
        **SUMMARY,
    )


def _input(name: str, field: dict[str, Any], max_files: int) -> InputDescription:
    is_files = name == "files"
    literal: dict[str, Any] = {keyword: field[keyword] for keyword in SCHEMA_KEYWORDS if keyword in field}
    return InputDescription(
        title=INPUT_TITLES[name],
        description=field["description"],
        minOccurs=int(is_files),
        maxOccurs=max_files if is_files else 1,
        schema=FILE_SCHEMA if is_files else literal,
    )


def _forecast() -> OutputDescription:
    formats = [
        {"type": "string", "contentEncoding": "binary", "contentMediaType": media[0]} for media in FORMATS.values()
    ]
    return OutputDescription(
        title="Forecast",
        description="Rain rate (mm/h) at each lead time on the grid of the input: CF-netCDF, or for the eye.",
        schema={"oneOf": formats},
    )
