"""The Zarr group of one run, in a local folder: what a run adds to the archive of forecasts.

`rainfall_rate(reference_time, lead_time, y, x)` and `probability_of_exceedance(threshold, ...)` are packed as in the
netCDF file, so that both have the same numbers. Attributes follow CF, and the conventions `spatial` and `proj` of
GeoZarr. The metadata of all arrays are repeated in the root's `zarr.json`, which readers take by default.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import h5py
import numpy as np

from model.core.extras import optional_imports
from model.core.forecast_file import PACKED_PROBABILITY, PACKED_RAIN, PROBABILITY_ATTRIBUTES, THRESHOLD_ATTRIBUTES
from model.core.forecast_variables import PROBABILITY, RAIN_RATE, THRESHOLD
from model.core.sequence import CF_VERSION, RAIN_RATE_ATTRIBUTES, TIME_ENCODING, spatial_coordinates
from service.render.forecast_reader import RainFile
from service.render.graticule import outer_bounds

if TYPE_CHECKING:
    from zarr import Group

CHUNK: Final = 512
"""Side of a chunk (pixels); a chunk has one reference time, and all lead times."""
PROBABILITY_CHUNK: Final = 256
CAPACITY: Final = 2048
"""Reference times of a group: more than a day has minutes. They lie in one chunk, which is not compressed."""

MISSING_TIME: Final = int(np.iinfo(np.int64).min)
REFERENCE_TIME: Final = "reference_time"
ROOT: Final = "zarr.json"

CONVENTIONS: Final = [
    {
        "schema_url": "https://raw.githubusercontent.com/zarr-conventions/spatial/refs/tags/v0.1/schema.json",
        "spec_url": "https://github.com/zarr-conventions/spatial/blob/v0.1/README.md",
        "uuid": "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4",
        "name": "spatial:",
        "description": "Spatial coordinate information",
    },
    {
        "schema_url": "https://raw.githubusercontent.com/zarr-experimental/geo-proj/refs/tags/v1/schema.json",
        "spec_url": "https://github.com/zarr-experimental/geo-proj/blob/v1/README.md",
        "uuid": "f17cb550-5864-4468-aeb7-f3180cfb622f",
        "name": "proj:",
        "description": "Coordinate reference system information for geospatial data",
    },
]


def layout_digest(forecast: RainFile, leads: int) -> str:
    """Return a name for all runs that fit into one group: the same grid, lead times, field and thresholds."""
    parts = [forecast.grid.crs.to_wkt(), leads, forecast.lead_minutes[0], forecast.field, forecast.thresholds_mm_h]
    sha = hashlib.sha256(json.dumps(parts).encode())
    for axis in (forecast.grid.x, forecast.grid.y):
        sha.update(np.ascontiguousarray(axis).data)
    return sha.hexdigest()[:12]


def write_group(forecast: RainFile, leads: int, folder: Path) -> None:
    """Write the group of one run to `folder`, with room for `leads` lead times; those beyond the forecast have no data.

    Raises
    ------
    MissingDependency
        zarr is not installed.
    """
    with optional_imports("products", "the archive of forecasts is not written"):
        import zarr
    group = zarr.create_group(str(folder), zarr_format=3, attributes=_attributes(forecast))
    step = forecast.lead_minutes[0]
    _coordinates(group, forecast, step * np.arange(1, leads + 1))
    dimensions: tuple[str, ...] = (REFERENCE_TIME, "lead_time", "y", "x")
    with h5py.File(forecast.path, "r") as file:
        source = file[forecast.variable]
        rain = {**RAIN_RATE_ATTRIBUTES, "field": forecast.field}
        _copy(group, source, RAIN_RATE, dimensions, (leads,), CHUNK, rain, PACKED_RAIN)
        if forecast.thresholds_mm_h:
            count = len(forecast.thresholds_mm_h)
            dimensions = (REFERENCE_TIME, THRESHOLD, "lead_time", "y", "x")
            _copy(
                *(group, file[PROBABILITY], PROBABILITY, dimensions, (count, leads)),
                *(PROBABILITY_CHUNK, PROBABILITY_ATTRIBUTES, PACKED_PROBABILITY),
            )
    consolidate(folder)


def _attributes(forecast: RainFile) -> dict[str, Any]:
    """Return the attributes of the group. Those of a single run are left out."""
    grid = forecast.grid
    west, dx, _, north, _, dy = grid.north_up_transform
    first = float(grid.y[0])
    rows = (dy, north) if grid.north_up else (-dy, first + dy / 2)
    epsg = grid.crs.to_epsg()
    return {
        "Conventions": CF_VERSION,
        "title": "Precipitation nowcasts",
        "zarr_conventions": CONVENTIONS,
        "spatial:dimensions": ["y", "x"],
        "spatial:shape": list(grid.shape),
        "spatial:bbox": list(outer_bounds(grid)),
        "spatial:transform": [dx, 0.0, west, 0.0, *rows],
        "spatial:registration": "pixel",
        "proj:wkt2": grid.crs.to_wkt(),
        **({} if epsg is None else {"proj:code": f"EPSG:{epsg}"}),
    }


def _coordinates(group: Group, forecast: RainFile, lead_minutes: np.ndarray[Any, Any]) -> None:
    """Write the coordinates: small arrays, each in one chunk."""
    time = {"standard_name": "forecast_reference_time", "units": TIME_ENCODING["units"], "calendar": "standard"}
    array = group.create_array(
        REFERENCE_TIME,
        shape=(1,),
        chunks=(CAPACITY,),
        dtype="int64",
        compressors=None,
        fill_value=MISSING_TIME,
        dimension_names=(REFERENCE_TIME,),
        attributes={**time, "_FillValue": MISSING_TIME},
    )
    array[0] = round(forecast.reference_time.timestamp())
    lead = {"standard_name": "forecast_period", "long_name": "lead time", "units": "min"}
    _small(group, "lead_time", ("lead_time",), lead_minutes, lead)
    for name, (_, centres, attributes) in spatial_coordinates(forecast.grid).items():
        _small(group, name, (name,), np.asarray(centres, np.float64), attributes)
    if forecast.thresholds_mm_h:
        thresholds = np.array(forecast.thresholds_mm_h, np.float64)
        _small(group, THRESHOLD, (THRESHOLD,), thresholds, THRESHOLD_ATTRIBUTES)
    _small(group, "crs", (), np.array(0, np.int32), forecast.grid.cf_grid_mapping())


def _small(
    group: Group, name: str, dimensions: tuple[str, ...], values: np.ndarray[Any, Any], attributes: dict[str, Any]
) -> None:
    array = group.create_array(
        name, shape=values.shape, chunks=values.shape, dtype=values.dtype, dimension_names=dimensions,
        attributes=dict(attributes), compressors=None,
    )  # fmt: skip
    array[...] = values


def _copy(
    group: Group,
    source: h5py.Dataset,
    name: str,
    dimensions: tuple[str, ...],
    before: tuple[int, ...],
    side: int,
    attributes: dict[str, str],
    packing: dict[str, Any],
) -> None:
    """Copy packed values [..., lead, y, x] into an array of one reference time; `before`: its sizes before y."""
    ny, nx = source.shape[-2:]
    sides = (min(ny, side), min(nx, side))
    fill = packing["_FillValue"]
    array = group.create_array(
        name,
        shape=(1, *before, ny, nx),
        chunks=(1, *before, *sides),
        dtype=packing["dtype"],
        fill_value=int(fill),
        dimension_names=dimensions,
        attributes={
            **attributes,
            "scale_factor": float(f"{packing['scale_factor']:.6g}"),  # the netCDF file has it in 32 bits
            "_FillValue": int(fill),
            "spatial:dimensions": ["y", "x"],
        },
    )
    leads = source.shape[-3]
    for top in range(0, ny, sides[0]):
        for left in range(0, nx, sides[1]):
            part = (..., slice(top, top + sides[0]), slice(left, left + sides[1]))
            array[(0, ..., slice(0, leads), *part[1:])] = source[part]


def consolidate(folder: Path) -> None:
    """Repeat the metadata of all arrays in that of the group, as xarray and zarr-python do (they warn of it)."""
    arrays = {path.parent.name: json.loads(path.read_text()) for path in sorted(folder.glob(f"*/{ROOT}"))}
    root = json.loads((folder / ROOT).read_text())
    root["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": arrays}
    (folder / ROOT).write_text(json.dumps(root))
