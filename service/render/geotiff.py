"""A forecast as a cloud-optimized GeoTIFF: one band for each lead time, as they are packed in the netCDF file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from model.core.child_environment import without_credentials
from model.core.errors import InputError
from model.core.extras import is_installed, missing_dependency
from model.core.times import rfc3339, utc_text
from service.render.forecast_reader import RainFile

ENCODER: Final = Path(__file__).with_name("geotiff_encoder.py")
MAX_SECONDS: Final = 600.0
UNIT: Final = "mm h-1"


class CannotEncode(InputError):
    """The forecast could not be written as GeoTIFF."""

    code = "cannot-encode"


def check_geotiff() -> None:
    """Check that GeoTIFF files can be written.

    Raises
    ------
    MissingDependency
        rasterio is not installed.
    """
    if not is_installed("rasterio"):
        problem = "GeoTIFF needs rasterio, which is not installed"
        raise missing_dependency("rasterio", where="format", problem=problem)


def write_geotiff(forecast: RainFile, target: Path) -> None:
    """Write the field of a forecast to `target`, in a child process.

    Values are rain rates (mm h-1) divided by the bands' scale, 0.01; the nodata value stands for missing data. Rows run
    from north to south. A band's description is its valid time; tags of the file and of the bands have times in RFC
    3339 and lead times in minutes.

    Raises
    ------
    MissingDependency
        rasterio is not installed.
    CannotEncode
        The child process failed, or took longer than MAX_SECONDS.
    """
    check_geotiff()
    # -P keeps the folder of the script, whose modules have names of libraries, off the import path of the child.
    command = [sys.executable, "-P", str(ENCODER)]
    environment = without_credentials()  # it reads the CRS of an upload
    request = json.dumps(_request(forecast, target)).encode()
    try:
        subprocess.run(command, input=request, capture_output=True, check=True, timeout=MAX_SECONDS, env=environment)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        target.unlink(missing_ok=True)
        raise CannotEncode(
            "the forecast cannot be written as GeoTIFF", where="format", hint="Fetch the netCDF file: format=netcdf"
        ) from error


def _request(forecast: RainFile, target: Path) -> dict[str, Any]:
    leads = zip(forecast.times, forecast.lead_minutes, strict=True)
    bands = [
        {
            "description": f"{utc_text(valid)} (+{minutes:g} min)",
            "tags": {"valid_time": rfc3339(valid), "lead_minutes": f"{minutes:g}"},
        }
        for valid, minutes in leads
    ]
    return {
        "source": str(forecast.path.absolute()),
        "variable": forecast.variable,
        "target": str(target.absolute()),
        "crs_wkt": forecast.grid.crs.to_wkt(),
        "transform": forecast.grid.north_up_transform,
        "unit": UNIT,
        "tags": {**forecast.attributes, "field": forecast.field},
        "bands": bands,
    }
