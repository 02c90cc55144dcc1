"""The fields of a request for a nowcast, as JSON schemas: a multipart form's, and the inputs of the OGC process."""

from __future__ import annotations

from typing import Any, Final

from model.core.forecast_output import FIELDS, MAX_MEMBERS

DEFAULT_STEPS: Final = 12
FORM_FIELDS: Final[dict[str, Any]] = {
    "files": {
        "type": "array",
        "minItems": 1,
        "items": {"type": "string", "format": "binary"},
        "description": "Radar files: one with several times, or one for each time. ODIM HDF5, KNMI HDF5, CF netCDF, "
        "GRIB2, RADOLAN, GeoTIFF; also compressed with gzip, bzip2 or zip.",
    },
    "model": {
        "type": "string",
        "default": "auto",
        "description": "`NAME`, `NAME@VERSION`, or `auto`: the default model where it fits the frames, else "
        "extrapolation.",
    },
    "steps": {
        "type": "integer",
        "default": DEFAULT_STEPS,
        "minimum": 1,
        "description": "Lead steps, each as long as the frames' time step. They must lie within the model's "
        "`max_lead_minutes`, such as 36 steps of 5 min within 180, and number at most `max_steps`.",
    },
    "field": {
        "type": "string",
        "enum": list(FIELDS),
        "description": "Which field of a model with a distribution `rainfall_rate` is: `expected` (the mean, for "
        "accumulations), `median`, or `sharp` (for maps and warnings); by default the model's own.",
    },
    "probabilities": {
        "type": "string",
        "examples": ["0.1,0.5,2,5,10", "default"],
        "description": "Rain rates (mm/h), ascending, whose probability of exceedance the result holds as "
        "`probability_of_exceedance(threshold, time, y, x)`; `default` stands for 0.1,0.5,2,5,10. By default none.",
    },
    "members": {
        "type": "integer",
        "default": 0,
        "minimum": 0,
        "maximum": MAX_MEMBERS,
        "description": "Realizations of the rain that are coherent in space and time, at least 2: "
        "`rainfall_rate(realization, time, y, x)`. A model with a distribution makes them, and extrapolation.",
    },
    "seed": {
        "type": "integer",
        "default": 0,
        "minimum": 0,
        "maximum": 2**32 - 1,
        "description": "Seed of the members: the same seed and frames give the same members.",
    },
    "variable": {
        "type": "string",
        "description": "Name of the variable; by default the only one of rain or reflectivity.",
    },
    "zr": {
        "type": "string",
        "description": "Z-R relation that converts reflectivity to rain rate.",
        "enum": ["marshall-palmer", "fmi", "hko7", "wsr-88d"],
    },
    "callback_url": {
        "type": "string",
        "description": "Where the status is sent when the nowcast has ended, signed: an https address whose host is on "
        "the list of the service. By default nowhere; a service without such a list refuses it.",
    },
}
