"""The GeoTIFF of a result: made when it is first asked for, then an object of the store beside the netCDF file."""

from __future__ import annotations

import tempfile
from pathlib import Path

from model.core.errors import MissingDependency
from service.api.errors import NotAcceptable
from service.jobs.ledger import Ledger
from service.render.forecast_reader import RainFile
from service.render.geotiff import check_geotiff, write_geotiff
from service.store import ObjectStore, geotiff_key


def check_available() -> None:
    """Check that this gateway can make GeoTIFF files.

    Raises
    ------
    NotAcceptable
        rasterio is not installed.
    """
    try:
        check_geotiff()
    except MissingDependency as error:
        raise NotAcceptable(error.what, where="format", hint=f"{error.hint}; or request netcdf") from error


def store_geotiff(store: ObjectStore, ledger: Ledger, job_id: str, forecast: RainFile) -> None:
    """Make the GeoTIFF of a job's forecast and put it into the store, unless it is there. Blocks.

    Its bytes are recorded before it is stored: a gateway that ends in between leaves no file that is not counted.

    Raises
    ------
    CannotEncode
        It cannot be made.
    """
    key = geotiff_key(job_id)
    if store.exists(key):
        return
    with tempfile.TemporaryDirectory(prefix="echocast-geotiff-") as folder:
        path = Path(folder) / "result.tif"
        write_geotiff(forecast, path)
        size = path.stat().st_size
        ledger.add_result_bytes(job_id, size)
        is_new = False
        try:
            is_new = store.put(key, path, if_absent=True)
        finally:
            if not is_new:
                ledger.add_result_bytes(job_id, -size)
